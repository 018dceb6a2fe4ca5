"""Which pieces of a workspace a model was shown, for reports."""

import msgspec

from exai.evidence.packing import Packed
from exai.evidence.pieces import Piece

__all__ = ["ShownEvidence", "shown_evidence"]


class ShownEvidence(msgspec.Struct, frozen=True):
    """A piece of the workspace, and why the model was shown it, or was not."""

    path: str
    first: int
    last: int
    sha256: str
    tokens: int
    source: str
    why: str
    id: str | None = None
    """By which an answer cites it; missing: it was not shown."""
    left_out: str | None = None


def shown_evidence(packed: Packed) -> tuple[ShownEvidence, ...]:
    """List what a prompt shows, in its order, and then what it does not."""
    taken = (_evidence(piece, name=f"E{number}") for number, piece in enumerate(packed.shown, start=1))
    left_out = (_evidence(each.piece, left_out=each.why) for each in packed.left_out)
    return (*taken, *left_out)


def _evidence(piece: Piece, name: str | None = None, left_out: str | None = None) -> ShownEvidence:
    return ShownEvidence(
        piece.path,
        piece.first,
        piece.last,
        piece.sha256,
        piece.tokens,
        piece.source,
        piece.why,
        name,
        left_out,
    )
