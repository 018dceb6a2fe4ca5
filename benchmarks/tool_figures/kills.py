"""Runs whose client, daemon or both are gone before, during and after each commit, and that are asked for again."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tool_figures.databases import opened
from benchmarks.tool_figures.figure import DatabaseKind, Figure, Scale
from support.killed_runs import FORMS, OTHERS, every_kill, troubles_of

__all__ = ["measure"]


async def measure(scale: Scale) -> Sequence[Figure]:
    """Kill a run of `think` in both forms and of each other workflow, on each kind of database."""
    return [await _on(kind, scale) for kind in scale.databases]


async def _on(kind: DatabaseKind, scale: Scale) -> Figure:
    count, troubles = 0, list[str]()
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        async with opened(kind, Path(place)) as database:
            for form in (*FORMS, *OTHERS):
                kills = await every_kill(database, Path(place), form)
                kills = kills[:: round(1 / scale.share)]
                count += len(kills)
                troubles += await troubles_of(database, Path(place), kills)
    return Figure(
        what=f"{count} kills of client, daemon and both at each commit ({kind}): other results, requests too many",
        measured=f"{len(troubles)}",
        aim="0",
        reached=not troubles,
        details={"troubles": troubles},
    )
