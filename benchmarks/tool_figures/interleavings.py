"""Four runs of `think` at once, in one call and step by step, of one owner and of two, answered in a seed's order."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tool_figures.databases import opened
from benchmarks.tool_figures.figure import DatabaseKind, Figure, Scale
from support.interleaved_runs import RUNS, interleave

__all__ = ["measure"]

WHOLE = 10_000
AT_ONCE = {"sqlite": 20, "postgresql": 5}
"""Schedules, each with its own four runs: of PostgreSQL as many as its connections serve in time on a busy machine."""
OWNERS = (("anna", "ben"), ("anna",))


async def measure(scale: Scale) -> Sequence[Figure]:
    """Interleave them on each kind of database."""
    return [await _on(kind, scale) for kind in scale.databases]


async def _on(kind: DatabaseKind, scale: Scale) -> Figure:
    foreign = wrong = 0
    count = scale.of(WHOLE)
    at_once = AT_ONCE[kind]
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        async with opened(kind, Path(place)) as database:
            for begin in range(0, count, at_once):
                numbers = range(begin, min(begin + at_once, count))
                found = await asyncio.gather(
                    *(
                        interleave(database, Path(place), OWNERS[each % 2], scale.seed + each)
                        for each in numbers
                    )
                )
                foreign += sum(words for words, _ in found)
                wrong += sum(steps for _, steps in found)
    return Figure(
        what=f"of {count:,} interleavings of {RUNS} runs ({kind}): words of another run; wrong steps",
        measured=f"{foreign}; {wrong}",
        aim="0; 0",
        reached=foreign == wrong == 0,
    )
