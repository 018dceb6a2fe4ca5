"""`conversations`: a caller's own conversations listed, searched, shown, renamed, copied and summed up; unlisted."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Literal

import msgspec

from exai.auth import scopes
from exai.consulting.arguments import ModelName
from exai.consulting.context import CallContext
from exai.consulting.results import Findings, Result, ToolReturn
from exai.conversations.conversations import UNKNOWN, Conversations
from exai.errors import BadArguments, UnknownConversation
from exai.storage.conversations.archive import ConversationArchive, ConversationSummary, Selection
from exai.tools.base import Arguments, Requested, Tool
from exai.tools.conversations.compacting import KEPT, Compacting

__all__ = ["ConversationItem", "ConversationsTool"]

PAGE = 20
SHOWN_CHARACTERS = 30_000
"""Of a conversation that is shown at a time."""

Action = Literal["list", "search", "show", "rename", "fork", "compact"]


class ConversationsArguments(Arguments, frozen=True):
    action: Action
    continuation_id: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    text: Annotated[
        str, msgspec.Meta(max_length=500, description="search: words, all of them; rename: the title")
    ] = ""
    exchange: (
        Annotated[int, msgspec.Meta(ge=1, description="show: from this one; fork: up to this one")] | None
    ) = None
    keep: Annotated[
        int, msgspec.Meta(ge=0, le=1_000, description="compact: newest that stay as they are")
    ] = KEPT
    model: ModelName | None = None

    def requested(self) -> Requested:
        return Requested(model=self.model)


class ConversationItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A conversation, or an exchange of one that was found."""

    continuation_id: str
    at: str
    title: str | None = None
    exchanges: int | None = None
    summarized: int | None = None
    model: str | None = None
    exchange: int | None = None
    excerpt: str | None = None

    @classmethod
    def of(cls, row: ConversationSummary) -> "ConversationItem":
        """Describe a conversation."""
        return cls(
            continuation_id=row.conversation_id,
            at=row.updated_at.isoformat(timespec="seconds"),
            title=row.title,
            exchanges=row.exchanges,
            summarized=row.summarized,
            model=row.last_model,
        )

    @property
    def line(self) -> str:
        """Render it in one line."""
        parts = [f"- {self.continuation_id}", self.at, self.title or ""]
        if self.exchange is not None:
            parts += [f"exchange {self.exchange}", self.excerpt or ""]
        else:
            parts += [f"{self.exchanges} exchanges", self.model or ""]
            parts += [f"the first {self.summarized} summed up"] if self.summarized else []
        return ", ".join(filter(None, parts))


class ConversationsResult(Result, frozen=True, kw_only=True):
    """What became of it."""

    continuation_id: str | None = None
    answer: str = ""
    items: tuple[ConversationItem, ...] = ()

    def text(self) -> str:
        head = [f"[continuation_id: {self.continuation_id}]"] if self.continuation_id else []
        return "\n".join([*head, *filter(None, [self.answer]), *(item.line for item in self.items)])


