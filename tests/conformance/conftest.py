"""The conformance suite of the protocol's makers, and the server that it tests, as a process."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.forks import fork
from support.nodes import Node, installed

SERVER = "conformance.suite_server"
START_TIMEOUT_S = 100
END_TIMEOUT_S = 30


@pytest.fixture(scope="session")
def node() -> Node:
    return installed()


@pytest.fixture
async def suite_server(tmp_path: Path) -> AsyncIterator[str]:
    """The HTTP address of EXAI with the suite's fixtures."""
    log = tmp_path / "server.log"
    with log.open("wb") as stderr:
        process = await fork(SERVER, str(tmp_path / "data"), env=os.environ, cwd=tmp_path, stderr=stderr)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
        assert line, log.read_text(encoding="utf-8")
        yield json.loads(line)["mcp_http"]
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
