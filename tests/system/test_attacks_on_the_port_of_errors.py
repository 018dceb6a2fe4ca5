"""The port of errors under who may not, who says nothing, and without its database; whole daemons on both databases."""

import asyncio
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.subscriptions import ResourceUpdated
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError
from websockets.exceptions import ConnectionClosed

from exai import config
from exai.auth.scopes import ERRORS, STATUS
from exai.error_tracking.ingestion.intake import sha256_of
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.projects import ProjectTables
from support.daemons import Daemon, StartDaemon, daemon
from support.guarded_daemon import bearer, guarded_daemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.waiting import wait_until

FEED = "exai://feed/errors"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def ws_of(running: Daemon) -> str:
    return running.errors.replace("http://", "ws://")


async def program(settings: config.Database, data_dir: Path) -> tuple[int, str]:
    """Make a program that reports; its number and key."""
    key = secrets.token_hex(16)
    database = await Database.open(settings, data_dir)
    try:
        made = await ProjectTables(database, SystemClock()).create("shop", "private", sha256_of(key))
    finally:
        await database.close()
    assert made is not None
    return made.project_id, key


def envelope(message: str) -> bytes:
    event = json.dumps({"exception": {"values": [{"type": "KeyError", "value": message}]}})
    return f'{{}}\n{{"type":"event"}}\n{event}\n'.encode()


async def report(http: aiohttp.ClientSession, running: Daemon, of: tuple[int, str], message: str) -> int:
    url = f"{running.errors}/api/{of[0]}/envelope/?sentry_key={of[1]}&sentry_version=7"
    async with http.post(url, data=envelope(message)) as answer:
        return answer.status


async def test_agents_programs_and_people_meet_on_a_daemon_of_either_database(
    database_settings: config.Database, data_dir: Path, provider_environ: dict[str, str]
) -> None:
    """A report by an SDK and one by an agent: listed, decided, told to who subscribed."""
    assert database_settings.url is not None
    environ = {**provider_environ, "EXAI_DATABASE__URL": database_settings.url.get_secret_value()}
    async with (
        daemon(data_dir=data_dir, environ=environ) as running,
        daemon(data_dir=data_dir.parent / "other", environ=environ) as other,
        aiohttp.ClientSession() as http,
        mcp_socket(ws_of(running)) as agent,
        mcp_socket(ws_of(other)) as elsewhere,
    ):
        shop = await program(database_settings, data_dir)
        assert "result" in await elsewhere.request("resources/subscribe", {"uri": FEED})
        statuses = await asyncio.gather(
            *(report(http, each, shop, "no basket") for each in (running, other) for _ in range(10))
        )
        assert statuses == [200] * 20
        said = await agent.tool("errors_report", {"message": "no basket here", "event_id": "e1"})
        again = await elsewhere.tool("errors_report", {"message": "no basket here", "event_id": "e1"})
        assert said["structuredContent"]["group"]["group"] == again["structuredContent"]["group"]["group"]
        assert again["structuredContent"]["repeated"] is True
        listed = (await elsewhere.tool("errors_list", {"sort": "seen"}))["structuredContent"]["groups"]
        assert [(each["reporter"], each["seen"]) for each in listed] == [("shop", 20), ("agents", 1)]
        group = listed[0]["group"]
        done = await agent.tool("errors_decide", {"group": group, "decision": "resolve", "version": 1})
        assert done["structuredContent"]["group"]["state"] == "resolved"
        stale = await elsewhere.tool("errors_decide", {"group": group, "decision": "archive", "version": 1})
        assert stale["isError"]
        assert "resolved (version 2)" in stale["content"][0]["text"]
        await wait_until(lambda: FEED in updated(elsewhere), what="the other daemon tells of the decision")


def updated(client: McpSocket) -> list[str]:
    method = "notifications/resources/updated"
    return [each["params"]["uri"] for each in client.notifications if each["method"] == method]


