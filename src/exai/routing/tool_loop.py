"""Runs the tool calls of a model, and asks it again until it answers.

    ask → calls checked and run side by side → ask with their results → ... → answer

A tool that fails returns the error to the model, which may do better. What ends the whole call (column `ends_call` of
`exai.routing.faults`, or a defect of ours) ends the loop too. A bound that is reached does not cost the caller the
answer: the model is asked to answer with what it has, and only if it goes on calling does the loop fail.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from exai import config
from exai.errors import ToolFault, ToolLoopExceeded
from exai.messages import Message, Role, ToolCall
from exai.protocol.schemas import common_keywords, input_schema
from exai.providers.base import Completion, OnDelta, Prompt, ToolSpec
from exai.routing.asker import ModelAsker
from exai.routing.faults import handling_of
from exai.routing.ledger import Stage
from exai.runtime.clock import Clock

__all__ = ["DeclaredTool", "EchoTool", "ToolLoop", "TypedTool"]

REPEATS = 2
"""How often one call with the same arguments may be repeated before the model has to answer."""

_encode = msgspec.json.Encoder(order="deterministic").encode


@lru_cache(maxsize=64)
def _spec(name: str, description: str, arguments: type[msgspec.Struct]) -> ToolSpec:
    return ToolSpec(name, description, common_keywords(input_schema(arguments)))


class DeclaredTool:
    """A tool that a model is told of. `arguments` is a `msgspec.Struct`; its schema is what the model is shown."""

    def __init__(self, name: str, description: str, arguments: type[msgspec.Struct]) -> None:
        self.spec = _spec(name, description, arguments)
        self._arguments = arguments

    @property
    def name(self) -> str:
        return self.spec.name

    def read(self, text: str) -> Any:
        """The arguments of one call, typed.

        Repairs what is documented of models and nothing else: no text at all, or null,
        for no arguments (both providers), and objects or lists as texts that hold them
        (GLM).

        Raises:
            ValueError: with a sentence for the model.
        """
        try:
            given = msgspec.json.decode(text) if text.strip() else {}
            if isinstance(given, str):
                given = msgspec.json.decode(given)
            return msgspec.convert(
                {} if given is None else _unpacked(given, self.spec.parameters), self._arguments
            )
        except msgspec.ValidationError as error:
            raise ValueError(
                f"The arguments do not fit the schema: {error}. Correct them and call again."
            ) from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ValueError(
                f"The arguments are not valid JSON: {error}. Call again with a JSON object."
            ) from None
        except RecursionError:
            raise ValueError("The arguments are nested too deeply. Call again with a flat object.") from None


class TypedTool(DeclaredTool):
    """A tool that runs here."""

    def __init__(
        self,
        name: str,
        description: str,
        arguments: type[msgspec.Struct],
        run: Callable[[Any], Awaitable[str]],
    ) -> None:
        super().__init__(name, description, arguments)
        self.run = run


@dataclass(frozen=True)
class EchoTool:
    """A tool of the provider: its calls are answered with their own arguments, and nothing runs here."""

    name: str
    called: Callable[[], None]
    """Called for each call."""


class ToolLoop:
    """Lets models use `tools`, within `limits`; one serves any number of calls."""

    def __init__(
        self,
        tools: Iterable[TypedTool | EchoTool],
        limits: config.ToolLoop,
        clock: Clock,
        *,
        declared: Sequence[ToolSpec] = (),
    ) -> None:
        """`declared` are tools that a prompt has for the sake of its cached beginning, and that do not run any more."""
        self._tools = {tool.name: tool for tool in tools}
        self._declared = tuple(declared)
        self._limits = limits
        self._clock = clock

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What a prompt declares."""
        own = (tool.spec for tool in self._tools.values() if isinstance(tool, TypedTool))
        return (*own, *self._declared)

    async def run(self, ask: ModelAsker, prompt: Prompt, on_delta: OnDelta | None = None) -> Completion:
        """Ask, run what is called, and ask again, until there is an answer.

        What `ask` has spent meanwhile, for models and in tools, counts towards `tool_loop.max_cost_usd`.

        Raises:
            ToolLoopExceeded: the model went on calling after it was asked to answer.
            ToolFault: what `ask` raises.
        """
        run = _Run(self._tools, self._limits, self._clock, ask)
        while True:
            completion = await ask(prompt, on_delta)
            if not completion.tool_calls:
                return completion
            if run.closed is not None:
                raise ToolLoopExceeded(
                    f"{completion.model} went on calling tools although {run.closed}. Ask for less, or raise the "
                    "limits under tool_loop."
                )
            with ask.ledger.stage(Stage.TOOLS):
                answers = await run.answer(completion)
            called = Message(
                Role.ASSISTANT,
                completion.text,
                reasoning=completion.reasoning,
                tool_calls=completion.tool_calls,
            )
            prompt = msgspec.structs.replace(prompt, messages=(*prompt.messages, called, *answers))


