"""Accumulates a model's tool calls from the parts of an answer.

It reads both forms, whole and in pieces, and copes with their documented defects: pieces without an index, an id in
the first piece alone or in every one, calls without an id or with another's, arguments that are an object. The
arguments are not checked here.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from exai.messages import ToolCall

__all__ = ["CallPiece", "ToolCallAccumulator"]

MAX_CALLS = 128
"""Calls of one answer; providers allow as many tools."""


class _FunctionPiece(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None


class CallPiece(msgspec.Struct, gc=False):
    """One entry of `tool_calls`, whole or a piece."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: _FunctionPiece | None = None


class _Call:
    __slots__ = ("arguments", "id", "kind", "name")

    def __init__(self) -> None:
        self.id = ""
        self.kind = ""
        self.name = ""
        self.arguments: list[str] = []


class ToolCallAccumulator:
    """Accumulates the pieces of one answer's calls."""

    __slots__ = ("_by_index", "_calls", "_latest")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._latest: _Call | None = None

    def add(self, pieces: Iterable[CallPiece], *, whole: bool) -> int:
        """Add entries, each a call of its own if they are `whole`; return how many characters they had."""
        characters = 0
        for piece in pieces:
            call = self._begun(piece) if whole else self._call_of(piece)
            call.id = call.id or piece.id or ""
            call.kind = call.kind or piece.type or ""
            function = piece.function
            if function is None:
                continue
            call.name = call.name or function.name or ""
            arguments = function.arguments
            if arguments is not None and not isinstance(arguments, str):
                arguments = msgspec.json.encode(arguments).decode()
            if arguments:
                call.arguments.append(arguments)
            characters += len(call.name) + len(arguments or "")
        return characters

    def _call_of(self, piece: CallPiece) -> _Call:
        """Find the call that a piece belongs to: by its index, else by its id, else the latest."""
        known = self._latest if piece.index is None else self._by_index.get(piece.index)
        if known is None or (piece.id and known.id and piece.id != known.id):
            return self._begun(piece)
        return known

    def _begun(self, piece: CallPiece) -> _Call:
        call = _Call()
        if len(self._calls) < MAX_CALLS:
            self._calls.append(call)
        if piece.index is not None:
            self._by_index[piece.index] = call
        self._latest = call
        return call

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """Return the calls in order. An id that is missing or repeated is replaced."""
        ids: set[str] = set()
        calls = []
        for place, call in enumerate(self._calls):
            if not call.name:
                continue
            call_id = call.id or f"call_{place}"
            while call_id in ids:
                call_id = f"{call_id}_{place}"
            ids.add(call_id)
            calls.append(ToolCall(call_id, call.name, "".join(call.arguments), call.kind or "function"))
        return tuple(calls)