async def test_who_loses_the_scope_hears_no_more(data_dir: Path) -> None:
    """Of both revisions: over a socket and over HTTP; who never had it hears nothing and does not subscribe."""
    async with guarded_daemon(data_dir) as guarded:
        ws = ws_of(guarded.daemon)
        with_scope = {
            subject: bearer(await guarded.token(ERRORS, subject=subject)) for subject in ("ann", "bob", "eve")
        }
        without = bearer(await guarded.token(STATUS, subject="cat"))
        async with mcp_socket(ws, headers=without) as outsider:
            refused = await outsider.request("resources/subscribe", {"uri": FEED})
            assert refused["error"]["code"] == -32007
            assert (await outsider.request("resources/read", {"uri": FEED}))["error"]["code"] == -32007
        async with (
            mcp_socket(ws, headers=with_scope["ann"]) as stays,
            mcp_socket(ws, headers=with_scope["bob"]) as leaves,
            listening(guarded.daemon, with_scope["eve"]) as heard,
        ):
            for each in (stays, leaves):
                assert "result" in await each.request("resources/subscribe", {"uri": FEED})
            await stays.tool("errors_report", {"message": "the first"})
            await wait_until(lambda: updated(leaves) and heard, what="both hear of the first report")
            await guarded.authority.revoke_subject("bob")
            await guarded.authority.revoke_subject("eve")
            with pytest.raises(ConnectionClosed):
                async with asyncio.timeout(30):
                    while True:
                        await leaves.request("ping")
                        await asyncio.sleep(0.05)
            before = len(updated(stays)), len(updated(leaves)), len(heard)
            await wait_until(lambda: heard[-1] == "ended", what="the stream over HTTP ends")
            await stays.tool("errors_report", {"exceptions": [{"type": "Second"}]})
            await wait_until(lambda: len(updated(stays)) > before[0], what="who may hears of the second")
            assert len(updated(leaves)) == before[1]
            assert len(heard) <= before[2] + 1, "nothing but its end"
            async with aiohttp.ClientSession() as http:
                ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
                url = f"{guarded.daemon.errors}/mcp"
                async with http.post(url, json=ping, headers=with_scope["eve"]) as answer:
                    assert answer.status == 401


@asynccontextmanager
async def listening(running: Daemon, headers: dict[str, str]) -> AsyncIterator[list[str]]:
    """Listen over HTTP by the newer revision; what was heard, and `ended` once the daemon ends it."""
    heard: list[str] = []
    ends: list[BaseException] = []

    async def listen() -> None:
        try:
            async with (
                create_mcp_http_client(headers=headers) as http,
                Client(
                    streamable_http_client(f"{running.errors}/mcp", http_client=http), mode="2026-07-28"
                ) as client,
                client.listen(resource_subscriptions=[FEED]) as events,
            ):
                async for event in events:
                    heard.extend([event.uri] if isinstance(event, ResourceUpdated) else [])
        except (BaseExceptionGroup, MCPError) as error:
            ends.append(error)
        finally:
            heard.append("ended")

    task = asyncio.create_task(listen())
    try:
        await asyncio.sleep(0)
        yield heard
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_silent_connections_to_this_port_are_closed_and_refused_tokens_are_counted(
    start_daemon: StartDaemon,
) -> None:
    environ = {
        "EXAI_SERVER__HEAD_TIMEOUT_S": "1",
        "EXAI_AUTH__MODE": "required",
        "EXAI_AUTH__FAILURES_PER_MINUTE": "5",
    }
    async with start_daemon(**environ) as running, aiohttp.ClientSession() as http:
        port = urlsplit(running.errors).port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for reader, writer in silent:
            assert (await reader.read()).startswith(b"HTTP/1.1 408")
            writer.close()
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        statuses = []
        for number in range(8):
            token = bearer(f"nonsense-{number}")
            async with http.post(f"{running.errors}/mcp", json=ping, headers=token) as answer:
                statuses.append(answer.status)
        assert statuses == [401] * 5 + [429] * 3
        assert await report(http, running, (9, "0" * 32), "x") == 429, "a wrong key of a program is one too"


async def test_without_its_database_the_port_says_so_and_loses_no_report(
    start_daemon: StartDaemon, data_dir: Path
) -> None:
    """SQLite that another process holds locked: reports wait, tools say what is wrong, and what waited is counted."""
    async with start_daemon() as running, aiohttp.ClientSession() as http:
        shop = await program(config.Database(), data_dir)
        assert await report(http, running, shop, "before") == 200
        async with mcp_socket(ws_of(running)) as agent:
            await agent.tool("errors_list", {})
            with closing(sqlite3.connect(data_dir / "exai.sqlite")) as holder:
                holder.execute("BEGIN EXCLUSIVE")
                waiting = asyncio.create_task(report(http, running, shop, "before"))
                refused = await agent.tool("errors_decide", {"group": "E-1", "decision": "archive"})
                assert refused["isError"]
                assert refused["_meta"]["exai/error"]["code"] == "store_failed"
                assert (await agent.request("ping"))["result"] == {}
                assert await waiting in {200, 503}
                holder.rollback()

            async def is_counted() -> bool:
                listed = await agent.tool("errors_list", {"reporter": "shop"})
                return [each["seen"] for each in listed["structuredContent"]["groups"]] == [2]

            await wait_until(is_counted, what="the report that waited is counted once")
