"""`exai fleet`: who is on a database, and taking one out of service."""

import asyncio
import json
from pathlib import Path

import aiohttp
from typer.testing import CliRunner, Result

from exai import config
from exai.cli import build_app
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.fleet.replicas import Replicas
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket
from support.migrated_databases import migrated_postgresql
from support.postgresql_server import PostgresqlServer
from support.waiting import wait_until

BEATS = ("fleet.beat_s=0.1", "fleet.lease_s=1")


async def exai(url: str, folder: Path, *arguments: str) -> Result:
    settings = (f"database.url={url}", f"data_dir={folder}", *BEATS)
    options = [part for each in settings for part in ("--set", each)]
    return await asyncio.to_thread(
        lambda: CliRunner().invoke(build_app(), ["fleet", *arguments, "--no-demo", *options])
    )


async def test_daemons_are_listed_and_drained(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    url = migrated_postgresql(postgresql, "fleet_command")
    assert "No daemon" in (await exai(url, tmp_path, "list")).stdout
    settings = config.Database.model_validate({"url": url})
    database = await Database.open(settings, tmp_path, config.Fleet(beat_s=0.1, lease_s=1))
    beats = database.beats
    assert beats is not None
    beats.samples = lambda: {"running_calls": 3, "sessions": 2}
    beats.compete()
    await Replicas(database, SystemClock()).begin("1.2.3", "digest", "here")
    await wait_until(lambda: beats.leads("housekeeper"), what="it keeps house")
    (row,) = json.loads((await exai(url, tmp_path, "list", "--json")).stdout)
    told = (row["state"], row["release"], row["is_late"], row["is_housekeeper"], row["samples"])
    assert told == ("serving", "1.2.3", False, True, {"running_calls": 3, "sessions": 2})
    assert row["tag"] == database.run_id[-8:]
    drained = await exai(url, tmp_path, "drain", row["tag"].upper())
    assert f"{row['tag']} drains" in drained.stdout
    await wait_until(lambda: beats.is_draining, what="it has read that it drains")
    assert not beats.leads("housekeeper")
    assert "draining" in (await exai(url, tmp_path, "list")).stdout
    unknown = await exai(url, tmp_path, "drain", "ffffffff")
    assert isinstance(unknown.exception, StartFault)
    assert "exai fleet list" in str(unknown.exception)
    await database.close()


async def test_a_daemon_that_drains_is_not_ready_and_serves_on(
    postgresql: PostgresqlServer, start_in_process: StartInProcess, tmp_path: Path
) -> None:
    url = migrated_postgresql(postgresql, "drained_daemon")
    environ = {"EXAI_DATABASE__URL": url, "EXAI_FLEET__BEAT_S": "0.1", "EXAI_FLEET__LEASE_S": "1"}
    async with start_in_process(**environ) as daemon, aiohttp.ClientSession() as http:

        async def admits() -> tuple[int, str]:
            async with http.get(f"{daemon.operations}/readyz") as answer:
                return answer.status, (await answer.json())["checks"]["admitting"]

        async def is_out() -> bool:
            return await admits() == (503, "draining")

        assert await admits() == (200, "ok")
        tag = daemon.services.storage.database.run_id[-8:]
        assert (await exai(url, tmp_path, "drain", tag)).exit_code == 0
        await wait_until(is_out, what="it says that it drains")
        async with mcp_socket(daemon.mcp_ws) as client:
            assert (await client.tool("status"))["isError"] is False


async def test_on_sqlite_there_is_no_fleet(tmp_path: Path) -> None:
    refused = await exai(f"sqlite:///{tmp_path / 'exai.sqlite'}", tmp_path, "list")
    assert isinstance(refused.exception, StartFault)
    assert "`exai status`" in str(refused.exception)
