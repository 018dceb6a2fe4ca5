"""What share of the prompts of second passes and follow-up questions the emulated provider had in its cache."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tool_figures.figure import Figure, Scale
from exai import config
from exai.monitoring import logs
from exai_emulator import EmulatorOptions, running
from support.cached_shares import LEAST, cached_shares, written_workspace
from support.daemon_in_process import daemon_in_process
from support.emulated import provider_environment

__all__ = ["measure"]


async def measure(scale: Scale) -> Sequence[Figure]:  # noqa: ARG001 - it is the same at each scale
    """Ask every tool that takes files, and once more."""
    logs.configure(config.Logging(level="error", format="json"))
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        folder, files = written_workspace(Path(place))
        async with running(EmulatorOptions()) as emulator:
            environ = {**provider_environment(emulator), "EXAI_FILES__ROOTS": json.dumps([str(folder)])}
            async with daemon_in_process(
                data_dir=Path(place) / "data", environ=environ, wall=time.time()
            ) as daemon:
                shares = await cached_shares(daemon.mcp_ws, emulator, folder, files)
    return [
        Figure(
            what=f"{what}: cached share",
            measured=f"{share:.0%}",
            aim=f"{LEAST:.0%}",
            reached=share >= LEAST,
        )
        for what, share in shares.items()
    ]
