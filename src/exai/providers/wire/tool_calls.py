"""Accumulates a model's tool calls from the parts of an answer.

It reads both forms, whole and in pieces, and copes with their documented defects: pieces without an index, an id in
the first piece alone or in every one, calls without an id or with another's, several calls under one index, arguments
that are an object. The arguments are not checked here.
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from exai.messages import ToolCall
from exai.providers.untrusted_json import UnreadableJsonError, read_json, well_formed
from exai.providers.wire.parts import CallPiece

__all__ = ["ToolCallAccumulator"]

MAX_CALLS = 128
"""Calls of one answer; providers allow as many tools."""


MAX_CHECKS = 100
MAX_CHECKED_CHARACTERS = 64 * 2**10
"""How often, and up to which length, a call's arguments are checked for being whole when its name comes again."""


class _Call:
    __slots__ = ("_checks", "arguments", "id", "kind", "name")

    def __init__(self) -> None:
        self.id = ""
        self.kind = ""
        self.name = ""
        self.arguments: list[str] = []
        self._checks = 0

    @property
    def is_complete(self) -> bool:
        """Whether its arguments are whole."""
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}") or self._checks >= MAX_CHECKS:
            return False
        self._checks += 1
        arguments = "".join(self.arguments)
        if len(arguments) > MAX_CHECKED_CHARACTERS:
            return False
        try:
            read_json(arguments.encode("utf-8", "replace"))
        except UnreadableJsonError:
            return False
        return True


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
            characters += len(piece.id or "") + len(piece.type or "")
            function = piece.function
            if function is None:
                continue
            call.name = call.name or function.name or ""
            arguments = _as_text(function.arguments)
            if arguments:
                call.arguments.append(arguments)
            characters += len(function.name or "") + len(arguments)
        return characters

    def _call_of(self, piece: CallPiece) -> _Call:
        """Find the call that a piece belongs to: by its index, else the latest; a new one where it begins one."""
        known = self._latest if piece.index is None else self._by_index.get(piece.index)
        return self._begun(piece) if known is None or _begins_another(piece, known) else known

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
            call_id = well_formed(call.id) or f"call_{place}"
            while call_id in ids:
                call_id = f"{call_id}_{place}"
            ids.add(call_id)
            name, arguments = well_formed(call.name), well_formed("".join(call.arguments))
            calls.append(ToolCall(call_id, name, arguments, well_formed(call.kind) or "function"))
        return tuple(calls)


def _begins_another(piece: CallPiece, known: _Call) -> bool:
    """Whether a piece begins another call than the one that has its index.

    Its id tells, or a name that comes again. Some servers repeat the name in every piece, so the same name begins a
    call only where the arguments before it are whole.
    """
    if piece.id and known.id:
        return piece.id != known.id
    name = piece.function.name if piece.function is not None else None
    if not name or not known.name:
        return False
    return name != known.name or known.is_complete


def _as_text(arguments: Any) -> str:
    """Return the arguments as the JSON text that they should be."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    try:
        return msgspec.json.encode(arguments).decode()
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(arguments)
