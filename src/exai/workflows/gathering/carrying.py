"""What the conversation's last run of a tool was shown, and what the next one is shown again.

A question that goes on is about the same code, and the provider has read that already: so it stands there again, under
the same ids, as long as the files are what they were. What is new for this question follows.
"""

from collections.abc import Sequence

import msgspec

from exai.errors import BadArguments, FileRefused
from exai.evidence.pieces import Piece
from exai.evidence.workspace import Workspace
from exai.storage.workflows.evidence import EvidenceRow
from exai.workflows.gathering.ledger import piece_of

__all__ = ["carried", "without"]

SHARE = 2 / 3
"""Of the room, for what was shown before."""


async def carried(
    rows: Sequence[EvidenceRow], stage: str, workspace: Workspace, room: float
) -> tuple[EvidenceRow, ...]:
    """Return the rows that are shown again, as those of a stage: of files that are as they were, within their share."""
    now = {path: await _digest(workspace, path) for path in {row.path for row in rows if _is_of_file(row)}}
    same = [row for row in rows if row.left_out is None and now.get(row.path, row.sha256) == row.sha256]
    if not any(map(_is_of_file, same)):
        return ()
    kept, left = [], room * SHARE
    for row in same:
        if row.tokens > left:
            break
        left -= row.tokens
        kept.append(msgspec.structs.replace(row, stage=stage))
    return tuple(kept)


def without(pieces: Sequence[Piece], rows: Sequence[EvidenceRow]) -> list[Piece]:
    """Leave out pieces whose lines are among those of rows."""
    shown = [piece_of(row) for row in rows]
    return [piece for piece in pieces if not any(each.has(piece) for each in shown)]


def _is_of_file(row: EvidenceRow) -> bool:
    return bool(row.path and row.total and not row.rev)


async def _digest(workspace: Workspace, path: str) -> str | None:
    try:
        return (await workspace.read_lines(path, 1, 1)).sha256
    except (BadArguments, FileRefused):
        return None