class ConversationsTool:
    """Works on the caller's own conversations alone; anybody else's are unknown."""

    def __init__(
        self, conversations: Conversations, archive: ConversationArchive, compacting: Compacting
    ) -> None:
        self._conversations = conversations
        self._archive = archive
        self._compacting = compacting
        self._actions: Mapping[
            Action,
            Callable[[ConversationsArguments, CallContext], Awaitable[ToolReturn[ConversationsResult]]],
        ] = {
            "list": self._list,
            "search": self._search,
            "show": self._show,
            "rename": self._rename,
            "fork": self._fork,
            "compact": self._compact,
        }

    def tool(self) -> Tool[ConversationsArguments, ConversationsResult]:
        """The catalogue's entry."""
        return Tool(
            name="conversations",
            title="Your conversations",
            description="List, search, show, rename, copy or sum up your conversations.",
            arguments=ConversationsArguments,
            result=ConversationsResult,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            read_only=False,
            is_listed=False,
        )

    async def run(
        self, arguments: ConversationsArguments, context: CallContext
    ) -> ToolReturn[ConversationsResult]:
        """Do one thing with the caller's conversations.

        Raises:
            BadArguments: the action lacks an argument.
            UnknownConversation: the caller has no such conversation.
            ToolFault: a model did not sum up.
        """
        return await self._actions[arguments.action](arguments, context)

    async def _list(self, _: ConversationsArguments, context: CallContext) -> ToolReturn[ConversationsResult]:
        rows = await self._archive.listing(Selection(owner=context.caller.subject), PAGE)
        items = tuple(map(ConversationItem.of, rows))
        return _returned(items=items, answer="" if items else "You have no conversations.")

    async def _search(
        self, arguments: ConversationsArguments, context: CallContext
    ) -> ToolReturn[ConversationsResult]:
        if not arguments.text.strip():
            raise BadArguments("search needs `text`: words that all occur in an exchange.")
        found = await self._archive.search(arguments.text, owner=context.caller.subject, most=PAGE)
        items = tuple(
            ConversationItem(
                continuation_id=each.conversation_id,
                at=each.created_at.isoformat(timespec="seconds"),
                title=each.title,
                exchange=each.number,
                excerpt=each.excerpt,
            )
            for each in found
        )
        return _returned(items=items, answer="" if items else "No exchange of yours has all of these words.")

    async def _show(
        self, arguments: ConversationsArguments, context: CallContext
    ) -> ToolReturn[ConversationsResult]:
        handle, first = _named(arguments), arguments.exchange or 1
        if not await self._archive.count(Selection(ids=(handle,), owner=context.caller.subject)):
            raise UnknownConversation(UNKNOWN)
        shown: list[str] = []
        for each in await self._archive.exchanges(handle):
            part = f"## {each.number}: {each.model}\n\n{each.question}\n\n### Answer\n\n{each.answer}\n"
            if each.number < first:
                continue
            if shown and sum(map(len, shown)) + len(part) > SHOWN_CHARACTERS:
                shown.append(f"It goes on: show with exchange {each.number}.")
                break
            shown.append(part)
        return _returned(handle, answer="\n".join(shown) or f"It has no exchange {first}.")

    async def _rename(
        self, arguments: ConversationsArguments, context: CallContext
    ) -> ToolReturn[ConversationsResult]:
        handle = _named(arguments)
        await self._conversations.rename(context.caller, handle, arguments.text)
        title = arguments.text.strip()
        return _returned(handle, answer=f"Its title is: {title}" if title else "It has no title any more.")

    async def _fork(
        self, arguments: ConversationsArguments, context: CallContext
    ) -> ToolReturn[ConversationsResult]:
        copy = await self._conversations.fork(context.caller, _named(arguments), arguments.exchange)
        return _returned(copy, answer="This is the copy; the conversation itself stays as it is.")

    async def _compact(
        self, arguments: ConversationsArguments, context: CallContext
    ) -> ToolReturn[ConversationsResult]:
        conversation = await self._conversations.find(context.caller, _named(arguments))
        compacted = await self._compacting.compact(
            conversation, context, keep=arguments.keep, model=arguments.model
        )
        completion = compacted.consultation.completion
        return ToolReturn(
            ConversationsResult(
                continuation_id=conversation.id,
                answer=f"In prompts, this stands for its first {compacted.up_to} exchanges; they are kept, and "
                f"`show` has them:\n\n{completion.text}",
            ),
            Findings(
                provider=completion.provider, model_used=completion.model, conversation_id=conversation.id
            ),
        )


def _named(arguments: ConversationsArguments) -> str:
    if arguments.continuation_id is None:
        raise BadArguments(f"{arguments.action} needs `continuation_id`, of an answer or of list.")
    return arguments.continuation_id


def _returned(
    continuation_id: str | None = None, *, answer: str = "", items: tuple[ConversationItem, ...] = ()
) -> ToolReturn[ConversationsResult]:
    return ToolReturn(ConversationsResult(continuation_id=continuation_id, answer=answer, items=items))
