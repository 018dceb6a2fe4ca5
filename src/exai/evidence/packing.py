"""Chooses which pieces a prompt shows, and puts them into an order that the prefix caches of providers keep.

Pieces are handed in with the most important first. They are taken in three passes, each within the room:

    1. of each file that the change touches one hunk, so that no file is forgotten
    2. in their order, as long as their file has no more than its share
    3. in their order what the shares held back, where there is room left

A piece whose lines are all in another one that is shown is left out. What is shown comes by path and line, the hunks of
the change behind everything else: what stands before them is the same for the next question about the same files.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from exai.evidence.pieces import CHANGE, Piece

__all__ = ["LeftOut", "Packed", "Packer"]

SHARE = 1 / 3
"""Of the room that one file has, as long as others need it."""
NO_ROOM = "no room"
COVERED = "its lines are in another piece that is shown"


class LeftOut(msgspec.Struct, frozen=True):
    """A piece that was gathered and is not shown."""

    piece: Piece
    why: str


@dataclass(frozen=True, slots=True)
class Packed:
    """What a prompt shows, and what it does not."""

    shown: tuple[Piece, ...]
    """In the order in which the prompt has them."""
    left_out: tuple[LeftOut, ...]
    """In the order of their importance."""

    @property
    def tokens(self) -> int:
        """Of what is shown."""
        return sum(piece.tokens for piece in self.shown)


class Packer:
    """Chooses pieces within a room of tokens."""

    def __init__(self, share: float = SHARE) -> None:
        """`share` is the part of the room that one file may have, as long as others need it."""
        self._share = share

    def pack(self, pieces: Sequence[Piece], room: int) -> Packed:
        """Choose among pieces, the most important first, at most `room` tokens of them."""
        choice = _Choice(room, room * self._share)
        choice.take(_one_hunk_a_file(pieces), shared=False)
        choice.take(pieces, shared=True)
        while choice.take(pieces, shared=False):
            pass  # a larger piece may have given the room of a smaller one back
        shown = sorted(choice.taken, key=_place)
        left_out = [
            LeftOut(piece, COVERED if choice.covers(piece) else NO_ROOM)
            for piece in _distinct(pieces)
            if piece not in choice.taken
        ]
        return Packed(tuple(shown), tuple(left_out))


class _Choice:
    """What was taken so far."""

    def __init__(self, room: int, share: float) -> None:
        self.taken: dict[Piece, None] = {}
        self._left = room
        self._share = share
        self._of_file: defaultdict[str, int] = defaultdict(int)
        self._by_path: defaultdict[str, list[Piece]] = defaultdict(list)

    def covers(self, piece: Piece) -> bool:
        return any(taken.has(piece) for taken in self._by_path[piece.path] if taken is not piece)

    def take(self, pieces: Iterable[Piece], *, shared: bool) -> bool:
        """Take what fits; return whether any did."""
        has_taken = False
        for piece in pieces:
            is_beyond = shared and self._of_file[piece.path] + piece.tokens > self._share
            is_passed_over = piece in self.taken or piece.is_named_only
            if is_passed_over or piece.tokens > self._left or is_beyond or self.covers(piece):
                continue
            self._add(piece)
            has_taken = True
        return has_taken

    def _add(self, piece: Piece) -> None:
        """Take a piece, and give back those whose lines it has."""
        beside = self._by_path[piece.path]
        for other in [taken for taken in beside if piece.has(taken)]:
            del self.taken[other]
            beside.remove(other)
            self._count(other, -1)
        self.taken[piece] = None
        beside.append(piece)
        self._count(piece, 1)

    def _count(self, piece: Piece, sign: int) -> None:
        self._left -= sign * piece.tokens
        self._of_file[piece.path] += sign * piece.tokens


def _one_hunk_a_file(pieces: Sequence[Piece]) -> list[Piece]:
    first: dict[str, Piece] = {}
    for piece in pieces:
        if piece.source == CHANGE and (piece.path not in first or piece.tokens < first[piece.path].tokens):
            first[piece.path] = piece
    return list(first.values())


def _distinct(pieces: Sequence[Piece]) -> Iterable[Piece]:
    return dict.fromkeys(pieces)


def _place(piece: Piece) -> tuple[bool, str, int, int, str]:
    return (piece.source == CHANGE, piece.path, piece.first, -piece.last, piece.rev)
