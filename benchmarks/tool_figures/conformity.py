"""Models that follow the others in the second round of a vote: what counts, for every case."""

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
from support.followed_votes import every_follower, troubles_of

__all__ = ["measure"]


async def measure(scale: Scale) -> Sequence[Figure]:
    """Hold a vote with each follower."""
    logs.configure(config.Logging(level="error", format="json"))
    followers = every_follower()
    followers = followers[:: round(1 / scale.share)]
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as place:
        async with running(EmulatorOptions()) as emulator:
            environ = provider_environment(emulator)
            async with daemon_in_process(
                data_dir=Path(place) / "data", environ=environ, wall=time.time()
            ) as daemon:
                troubles = await troubles_of(daemon.mcp_ws, emulator, followers)
    unmoved = sum(not each.is_moved for each in followers)
    return [
        Figure(
            what=f"{len(followers)} followers in the second round, {unmoved} of which name no point: votes that "
            "changed without one, and changes with one that did not count",
            measured=f"{len(troubles)}",
            aim="0",
            reached=not troubles,
            details={"troubles": troubles},
        )
    ]
