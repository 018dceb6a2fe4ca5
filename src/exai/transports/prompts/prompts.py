"""One prompt per tool, and `continue`: the words by which a user has the client's model call that tool.

Every argument is optional, as many clients ask for none: what is left out, the model takes from what it is working on.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mcp_types as types
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from exai.auth.scopes import MODELS
from exai.callers import Caller
from exai.storage.conversations.owned import OwnConversations
from exai.tools.base import JsonObject
from exai.tools.listing.entries import ToolDescription
from exai.transports.prompts.completions import Completions
from exai.transports.resources.handlers import Resources
from exai.transports.server import caller_of

__all__ = ["Prompts"]

Context = ServerRequestContext[Any, Any]

CONTINUE = "continue"
CONVERSATION = "continuation_id"
QUESTION = "prompt"
MOST_CHARACTERS = 100_000
"""Of the value of one argument; longer ones are for files."""
LATEST = 3


class Prompts:
    """Answers `prompts/…` and `completion/complete`."""

    def __init__(
        self,
        tools: Sequence[ToolDescription],
        models: Callable[[], Sequence[str]],
        conversations: OwnConversations,
        resources: Resources,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._conversations = conversations
        self._listed = [*(_prompt_of(tool) for tool in tools), _CONTINUE]
        self._completions = Completions(
            {prompt.name: self._schemas(prompt.name) for prompt in self._listed}, models, resources
        )

    def add_to(self, server: Server[Any]) -> None:
        """Register the handlers."""
        server.add_request_handler("prompts/list", types.PaginatedRequestParams, self.list)
        server.add_request_handler("prompts/get", types.GetPromptRequestParams, self.get)
        server.add_request_handler(
            "completion/complete", types.CompleteRequestParams, self._completions.complete
        )

    async def list(self, _: Context, params: types.PaginatedRequestParams | None) -> HandlerResult:
        """List the prompts; they are the same for everybody."""
        if params is not None and params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "This list has one page: ask for it without a cursor.")
        return types.ListPromptsResult(prompts=self._listed)

    async def get(self, context: Context, params: types.GetPromptRequestParams) -> HandlerResult:
        """Return the words of a prompt, with the arguments that were given."""
        given = self._checked(params)
        if params.name == CONTINUE:
            lines: Sequence[str] = await self._continued(caller_of(context), given)
        else:
            lines = tuple(_call_of(self._tools[params.name], given))
        text = types.TextContent(type="text", text="\n".join(lines))
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=text)])

    def _checked(self, params: types.GetPromptRequestParams) -> dict[str, str]:
        """Return the arguments that have a value.

        Raises:
            MCPError: there is no such prompt, or it has no such argument.
        """
        prompt = next((each for each in self._listed if each.name == params.name), None)
        if prompt is None:
            known = ", ".join(each.name for each in self._listed)
            raise MCPError(INVALID_PARAMS, f"Unknown prompt {params.name[:80]!r}. This server has: {known}.")
        takes = [argument.name for argument in prompt.arguments or ()]
        given = params.arguments or {}
        for name, value in given.items():
            if name not in takes:
                raise MCPError(
                    INVALID_PARAMS,
                    f"The prompt {params.name} has no argument {name[:80]!r}. It has: {', '.join(takes)}.",
                )
            if len(value) > MOST_CHARACTERS:
                raise MCPError(
                    INVALID_PARAMS,
                    f"The argument {name!r} has {len(value):,} characters, and may have {MOST_CHARACTERS:,}. Store the "
                    "text with the tool `files` and give its handle.",
                )
        return {name: value.strip() for name, value in given.items() if value.strip()}

    async def _continued(self, caller: Caller, given: dict[str, str]) -> Sequence[str]:
        """Say how to go on with a conversation; without one that is named, which the caller's latest are."""
        question = given.get(QUESTION)
        asks = (
            f"with this as `prompt`:\n\n{question}"
            if question
            else "with the next question that our work here raises as `prompt`."
        )
        if (named := given.get(CONVERSATION)) is not None:
            return [
                f"Go on with a conversation in EXAI: call its tool `chat` with {CONVERSATION} {named!r} and {asks}"
            ]
        latest = []
        if caller.may(MODELS):
            latest = await self._conversations.newest(caller.subject, LATEST)
        if not latest:
            return [f"There is no conversation in EXAI yet. Begin one: call its tool `chat` {asks}"]
        lines = [
            f"Go on with a conversation in EXAI: call its tool `chat` with its {CONVERSATION} and {asks}",
            "",
        ]
        lines += ["These are the latest; take the one that fits, and ask me if that is not clear:"]
        return lines + [
            f"- {each.conversation_id}, {each.updated_at:%Y-%m-%d %H:%M} UTC, begins: "
            f"{' '.join(each.begins.split())!r}"
            for each in latest
        ]

    def _schemas(self, name: str) -> JsonObject:
        """Return what is known of a prompt's arguments."""
        if name == CONTINUE:
            return {argument.name: {} for argument in _CONTINUE.arguments or ()}
        fields: JsonObject = self._tools[name].input_schema.get("properties", {})
        return fields


_CONTINUE = types.Prompt(
    name=CONTINUE,
    title="Go on with an EXAI conversation",
    description="Go on with a conversation, of this client or any other.",
    arguments=[
        types.PromptArgument(name=CONVERSATION, description="Which; the latest are offered", required=False),
        types.PromptArgument(name=QUESTION, description="What to ask", required=False),
    ],
)


def _prompt_of(tool: ToolDescription) -> types.Prompt:
    fields = tool.input_schema.get("properties", {})
    return types.Prompt(
        name=tool.name,
        title=tool.title or tool.name.capitalize(),
        description=_first_sentence(tool.description),
        arguments=[
            types.PromptArgument(name=name, description=_described(field), required=False)
            for name, field in fields.items()
        ],
    )


def _described(field: JsonObject) -> str | None:
    words = [field["description"]] if "description" in field else []
    if "enum" in field:
        words.append(f"One of: {', '.join(str(value) for value in field['enum'])}")
    elif field.get("type") == "array":
        words.append("Several are separated by commas")
    return ". ".join(words) or None


def _call_of(tool: ToolDescription, given: dict[str, str]) -> Iterator[str]:
    yield f"Call the tool `{tool.name}` of EXAI. It does this: {tool.description}"
    if given:
        yield "\nGive it these arguments, lists as lists:"
        yield from (f"\n`{name}`:\n{value}" for name, value in given.items())
    needed = [name for name in tool.input_schema.get("required", ()) if name not in given]
    if needed:
        names = ", ".join(f"`{name}`" for name in needed)
        yield f"\nIt needs {names} too: take that from what we are working on, with all that is needed to judge it."
    yield "\nThen tell me what it answered, and what you make of it."


def _first_sentence(text: str) -> str:
    return f"{text.split('. ', maxsplit=1)[0].rstrip('.')}."
