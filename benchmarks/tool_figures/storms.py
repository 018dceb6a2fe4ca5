"""Calls of every answering tool, with clients that leave, time-outs and failing providers: what is left of them."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tool_figures.figure import Figure, Scale
from exai import config
from exai.monitoring import logs
from exai_emulator import EmulatorOptions, running
from support.daemon_in_process import daemon_in_process
from support.emulated import provider_environment
from support.tool_storm import STORM_ENVIRON, Remains, Storm

__all__ = ["measure"]

WHOLE = 10_000
STORM = 500
"""Calls of one daemon."""


async def measure(scale: Scale) -> Sequence[Figure]:
    """Let storms pass over one daemon after another; the loop's time is virtual."""
    logs.configure(config.Logging(level="error", format="json"))
    total = Remains()
    count = scale.of(WHOLE)
    for number, begin in enumerate(range(0, count, STORM)):
        remains = await _storm(scale.seed + number, min(STORM, count - begin))
        total.ends += remains.ends
        total.tools += remains.tools
        total.faults += remains.faults
    return [
        Figure(
            what=f"{total.tools.total():,} calls of {len(total.tools)} tools, {_left(total):,} left by their client: "
            "permits, bytes, tasks, connections, rows without an end, reservations; limits exceeded",
            measured=f"{len(total.faults)}",
            aim="0",
            reached=not total.faults,
            details={"ends": dict(total.ends), "tools": dict(total.tools), "faults": total.faults},
        )
    ]


def _left(remains: Remains) -> int:
    return remains.ends["cancelled"] + remains.ends["vanished"]


async def _storm(seed: int, count: int) -> Remains:
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        folder, file = _workspace(Path(place))
        async with running(EmulatorOptions()) as emulator:
            environ = {
                **provider_environment(emulator),
                **STORM_ENVIRON,
                "EXAI_FILES__ROOTS": json.dumps([str(folder)]),
            }
            async with daemon_in_process(
                data_dir=Path(place) / "data", environ=environ, wall=time.time()
            ) as daemon:
                return await Storm(daemon, emulator, [file], folder, seed).run(count, clients=12)


def _workspace(place: Path) -> tuple[Path, Path]:
    folder = place.resolve() / "workspace"
    folder.mkdir()
    file = folder / "sums.py"
    file.write_text("def add(one, other):\n    return one - other\n")
    return folder, file
