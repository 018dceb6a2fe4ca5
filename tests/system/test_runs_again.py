"""`exai workflows resume` and `replay`, with a daemon killed half-way, without one and beside one."""

import asyncio
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from exai.storage.database_file import FILE_NAME
from exai_emulator import Emulator, Fault, Persona
from support.commands import Ended, run_exai
from support.daemons import StartDaemon, clean_environ, free_port
from support.mcp_websocket import mcp_socket

PROBLEM = {"problem": "Shall we shard?", "model": "glm-5.3"}


async def exai(*arguments: str, data_dir: Path, environ: dict[str, str]) -> Ended:
    env = clean_environ(data_dir, {**environ, "EXAI_SERVER__PORT": str(free_port())})
    return await run_exai("workflows", *arguments, env=env, cwd=data_dir.parent)


def set_aside(data_dir: Path) -> int:
    """How many runs no call is answered with any more."""
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as connection:
        (found,) = connection.execute("SELECT count(*) FROM workflows WHERE digest LIKE 'set aside %'")
    return int(found[0])


@pytest.mark.timeout(180)
async def test_a_run_goes_on_without_its_caller_and_is_asked_anew(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path, provider_environ: dict[str, str]
) -> None:
    data_dir = tmp_path / "data"

    async def called(*arguments: str, code: int = 0) -> str:
        status, out, notes = await exai(*arguments, data_dir=data_dir, environ=provider_environ)
        assert status == code, (out, notes)
        return out if code == 0 else notes

    emulator.faults.add("kimi", Fault(before_first_byte_ms=60_000))
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as client:
        asking = asyncio.get_running_loop().create_task(client.tool("think", PROBLEM))
        await emulator.log.wait_for(lambda record: record.provider == "kimi" and record.outcome == "open")
        daemon.kill()
        await daemon.ended()
        with suppress(Exception):
            await asking
    emulator.faults.clear()
    (run,) = json.loads(await called("list", "--json"))
    before = len(emulator.log.of("glm"))
    assert "`exai workflows resume` does" in await called("replay", run["workflow_id"], code=2)
    resumed = json.loads(await called("resume", run["workflow_id"], "--json"))
    assert resumed["report"]["workflow_id"] == run["workflow_id"]
    assert [stage.get("kept", False) for stage in resumed["report"]["stages"]] == [True, False, False]
    assert len(emulator.log.of("glm")) == before + 1
    assert "there is nothing to go on with" in await called("resume", run["workflow_id"], code=2)
    emulator.persona = Persona("fixed", text="No.")
    async with start_daemon(EXAI_WORKFLOWS__CONFIRM_ABOVE_USD="0.0001"):
        assert "give `--budget`" in await called("replay", run["workflow_id"], code=1)
        assert set_aside(data_dir) == 0, "what was refused changes nothing"
        replayed = json.loads(await called("replay", run["workflow_id"], "--budget", "1", "--json"))
    assert set_aside(data_dir) == 1
    assert replayed["before"]["answer"] == resumed["answer"]
    assert replayed["before"]["run"] == run["workflow_id"] != replayed["after"]["run"]
    assert replayed["after"]["requests"] == 3
    assert any(line.startswith("+") and "No." in line for line in replayed["difference"])
    assert len(json.loads(await called("list", "--json"))) == 2
    shown = await called("replay", replayed["after"]["run"])
    assert shown.rstrip().endswith("The answer is the same, to the letter.")
