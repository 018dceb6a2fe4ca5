"""Reviews of the corpus: what the prompts show of each defect, and what is left of findings that are made up.

Beside what `review` shows stands what `chat` has of the same change: its diff alone, and beside the diff
the files that `review` gathers from, whole, as far as they fit into the same tokens, the changed ones first.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import msgspec

from benchmarks.corpus_data import Clean, Corpus, Defect, load
from benchmarks.tool_figures.figure import Figure, Scale
from exai import config
from exai.evidence.packing import Packer
from exai.evidence.pieces import CHANGE, Piece
from exai.monitoring import logs
from exai_emulator import EmulatorOptions, running
from support.daemon_in_process import daemon_in_process
from support.mcp_websocket import mcp_socket
from support.reviewed_corpus import Reviewed, gathered_of, recall, review_of

__all__ = ["measure_deep", "measure_recall", "measure_standard"]

Depth = Literal["standard", "deep"]
ROOMS = {1_000: 0.0, 8_000: 0.85, 16_000: 0.95}
"""Tokens, and the recall that is aimed at. The projects are small, so a tighter room is measured without an aim."""
MOST_FALSE = 0.05
MOST_ON_CLEAN = 0.2
MADE_UP = 20
"""False findings that are reported of each change."""


async def measure_recall(scale: Scale) -> Sequence[Figure]:
    """Gather and pack for each defect, and compare the gold ranges with what is shown."""
    corpus = load()
    rows = [
        _Shown(corpus, each, await gathered_of(corpus, each))
        for each in corpus.defects[: scale.of(len(corpus.defects))]
    ]
    return [
        *_recalls(rows),
        *_recalls([row for row in rows if corpus.is_held_out(row.defect)], ", held out"),
    ]


async def measure_standard(scale: Scale) -> Sequence[Figure]:
    """Review defects and clean changes by a reader and one that makes findings up."""
    return await _noise(scale, "standard")


async def measure_deep(scale: Scale) -> Sequence[Figure]:
    """Review them so with depth `deep`."""
    return await _noise(scale, "deep")


class _Shown:
    """Which share of the gold ranges of one defect is shown, by the room."""

    def __init__(self, corpus: Corpus, defect: Defect, pieces: Sequence[Piece]) -> None:
        self.defect = defect
        packed = {room: Packer().pack(pieces, room) for room in ROOMS}
        self.shares = {room: recall(defect, each.shown) for room, each in packed.items()}
        self.tokens = {room: each.tokens for room, each in packed.items()}
        diff = [piece for piece in pieces if piece.source == CHANGE]
        self.of_diff = recall(defect, diff)
        files, tokens = corpus.changed(defect), sum(piece.tokens for piece in diff)
        self.of_files = {
            room: recall(defect, [*diff, *_whole(files, pieces, room - tokens)]) for room in ROOMS
        }


def _whole(files: dict[str, str], pieces: Sequence[Piece], room: int) -> Iterator[Piece]:
    """Show whole files as long as they fit, in the order in which they were gathered from."""
    for path in dict.fromkeys(piece.path for piece in pieces if piece.path in files):
        lines = files[path].count("\n") + 1
        piece = Piece("whole", path, 1, lines, "", files[path], "").counted()
        room -= piece.tokens
        if room < 0:
            return
        yield piece


def _recalls(rows: Sequence[_Shown], which: str = "") -> Iterator[Figure]:
    if not rows:
        return
    of_diff = _mean([row.of_diff for row in rows])
    for room, aim in ROOMS.items():
        share, of_files = (
            _mean([row.shares[room] for row in rows]),
            _mean([row.of_files[room] for row in rows]),
        )
        yield Figure(
            what=f"review: share of gold ranges at {room:,} tokens, {len(rows)} defects{which}",
            measured=f"{share:.2f} (the diff alone: {of_diff:.2f}; with whole files: {of_files:.2f})",
            aim=f"{aim:.2f}" if aim else "none",
            reached=share >= aim,
            details={
                "tokens": round(_mean([row.tokens[room] for row in rows])),
                "missed": [] if which else [row.defect.id for row in rows if row.shares[room] < 1],
            },
        )


async def _noise(scale: Scale, depth: Depth) -> Sequence[Figure]:
    logs.configure(config.Logging(level="error", format="json"))
    corpus = load()
    rows: list[Defect | Clean] = [
        *corpus.defects[: scale.of(len(corpus.defects))],
        *corpus.clean[: scale.of(len(corpus.clean))],
    ]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="exai-reviews-")))
        emulator = await stack.enter_async_context(running(EmulatorOptions()))
        there = emulator.addresses
        environ = {
            "GLM_API_KEY": there.glm_key,
            "KIMI_API_KEY": there.kimi_key,
            "EXAI_PROVIDERS__GLM__BASE_URL": there.glm,
            "EXAI_PROVIDERS__KIMI__BASE_URL": there.kimi,
            "EXAI_FILES__ROOTS": msgspec.json.encode([str(folder)]).decode(),
        }
        daemon = await stack.enter_async_context(
            daemon_in_process(data_dir=folder / ".data", environ=environ, wall=time.time())
        )
        client = await stack.enter_async_context(mcp_socket(daemon.mcp_ws))
        reviews = [
            await review_of(client, emulator, corpus, row, folder, seed=scale.seed, depth=depth)
            for row in rows
        ]
    of_defects = [each for each in reviews if isinstance(each.row, Defect)]
    of_clean = [each for each in reviews if isinstance(each.row, Clean)]
    return [*_of_defects(of_defects, depth), _of_clean(of_clean, depth)]


def _of_defects(reviews: Sequence[Reviewed], depth: Depth) -> Sequence[Figure]:
    false, made_up = sum(each.false for each in reviews), MADE_UP * len(reviews)
    seen = [each for each in reviews if each.was_reported]
    lost = [each.row.id for each in seen if not each.has_found]
    found = Counter(each.row.kind for each in reviews if each.has_found and isinstance(each.row, Defect))
    return [
        Figure(
            what=f"{depth}: of {made_up:,} findings that are made up, half with true citations: shown",
            measured=f"{false} ({false / made_up:.1%})",
            aim=f"{MOST_FALSE:.0%}",
            reached=false <= MOST_FALSE * made_up,
        ),
        Figure(
            what=f"{depth}: of {len(seen)} defects that the reader sees, of {len(reviews)}: lost",
            measured=str(len(lost)),
            aim="0",
            reached=not lost,
            details={"lost": lost, "found by class": dict(found)},
        ),
    ]


def _of_clean(reviews: Sequence[Reviewed], depth: Depth) -> Figure:
    shown = sum(len(each.findings) for each in reviews)
    return Figure(
        what=f"{depth}: findings on {len(reviews)} clean changes",
        measured=f"{shown / len(reviews):.2f} a change",
        aim=f"{MOST_ON_CLEAN:g}",
        reached=shown <= MOST_ON_CLEAN * len(reviews),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
