"""What `debug` shows of a planted defect before any model is asked: the share of its gold ranges in the prompt.

Of each defect the project lies there with the defect in it, and without a history that would show it. The problem is
the defect's title, as a person says it; the log is what the project's tests print, where they fail and their tools are
here. Beside it stands what `chat` has for the same tokens: the same files whole, as far as they fit.
The projects are small: at 8,000 tokens all of one has room, so a tighter room is measured too, without an aim.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.corpus import node
from benchmarks.corpus_data import Corpus, Defect, load, write_tree
from benchmarks.mutants import LONGEST_S
from benchmarks.tool_figures.figure import Figure, Scale
from exai.evidence.collection.collector import gather
from exai.evidence.packing import Packer
from exai.evidence.pieces import Bounds, Piece, Wanted
from exai.evidence.reading import Reader
from exai.evidence.trees import FolderTree
from exai.workflows.definitions import CollectStage, bundled_workflows

__all__ = ["measure"]

ROOMS: Mapping[int, float] = {1_000: 0.0, 8_000: 0.80, 16_000: 0.90}
"""Tokens of evidence, and the aim at each."""


async def measure(scale: Scale) -> Sequence[Figure]:
    """Gather and pack for each defect."""
    corpus = load()
    defects = corpus.defects[: scale.of(len(corpus.defects))]
    rows = [_Row(corpus, defect) for defect in defects]
    return [*_figures(rows), *_figures([row for row in rows if row.is_held_out], " held out")]


class _Row:
    """What was found of one defect."""

    def __init__(self, corpus: Corpus, defect: Defect) -> None:
        self.defect = defect
        self.is_held_out = corpus.is_held_out(defect)
        with tempfile.TemporaryDirectory(prefix="exai-bench-") as made:
            folder = Path(made).resolve()
            write_tree(corpus.changed(defect), folder)
            self.log = _log(folder, corpus.project(defect.project).language) if defect.seen_by_tests else ""
            pieces = _gathered(folder, Wanted(question=defect.title, log=self.log))
            sizes = {room: Packer().pack(pieces, room) for room in ROOMS}
            self.shares = {room: _share(defect, packed.shown) for room, packed in sizes.items()}
            self.tokens = {room: packed.tokens for room, packed in sizes.items()}
            self.whole = {room: _share(defect, _whole_files(folder, pieces, room)) for room in ROOMS}


def _figures(rows: Sequence[_Row], which: str = "") -> Iterator[Figure]:
    for room, aim in ROOMS.items():
        share = _mean([row.shares[room] for row in rows])
        yield Figure(
            what=f"debug: share of gold ranges at {room:,} tokens, {len(rows)} defects{which}",
            measured=f"{share:.2f} (whole files: {_mean([row.whole[room] for row in rows]):.2f})",
            aim=f"{aim:.2f}" if aim else "none",
            reached=share >= aim,
            details={
                "tokens": round(_mean([row.tokens[room] for row in rows])),
                "with a log": f"{_mean([row.shares[room] for row in rows if row.log]):.2f}",
                "without": f"{_mean([row.shares[room] for row in rows if not row.log]):.2f}",
                "missed": {}
                if which
                else {
                    row.defect.id: round(row.shares[room], 2)
                    for row in rows
                    if row.shares[room] < 1 and not row.is_held_out
                },
            },
        )


def _gathered(folder: Path, wanted: Wanted) -> Sequence[Piece]:
    (stage,) = (
        each for each in bundled_workflows()["debug"].definition.stage if isinstance(each, CollectStage)
    )
    reader = Reader(FolderTree(str(folder), [str(folder)]))
    return gather(reader, stage.evidence, wanted, Bounds()).pieces


def _whole_files(folder: Path, pieces: Sequence[Piece], room: int) -> Iterator[Piece]:
    """Show the files of pieces whole, in their order, as many as have room."""
    for path in dict.fromkeys(piece.path for piece in pieces if piece.path):
        text = (folder / path).read_text()
        piece = Piece("whole", path, 1, text.count("\n") + 1, "", text, "").counted()
        room -= piece.tokens
        if room < 0:
            return
        yield piece


def _share(defect: Defect, shown: Iterator[Piece] | Sequence[Piece]) -> float:
    """Return which share of the gold ranges is shown, each in full."""
    lines = {
        (piece.path, line) for piece in shown for line in range(piece.first, piece.last + 1) if piece.path
    }
    seen = [
        all((gold.path, line) in lines for line in range(gold.first, gold.last + 1)) for gold in defect.gold
    ]
    return sum(seen) / len(seen)


def _log(folder: Path, language: str) -> str:
    """Return what the tests of a project print; empty where their tools are not here."""
    if language == "python":
        command = [sys.executable, "-S", "-m", "unittest"]
    elif language == "typescript" and (program := node()) is not None:
        command = [program, "--test", *sorted(str(path) for path in folder.glob("test/*.test.ts"))]
    else:
        return ""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=4 * LONGEST_S,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return ""
    return ended.stdout + ended.stderr


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
