"""A daemon as a process of its own, its providers played by the emulator in the test's process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daemons import Daemon, StartDaemon, daemon
from exai_emulator import Emulator, EmulatorOptions, running


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with running(EmulatorOptions()) as emulator:
        yield emulator


@pytest.fixture
def provider_environ(emulator: Emulator) -> dict[str, str]:
    """The environment of a daemon that asks the emulator for GLM and Kimi."""
    there = emulator.addresses
    return {
        "GLM_API_KEY": there.glm_key,
        "KIMI_API_KEY": there.kimi_key,
        "EXAI_PROVIDERS__GLM__BASE_URL": there.glm,
        "EXAI_PROVIDERS__KIMI__BASE_URL": there.kimi,
    }


@pytest.fixture
def start_daemon(provider_environ: dict[str, str], tmp_path: Path) -> StartDaemon:
    """Starts a daemon on the test's data folder; several starts in turn share it."""

    @asynccontextmanager
    async def start(**environ: str) -> AsyncIterator[Daemon]:
        async with daemon(
            data_dir=tmp_path / "data", environ={**provider_environ, **environ}
        ) as running_daemon:
            yield running_daemon

    return start
