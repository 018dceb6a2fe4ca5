"""Clients that others wrote, before a running demonstration."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.daemons import Daemon, daemon
from support.nodes import Node, installed


@pytest.fixture(scope="session")
def node() -> Node:
    return installed()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The data folder that the daemon and every stdio server of a test share."""
    return tmp_path / "data"


@pytest.fixture
async def demonstration(data_dir: Path) -> AsyncIterator[Daemon]:
    """`exai serve --demo`, ready."""
    async with daemon(data_dir=data_dir, arguments=["--demo"]) as running:
        yield running