class _Run:
    """The rounds of one answer."""

    def __init__(
        self,
        tools: Mapping[str, TypedTool | EchoTool],
        limits: config.ToolLoop,
        clock: Clock,
        ask: ModelAsker,
    ) -> None:
        self._tools = tools
        self._limits = limits
        self._clock = clock
        self._ledger = ask.ledger
        self._began = clock.monotonic()
        self._spent_before = self._ledger.bill.cost.known_usd
        self._seen: Counter[tuple[str, bytes]] = Counter()
        self.rounds = 0
        self.calls = 0
        self.closed: str | None = None
        """Why no more calls are run, in words; `None` while they are."""

    async def answer(self, completion: Completion) -> list[Message]:
        """The messages that answer one round's calls, in their order."""
        calls = completion.tool_calls
        self.rounds += 1
        self.calls += len(calls)
        over = self._over()
        texts: list[str] = [""] * len(calls)

        async def answer_one(place: int, call: ToolCall) -> None:
            texts[place] = await self._answer(call, over)

        try:
            async with asyncio.TaskGroup() as group:
                for place, call in enumerate(calls):
                    group.create_task(answer_one(place, call), name=f"tool {call.name[:40]}")
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        self.closed = self.closed or over or self._last()
        if self.closed is not None:
            texts[-1] = self._closing(calls[-1], texts[-1])
        return [Message(Role.TOOL, text, answers=call) for call, text in zip(calls, texts, strict=True)]

    def _over(self) -> str | None:
        """Why this round's calls are not run any more."""
        limits = self._limits
        if self.calls > limits.max_calls:
            return f"the limit of {limits.max_calls} tool calls was reached"
        if self._clock.monotonic() - self._began > limits.max_s:
            return f"the {limits.max_s:g} s for tool calls were over"
        if self._ledger.bill.cost.known_usd - self._spent_before > limits.max_cost_usd:
            return f"the {limits.max_cost_usd:g} dollars for tool calls were spent"
        return None

    def _last(self) -> str | None:
        """Why this round was the last."""
        if self.rounds >= self._limits.max_rounds:
            return f"the limit of {self._limits.max_rounds} rounds of tool calls was reached"
        return None

    def _closing(self, call: ToolCall, text: str) -> str:
        if isinstance(self._tools.get(call.name), EchoTool):
            return text  # the provider takes nothing but the echo
        return f"{text}\n\nNo more calls are possible: {self.closed}. Answer now with what you have."

    async def _answer(self, call: ToolCall, over: str | None) -> str:
        tool = self._tools.get(call.name)
        if isinstance(tool, EchoTool):
            tool.called()
            return call.arguments
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return _failed(f"There is no tool {call.name[:80]!r}. There are: {known}.")
        if over is not None:
            return _failed(f"Not run, because {over}.")
        try:
            arguments = tool.read(call.arguments)
        except ValueError as error:
            return _failed(str(error))
        key = (call.name, _encode(arguments))
        self._seen[key] += 1
        if (repeats := self._seen[key] - 1) > 0:
            if repeats >= REPEATS:
                self.closed = f"{call.name} was called again and again with the same arguments"
            return _failed(
                "This very call was answered before. Use that result, or call with other arguments."
            )
        return self._cut(await self._run(tool, arguments))

    async def _run(self, tool: TypedTool, arguments: Any) -> str:
        limit = asyncio.timeout(self._limits.tool_s)
        try:
            async with limit:
                return await tool.run(arguments)
        except ToolFault as fault:
            if handling_of(fault).ends_call:
                raise
            return _failed(str(fault))
        except TimeoutError:
            if not limit.expired():
                raise
            return _failed(f"{tool.name} did not end within {self._limits.tool_s:g} s.")

    def _cut(self, text: str) -> str:
        limit = self._limits.max_result_characters
        return text if len(text) <= limit else f"{text[:limit]}\n[cut: {len(text) - limit} more characters]"


def _failed(sentence: str) -> str:
    return f"Error: {sentence}"


def _unpacked(given: Any, schema: Mapping[str, Any]) -> Any:
    """`given` with texts decoded where the schema wants an object or a list, at any depth."""
    kind = schema.get("type")
    if isinstance(given, str) and kind in {"object", "array"}:
        try:
            decoded = msgspec.json.decode(given)
        except msgspec.DecodeError:
            return given
        wanted = dict if kind == "object" else list
        return _unpacked(decoded, schema) if isinstance(decoded, wanted) else given
    if isinstance(given, dict):
        fields = schema.get("properties", {})
        return {name: _unpacked(value, fields.get(name, {})) for name, value in given.items()}
    if isinstance(given, list):
        return [_unpacked(item, schema.get("items", {})) for item in given]
    return given
