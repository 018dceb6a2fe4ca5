"""A daemon tells webhooks what happened, and so does the next one where it was killed before."""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exai.monitoring.notification.signing import new_secret
from exai_emulator import Emulator, Fault
from support.daemons import StartDaemon
from support.mcp_websocket import mcp_socket
from support.waiting import wait_until
from support.webhook_targets import WebhookTarget, webhook_target

SECRET = new_secret()


@pytest.fixture
async def target() -> AsyncIterator[WebhookTarget]:
    async with webhook_target() as target:
        yield target


def told_to(target: WebhookTarget) -> dict[str, str]:
    return {
        "EXAI_NOTIFY__WEBHOOKS": json.dumps([{"url": target.url, "private": True}]),
        "EXAI_NOTIFY__SECRET": SECRET,
        "EXAI_JOBS__POLL_S": "0.1",
    }


def written(data_dir: Path) -> int:
    with sqlite3.connect(data_dir / "exai.sqlite") as database:
        (number,) = database.execute("SELECT count(*) FROM deliveries").fetchone()
    return int(number)


async def test_what_a_killed_daemon_had_not_sent_the_next_one_sends_once(
    start_daemon: StartDaemon, target: WebhookTarget, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add("kimi", Fault(error="quota", times=None))
    settings = told_to(target)
    async with start_daemon(**settings, EXAI_JOBS__RUN="false") as daemon:
        async with mcp_socket(daemon.mcp_ws) as socket:
            await socket.tool("chat", {"prompt": "Hello.", "model": "kimi-k3"})
            await wait_until(lambda: written(tmp_path / "data") == 2, what="both notices are written down")
        daemon.kill()
        await daemon.ended()
    assert target.received == []
    async with start_daemon(**settings) as daemon:
        await wait_until(lambda: len(target.received) >= 2, what="the webhook is told", within=30)
        log = daemon.log
    told = [each.verified_by(SECRET) for each in target.received]
    assert sorted(each["type"] for each in told) == ["breaker.opened", "error.new"]
    assert {each["data"]["id"] for each in told} == {"E-1", "kimi/kimi-k3"}
    assert SECRET not in log
    assert target.url not in log
