"""A compressed baseline: a day within a minute, by a demonstration of its own whose clock runs faster.

Arrivals, heartbeats, rollups and the report run as on a real day; answers come from the emulator, from a data folder
that is thrown away afterwards. What it measures is not how fast anything is, and its report says so.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec

from exai.cli.baselines.access import duration, use_baselines
from exai.cli.baselines.loading import Loading
from exai.cli.baselines.scenario import Scenario
from exai.config import Settings
from exai.config.demo import demo_data_dir
from exai.config.sources import load
from exai.errors import StartFault
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.baselines.report import BaselineReport
from exai.runtime.clock import ScaledClock

__all__ = ["Rehearsal"]

READY_S = 60.0
END_S = 60.0
ENDS_WITHIN_TRIES = 300
TRY_S = 0.1


class Rehearsal:
    """One compressed run."""

    def __init__(
        self, scenario: Scenario, name: str, lasts: timedelta, speed: float, loading: Loading
    ) -> None:
        self._name = name
        self._lasts = lasts
        self._speed = speed
        self._loading = loading
        self._away = sorted(
            (duration(away.after) / speed, duration(away.lasts) / speed) for away in scenario.away
        )
        self._load = msgspec.json.encode(scenario).decode()

    async def run(self, kept: Path | None = None) -> BaselineReport:
        """Let the day pass.

        Args:
            kept: where its data stay; `None`: they are thrown away.

        Raises:
            StartFault: the demonstration does not start.
        """
        if kept is not None:
            return await self._run(kept)
        with tempfile.TemporaryDirectory(prefix="exai-rehearsal-") as folder:
            return await self._run(Path(folder))

    async def _run(self, folder: Path) -> BaselineReport:
        since = time.time()
        clock = ScaledClock(self._speed, since)
        environ = _environ(folder)
        loaded = load(environ=environ, config_file=None, overrides=(), cwd=folder, trust_cwd=False)
        settings = loaded.settings.model_copy(update={"data_dir": demo_data_dir(folder)})
        loop = asyncio.get_running_loop()
        began = 0.0
        is_first = True
        for begin_s, end_s in self._stretches():
            if not is_first:
                await asyncio.sleep(began + begin_s - loop.time())
            async with _demonstration(self._speed, since, environ) as address:
                if is_first:
                    await self._begin(settings, clock)
                    began, is_first = loop.time(), False
                now_s = loop.time() - began
                moments = self._loading.moments
                places = [place for place, at in enumerate(moments) if max(begin_s, now_s) <= at < end_s]
                await self._loading.send(address, None, places, now_s)
                await asyncio.sleep(began + end_s - loop.time())
                if end_s >= self._lasts.total_seconds() / self._speed:
                    return await self._report(settings, clock)
        raise StartFault("The scenario is away until the end, so there is nothing to report.")

    def _stretches(self) -> Sequence[tuple[float, float]]:
        """Return from when until when the demonstration runs, in seconds of the machine."""
        stretches, at = [], 0.0
        for after, lasts in self._away:
            stretches.append((at, after.total_seconds()))
            at = (after + lasts).total_seconds()
        end = self._lasts.total_seconds() / self._speed
        return [(begin, until) for begin, until in [*stretches, (at, end)] if begin < until]

    async def _begin(self, settings: Settings, clock: ScaledClock) -> None:
        await use_baselines(
            settings,
            lambda baselines: baselines.start(
                self._name, self._lasts, speed=self._speed, load=self._load, note="A rehearsal."
            ),
            clock,
        )

    async def _report(self, settings: Settings, clock: ScaledClock) -> BaselineReport:
        """Wait for the daemon to end the baseline."""

        async def kept(baselines: Baselines) -> BaselineReport | None:
            row = await baselines.named(self._name)
            return None if row.state == "collecting" else await baselines.report(self._name)

        for _ in range(ENDS_WITHIN_TRIES):
            if (report := await use_baselines(settings, kept, clock)) is not None:
                return report
            await asyncio.sleep(TRY_S)
        raise StartFault("The demonstration did not end the baseline; its journal is out of reach.")


def _environ(folder: Path) -> dict[str, str]:
    own = {
        "EXAI_DATA_DIR": str(folder),
        "EXAI_SERVER__PORT": "0",
        "EXAI_SERVER__OPERATIONS_PORT": "0",
        "EXAI_SERVER__ERRORS_PORT": "0",
        "EXAI_AUTH__MODE": "local",
        "EXAI_GUARDS__REPEATS": "0",
        "EXAI_LOGGING__LEVEL": "error",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXAI_")}
    return {**inherited, **own}


@asynccontextmanager
async def _demonstration(speed: float, since: float, environ: dict[str, str]) -> AsyncIterator[str]:
    """Run one within this scope; gives the address of its MCP port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "exai.cli", "serve", "--demo", "--ready-json"),
        *("--speed", repr(speed), "--speed-since", repr(since)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environ,
        cwd=environ["EXAI_DATA_DIR"],
    )
    try:
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise StartFault(
                "The demonstration of the rehearsal did not start; `exai serve --demo` says why."
            )
        yield json.loads(line)["mcp_ws"]
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(END_S):
            await process.wait()
