"""Calls of a caller's tools: what a persona calls, how each service spells it, and what can be wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from exai_emulator.shapes import function_tools
from exai_emulator.tokens import count_tokens, pieces_of

__all__ = ["CallDefect", "CallForm", "SaidCall", "ScriptedCall", "asked_for_a_query", "calls_before"]

CallDefect = Literal[
    "object",
    "empty",
    "missing",
    "invalid_json",
    "nested_strings",
    "no_id",
    "no_index",
    "one_index",
    "id_repeated",
]
"""What user reports and SDK types say can be wrong with a call.

- `object`: the arguments are an object, not a text that holds one.
- `empty`: the arguments are "".
- `missing`: there is no `arguments`.
- `invalid_json`: the arguments are cut.
- `nested_strings`: objects and lists inside the arguments are texts that hold them.
- `no_id`: the call has no id.
- `no_index`: the pieces of a stream have no `index`.
- `one_index`: in a stream the call comes in one piece, with the index 0 and without an id.
- `id_repeated`: every piece of a stream has the id and the name.
"""

_encode = msgspec.json.Encoder().encode


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One call that a persona makes."""

    name: str
    """Of the tool; it need not be one that the request declares."""
    arguments: dict[str, Any] = {}
    id: str | None = None
    """Instead of the service's own; two calls may have the same."""
    defect: CallDefect | None = None


@dataclass(frozen=True, slots=True)
class SaidCall:
    """A call as an answer holds it."""

    name: str
    arguments: str
    """JSON, in the spelling that goes over the wire."""
    id: str | None = None
    defect: CallDefect | None = None
    kind: str = "function"
    """Its `type`, which follows the declaration."""

    @classmethod
    def of(cls, call: ScriptedCall) -> "SaidCall":
        arguments = dict(call.arguments)
        if call.defect == "nested_strings":
            arguments = {
                name: _encode(value).decode() if isinstance(value, dict | list) else value
                for name, value in arguments.items()
            }
        text = _encode(arguments).decode()
        if call.defect in ("empty", "missing"):
            text = ""
        elif call.defect == "invalid_json":
            text = text[: max(1, len(text) - 3)]
        return cls(call.name, text, call.id, call.defect)

    @property
    def tokens(self) -> int:
        return count_tokens(self.name + self.arguments)


def calls_before(messages: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How often the model has called since the last user message, and how many calls the messages hold."""
    rounds = calls = 0
    for message in messages:
        if message.get("role") == "user":
            rounds = 0
        elif isinstance(entries := message.get("tool_calls"), list) and entries:
            rounds += 1
            calls += len(entries)
    return rounds, calls


def asked_for_a_query(body: Mapping[str, Any]) -> str | None:
    """The name of the first declared function that requires a `query` and nothing else."""
    for function in function_tools(body):
        parameters = function.get("parameters")
        name = function.get("name")
        if isinstance(parameters, dict) and parameters.get("required") == ["query"] and isinstance(name, str):
            return name
    return None


@dataclass(frozen=True, slots=True)
class CallForm:
    """How one service spells calls. `ids` are what stands where a call brings no id of its own."""

    ids: Sequence[str]

    def _id(self, place: int, call: SaidCall) -> str | None:
        if call.defect == "no_id":
            return None
        return self.ids[place] if call.id is None else call.id

    def whole(self, calls: Sequence[SaidCall]) -> list[dict[str, Any]]:
        """The entries of `tool_calls` in one piece."""
        entries = []
        for place, call in enumerate(calls):
            entry: dict[str, Any] = {"type": call.kind, "function": _function(call)}
            if (call_id := self._id(place, call)) is not None:
                entry = {"id": call_id, **entry}
            if call.defect != "no_index":
                entry["index"] = place
            entries.append(entry)
        return entries

    def fragments(self, calls: Sequence[SaidCall]) -> Iterator[dict[str, Any]]:
        """The entries in pieces: id, type and name come first, and pieces of the arguments after them."""
        for place, (call, entry) in enumerate(zip(calls, self.whole(calls), strict=True)):
            function = entry["function"]
            if call.defect == "one_index":
                yield {"index": 0, "type": call.kind, "function": function}
                continue
            arguments = function.pop("arguments", None)
            if not isinstance(arguments, str):
                yield entry | {"function": function | ({} if arguments is None else {"arguments": arguments})}
                continue
            yield entry | {"function": function | {"arguments": ""}}
            for piece in pieces_of(arguments):
                fragment: dict[str, Any] = {"function": {"arguments": piece}}
                if call.defect == "id_repeated":
                    fragment = {**entry, "function": {"name": call.name, "arguments": piece}}
                if call.defect != "no_index":
                    fragment["index"] = place
                yield fragment


def _function(call: SaidCall) -> dict[str, Any]:
    function: dict[str, Any] = {"name": call.name}
    if call.defect == "object":
        function["arguments"] = msgspec.json.decode(call.arguments)
    elif call.defect != "missing":
        function["arguments"] = call.arguments
    return function
