"""What completes an argument of a prompt, or the id in an address of a resource, while a user types it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mcp_types as types
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from exai.callers import Caller
from exai.tools.base import JsonObject
from exai.transports.resources.handlers import Resources
from exai.transports.server import caller_of

__all__ = ["Completions"]

MOST = 100
"""Values of one answer, as the protocol has it."""
OF_MODELS = frozenset({"model", "models", "fallback_models"})
OF_RESOURCES = {"continuation_id": "exai://conversations/", "plan_id": "exai://plans/"}
"""Arguments that are ids of resources."""


class Completions:
    """Answers `completion/complete`."""

    def __init__(
        self,
        prompts: Mapping[str, JsonObject],
        models: Callable[[], Sequence[str]],
        resources: Resources,
    ) -> None:
        """`prompts` are the schemas of each one's arguments by name."""
        self._prompts = prompts
        self._models = models
        self._resources = resources

    async def complete(
        self, context: ServerRequestContext[Any, Any], params: types.CompleteRequestParams
    ) -> HandlerResult:
        """List what the value may become; nothing where that is free text."""
        caller, argument, ref = caller_of(context), params.argument, params.ref
        if isinstance(ref, types.PromptReference):
            values = await self._of_prompt(caller, ref.name, argument)
        else:
            values = list(await self._resources.ids(caller, ref.uri, argument.value, MOST))
        shown = values[:MOST]
        return types.CompleteResult(
            completion=types.Completion(values=shown, total=len(values), has_more=len(values) > len(shown))
        )

    async def _of_prompt(self, caller: Caller, name: str, argument: types.CompletionArgument) -> list[str]:
        fields = self._prompts.get(name)
        if fields is None or argument.name not in fields:
            raise MCPError(INVALID_PARAMS, "There is no such prompt, or it has no such argument.")
        typed, field = argument.value, fields[argument.name]
        if (prefix := OF_RESOURCES.get(argument.name)) is not None:
            return list(await self._resources.ids(caller, prefix, typed, MOST))
        if argument.name in OF_MODELS:
            return _last_completed(typed, self._models())
        if "enum" in field:
            return _last_completed(typed, [str(value) for value in field["enum"]])
        return []


def _last_completed(typed: str, choices: Sequence[str]) -> list[str]:
    """Complete the last of several that are separated by commas."""
    before, comma, last = typed.rpartition(",")
    begin = last.strip().casefold()
    kept = f"{before}{comma} " if comma else ""
    return [f"{kept}{choice}" for choice in choices if choice.casefold().startswith(begin)]
