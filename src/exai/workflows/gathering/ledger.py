"""The evidence of one run: its rows, what a prompt shows of them, and the files that answers cite by them."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from exai.evidence.packing import Packed
from exai.evidence.pieces import CHANGE, Piece, block
from exai.evidence.shown import ShownEvidence
from exai.storage.workflows.evidence import EvidenceRow
from exai.workflows.citations import ShownFile

__all__ = ["Ledger", "piece_of", "row_of", "rows_of"]


class Ledger:
    """What was gathered for a run so far."""

    def __init__(self, rows: Iterable[EvidenceRow] = ()) -> None:
        self.rows = list(rows)

    def texts(self, *, last_first: bool = False) -> dict[str, str]:
        """Return what prompts show of each stage that gathered, in the order of the numbers.

        With `last_first` the files come in the other order, and the hunks of a change stay behind them.
        """
        texts: dict[str, str] = {}
        rows = list(self._shown())
        if last_first:
            places = {path: place for place, path in enumerate(dict.fromkeys(row.path for row in rows))}
            rows.sort(key=lambda row: (row.source == CHANGE, -places[row.path]))
        for row in rows:
            texts[row.stage] = texts.get(row.stage, "") + block(f"E{row.number}", piece_of(row))
        return texts

    @property
    def pieces(self) -> list[Piece]:
        """Return what was shown."""
        return [piece_of(row) for row in self._shown()]

    def with_texts(self, texts: Iterable[str]) -> "Ledger":
        """Return what was shown, with other texts of the same lines."""
        pairs = zip(self._shown(), texts, strict=True)
        return Ledger([msgspec.structs.replace(row, text=text) for row, text in pairs])

    def report(self) -> tuple[ShownEvidence, ...]:
        """List all pieces: those that were shown, then those that were not and why."""
        return tuple(
            ShownEvidence(
                row.path,
                row.first,
                row.last,
                row.sha256,
                row.tokens,
                row.source,
                row.why,
                f"E{row.number}" if row.left_out is None else None,
                row.left_out,
            )
            for row in sorted(self.rows, key=lambda row: row.left_out is not None)
        )

    @property
    def digests(self) -> dict[str, set[str]]:
        """The files of the workspace, as it is, of which lines were shown, each with the digests that it had."""
        digests: dict[str, set[str]] = {}
        for row in self._shown():
            if row.path and row.total and not row.rev:
                digests.setdefault(row.path, set()).add(row.sha256)
        return digests

    def files(self, now: Mapping[str, str]) -> list[ShownFile]:
        """Return what answers may cite: per file and commit all lines that were shown, under all their ids.

        `now` has the texts of files that are others by now.
        """
        groups: dict[tuple[str, str], list[EvidenceRow]] = {}
        for row in self._shown():
            key = (row.path, row.rev) if row.path else (f"E{row.number}", row.rev)
            groups.setdefault(key, []).append(row)
        return [
            ShownFile(
                [f"E{row.number}" for row in rows],
                path,
                sorted(_lines(rows).items()),
                None if rev else now.get(path),
            )
            for (path, rev), rows in groups.items()
        ]

    def _shown(self) -> Iterable[EvidenceRow]:
        return (row for row in self.rows if row.left_out is None)


def rows_of(packed: Packed, stage: str, after: int) -> tuple[EvidenceRow, ...]:
    """Make rows of packed pieces, what is shown first, with the numbers that follow `after`."""
    pieces: Sequence[tuple[Piece, str | None]] = [
        *((piece, None) for piece in packed.shown),
        *((each.piece, each.why) for each in packed.left_out),
    ]
    return tuple(
        row_of(piece, number, stage, left_out)
        for number, (piece, left_out) in enumerate(pieces, start=after + 1)
    )


def row_of(piece: Piece, number: int, stage: str, left_out: str | None) -> EvidenceRow:
    """Make a row of a piece; `left_out` is why it is not shown."""
    return EvidenceRow(
        number=number,
        stage=stage,
        source=piece.source,
        path=piece.path,
        first=piece.first,
        last=piece.last,
        total=piece.total,
        rev=piece.rev,
        sha256=piece.sha256,
        tokens=piece.tokens,
        why=piece.why,
        left_out=left_out,
        text=piece.text if left_out is None else "",
    )


def piece_of(row: EvidenceRow) -> Piece:
    """Return what a row keeps."""
    return Piece(
        source=row.source,
        path=row.path,
        first=row.first,
        last=row.last,
        sha256=row.sha256,
        text=row.text,
        why=row.why,
        rev=row.rev,
        tokens=row.tokens,
        total=row.total,
    )


def _lines(rows: Iterable[EvidenceRow]) -> dict[int, str]:
    """Return the lines of rows of one file by their numbers; of a hunk those that stand in the file."""
    lines: dict[int, str] = {}
    for row in rows:
        texts = row.text.removesuffix("\n").split("\n") if row.text else []
        if row.source == CHANGE:
            texts = [text[1:] for text in texts if text[:1] in {"+", " "}]
        lines |= enumerate(texts, row.first)
    return lines
