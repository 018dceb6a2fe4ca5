"""A daemon whose dashboard is looked at."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exai_emulator import Emulator
from support.watched_daemon import WatchedDaemon, watched_daemon


@pytest.fixture
async def busy(emulator: Emulator, tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    """One with something on every page."""
    async with watched_daemon(emulator, tmp_path / "data") as started:
        yield started


@pytest.fixture
async def empty(emulator: Emulator, tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    """One that has done nothing yet."""
    async with watched_daemon(emulator, tmp_path / "data", is_empty=True) as started:
        yield started
