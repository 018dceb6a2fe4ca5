"""Conversations and single answers as resources, in Markdown."""

from collections.abc import Iterator

import mcp_types as types

from exai.storage.conversations.owned import OwnConversation, OwnConversations, OwnExchange
from exai.transports.resources.kind import id_in, unknown

__all__ = ["AnswerResources", "ConversationResources"]

MARKDOWN = "text/markdown"
SHOWN_CHARACTERS = 400_000
"""Of one conversation: what a client still shows; older exchanges are left out, and it says so."""
NAME_CHARACTERS = 80


class ConversationResources:
    """Conversations."""

    prefix = "exai://conversations/"
    templates = (
        types.ResourceTemplate(
            uri_template=f"{prefix}{{id}}",
            name="conversation",
            title="A conversation",
            description="Questions and answers in turn.",
            mime_type=MARKDOWN,
        ),
    )

    def __init__(self, conversations: OwnConversations) -> None:
        self._conversations = conversations

    async def page(self, owner: str, most: int, after: str | None) -> list[types.Resource]:
        """List some of an owner's conversations, the one that was begun last first."""
        return [self._described(each) for each in await self._conversations.newest(owner, most, after=after)]

    async def read(self, owner: str, uri: str) -> types.TextResourceContents:
        """Read one of the owner's conversations.

        Raises:
            UnknownResource: the owner has none at this address.
        """
        conversation = await self._conversations.find(owner, id_in(uri, self.prefix))
        if conversation is None:
            raise unknown()
        exchanges = await self._conversations.latest_exchanges(conversation, SHOWN_CHARACTERS)
        text = "\n".join(_lines(conversation, exchanges))
        return types.TextResourceContents(uri=uri, mime_type=MARKDOWN, text=text)

    async def ids(self, owner: str, begin: str, most: int) -> list[str]:
        """List the latest of the owner's conversations whose ids begin so."""
        rows = await self._conversations.newest(owner, most)
        return [row.conversation_id for row in rows if row.conversation_id.startswith(begin)]

    def _described(self, row: OwnConversation) -> types.Resource:
        begins = " ".join(row.begins.split())
        return types.Resource(
            uri=f"{self.prefix}{row.conversation_id}",
            name=begins[:NAME_CHARACTERS] or row.conversation_id,
            description=f"A conversation of {row.exchanges} exchanges, last with {row.last_model}.",
            mime_type=MARKDOWN,
            annotations=types.Annotations(last_modified=row.updated_at.isoformat(timespec="seconds")),
        )


class AnswerResources:
    """Answers by the ids of the calls that they were given to."""

    prefix = "exai://answers/"
    templates = (
        types.ResourceTemplate(
            uri_template=f"{prefix}{{call_id}}",
            name="answer",
            title="The answer of a call",
            description="By the `call_id` in its report.",
            mime_type=MARKDOWN,
        ),
    )

    def __init__(self, conversations: OwnConversations) -> None:
        self._conversations = conversations

    async def page(self, _: str, __: int, ___: str | None) -> list[types.Resource]:
        """List nothing: each answer stands in its conversation."""
        return []

    async def read(self, owner: str, uri: str) -> types.TextResourceContents:
        """Read the answer of one of the owner's calls.

        Raises:
            UnknownResource: the owner has none at this address.
        """
        found = await self._conversations.answer_of(owner, id_in(uri, self.prefix))
        if found is None:
            raise unknown()
        return types.TextResourceContents(uri=uri, mime_type=MARKDOWN, text=found[1].answer)

    async def ids(self, _: str, __: str, ___: int) -> list[str]:
        """Complete nothing: nobody types the id of a call."""
        return []


def _lines(conversation: OwnConversation, exchanges: list[OwnExchange]) -> Iterator[str]:
    yield f"# {' '.join(conversation.begins.split())[:NAME_CHARACTERS]}"
    yield f"\ncontinuation_id: {conversation.conversation_id}"
    if left_out := conversation.exchanges - len(exchanges):
        yield f"\n[{left_out} older exchanges are left out.]"
    for each in exchanges:
        yield f"\n## {each.number}. Asked {each.created_at:%Y-%m-%d %H:%M} UTC\n\n{each.question}"
        yield f"\n### {each.model}\n\n{each.answer}"
