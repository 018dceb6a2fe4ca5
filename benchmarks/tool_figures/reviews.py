"""Reviews of the corpus: what the prompts show of each defect, and what is left of findings that are made up."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.corpus_data import Clean, Corpus, Defect, load
from benchmarks.tool_figures.figure import Figure, Scale
from exai_emulator import EmulatorOptions, running
from support.daemon_in_process import daemon_in_process
from support.mcp_websocket import mcp_socket
from support.reviewed_corpus import Reviewed, packed_of, recall, review_of

__all__ = ["measure"]

ROOMS = {8_000: 0.85, 16_000: 0.95}
"""Tokens, and the recall that is aimed at."""
MOST_FALSE = 0.05
MOST_ON_CLEAN = 0.2
MADE_UP = 20
"""False findings that are reported of each change."""


async def measure(scale: Scale) -> Sequence[Figure]:
    """Count what is shown of the gold ranges, then review defects and clean changes with a reader and a noisy one."""
    corpus = load()
    defects = corpus.defects[: scale.of(len(corpus.defects))]
    clean = corpus.clean[: scale.of(len(corpus.clean))]
    figures = [await _recall(corpus, defects, room) for room in ROOMS]
    return [*figures, *(await _noise(corpus, defects, clean, scale.seed))]


async def _recall(corpus: Corpus, defects: Sequence[Defect], room: int) -> Figure:
    packed = {each.id: await packed_of(corpus, each, room) for each in defects}
    recalls = {each.id: recall(each, packed[each.id].shown) for each in defects}
    held_out = [recalls[each.id] for each in defects if corpus.is_held_out(each)]
    mean = sum(recalls.values()) / len(recalls)
    tokens = sum(each.tokens for each in packed.values()) / len(packed)
    of_held_out = f"; held out {sum(held_out) / len(held_out):.3f}" if held_out else ""
    return Figure(
        what=f"evidence recall of `review` in {room:,} tokens, {len(defects)} defects",
        measured=f"{mean:.3f}{of_held_out}; {tokens:,.0f} tokens on average",
        aim=f"{ROOMS[room]:.2f}",
        reached=mean >= ROOMS[room],
        details={"missed": [name for name, value in recalls.items() if value < 1]},
    )


async def _noise(
    corpus: Corpus, defects: Sequence[Defect], clean: Sequence[Clean], seed: int
) -> Sequence[Figure]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="exai-reviews-")))
        emulator = await stack.enter_async_context(running(EmulatorOptions()))
        there = emulator.addresses
        environ = {
            "GLM_API_KEY": there.glm_key,
            "KIMI_API_KEY": there.kimi_key,
            "EXAI_PROVIDERS__GLM__BASE_URL": there.glm,
            "EXAI_PROVIDERS__KIMI__BASE_URL": there.kimi,
            "EXAI_FILES__ROOTS": f'["{folder}"]',
        }
        daemon = await stack.enter_async_context(
            daemon_in_process(data_dir=folder / ".data", environ=environ, wall=time.time())
        )
        client = await stack.enter_async_context(mcp_socket(daemon.mcp_ws))
        of_defects = [await review_of(client, emulator, corpus, row, folder, seed=seed) for row in defects]
        of_clean = [await review_of(client, emulator, corpus, row, folder, seed=seed) for row in clean]
    return [*_of_defects(of_defects), _of_clean(of_clean)]


def _of_defects(reviews: Sequence[Reviewed]) -> Sequence[Figure]:
    false, made_up = sum(each.false for each in reviews), MADE_UP * len(reviews)
    seen = [each for each in reviews if each.was_reported]
    lost = [each.row.id for each in seen if not each.has_found]
    return [
        Figure(
            what=f"of {made_up:,} findings that are made up, half with true citations: shown",
            measured=f"{false} ({false / made_up:.1%})",
            aim=f"{MOST_FALSE:.0%}",
            reached=false <= MOST_FALSE * made_up,
        ),
        Figure(
            what=f"of {len(seen)} defects that the reader sees, of {len(reviews)}: lost",
            measured=str(len(lost)),
            aim="0",
            reached=not lost,
            details={"lost": lost},
        ),
    ]


def _of_clean(reviews: Sequence[Reviewed]) -> Figure:
    shown = sum(len(each.findings) for each in reviews)
    return Figure(
        what=f"findings on {len(reviews)} clean changes",
        measured=f"{shown / len(reviews):.2f} a change",
        aim=f"{MOST_ON_CLEAN:g}",
        reached=shown <= MOST_ON_CLEAN * len(reviews),
    )
