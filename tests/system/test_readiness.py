"""`/readyz` of a running daemon: what it says of keys, breakers and a database that takes no writes."""

import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.daemons import Daemon, StartDaemon
from support.waiting import wait_until


async def readiness(daemon: Daemon) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as client, client.get(f"{daemon.operations}/readyz") as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize(
    ("keys", "status", "word"),
    [
        ({}, 200, "ready"),
        ({"KIMI_API_KEY": "sk-wrong"}, 200, "degraded"),
        ({"KIMI_API_KEY": "sk-wrong", "GLM_API_KEY": "wrong.key"}, 503, "unready"),
    ],
)
async def test_keys_that_are_refused_show_without_a_call(
    start_daemon: StartDaemon, keys: dict[str, str], status: int, word: str
) -> None:
    async with start_daemon(**keys) as daemon:
        code, told = await readiness(daemon)
        assert (code, told["status"]) == (status, word)
        assert all((name in told["checks"]["providers"]) for name in ("kimi",) if keys)
        assert "sk-wrong" not in str(told)


async def test_a_database_that_another_process_locks_takes_the_daemon_out_and_lets_it_in_again(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    async with start_daemon() as daemon:
        other = sqlite3.connect(tmp_path / "data" / "exai.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        async def is_out() -> bool:
            code, told = await readiness(daemon)
            return code == 503 and told["checks"]["database"] != "ok"

        await wait_until(is_out, what="the daemon is not ready")
        other.execute("ROLLBACK")
        other.close()

        async def is_in() -> bool:
            return (await readiness(daemon))[0] == 200

        await wait_until(is_in, what="the daemon is ready again")
