"""Four runs of `think` at once, in one call and step by step, of one owner and of two, answered in a seed's order."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.tool_figures.figure import DatabaseKind, Figure, Scale
from exai import config
from exai.storage.database import Database
from support.interleaved_runs import RUNS, interleave
from support.postgresql_server import postgresql_server

__all__ = ["measure"]

WHOLE = 10_000


async def measure(scale: Scale) -> Sequence[Figure]:
    """Interleave them on each kind of database."""
    return [await _on(kind, scale) for kind in scale.databases]


async def _on(kind: DatabaseKind, scale: Scale) -> Figure:
    foreign = wrong = 0
    count = scale.of(WHOLE)
    with ExitStack() as scope:
        place = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="exai-bench-")))
        settings = config.Database()
        if kind == "postgresql":
            server = scope.enter_context(postgresql_server())
            settings = config.Database.model_validate({"url": server.create_database("interleaved")})
        database = await Database.open(settings, place / "database")
        try:
            for number in range(count):
                owners = ("anna",) if number % 2 else ("anna", "ben")
                words, steps = await interleave(database, place, owners, scale.seed + number)
                foreign, wrong = foreign + words, wrong + steps
        finally:
            await database.close()
    return Figure(
        what=f"of {count:,} interleavings of {RUNS} runs ({kind}): words of another run; wrong steps",
        measured=f"{foreign}; {wrong}",
        aim="0; 0",
        reached=foreign == wrong == 0,
    )
