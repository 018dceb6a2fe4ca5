"""`exai status` and `exai stop`: find the daemon of a data folder."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.cli.running import running_daemons
from exai.errors import StartFault
from support.daemons import StartDaemon, free_port
from support.waiting import wait_until


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), list(arguments)))


async def test_a_daemon_is_found_asked_and_stopped(start_daemon: StartDaemon, data_dir: Path) -> None:
    async with start_daemon() as daemon:
        said = await run("status")
        told = json.loads((await run("status", "--json")).stdout)
        stopped = await run("stop")
        assert await daemon.ended() == 0
    assert f"EXAI at {daemon.mcp_ws} (process {daemon.process.pid})" in said.stdout
    assert "Providers:" in said.stdout
    assert told["address"] == daemon.mcp_ws
    assert stopped.exit_code == 0
    assert stopped.stdout == "Stopped.\n"
    assert running_daemons(data_dir) == []
    assert isinstance((await run("stop")).exception, StartFault)
    gone = await run("status", "--set", f"server.port={free_port()}")
    assert gone.exit_code == 1
    assert "exai serve" in gone.stderr


async def test_of_several_daemons_one_is_named(start_daemon: StartDaemon, data_dir: Path) -> None:
    async with start_daemon() as one, start_daemon() as other:
        result = await run("stop")
        assert isinstance(result.exception, StartFault)
        assert "--port" in str(result.exception)
        assert (
            await run("stop", "--now", "--port", one.mcp_ws.rpartition(":")[2].removesuffix("/mcp"))
        ).exit_code == 0
        assert await one.ended() == 0
        assert [each.mcp_ws for each in running_daemons(data_dir)] == [other.mcp_ws]


async def test_a_killed_daemon_leaves_nothing_that_could_be_stopped(
    start_daemon: StartDaemon, data_dir: Path
) -> None:
    async with start_daemon() as daemon:
        assert [each.pid for each in running_daemons(data_dir)] == [daemon.process.pid]
        daemon.kill()
        await daemon.ended()
        await wait_until(lambda: running_daemons(data_dir) == [], what="its lock is free")
        assert isinstance((await run("stop")).exception, StartFault)


@pytest.mark.parametrize("note", ["", "[]", '{"pid": "x"}'])
def test_a_note_that_cannot_be_read_is_no_daemon(tmp_path: Path, note: str) -> None:
    (tmp_path / "daemons").mkdir()
    (tmp_path / "daemons/1.json").write_text(note)
    assert running_daemons(tmp_path) == []
