"""How many HTTP sessions there may be, and which one makes room for another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from exai.transports.http import sessions as http_sessions
from support.open_doors import Doors, open_doors
from support.virtual_time import now
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time


class Sessions:
    """HTTP sessions of one caller."""

    def __init__(self, http: aiohttp.ClientSession, doors: Doors, token: dict[str, str]) -> None:
        self._http = http
        self._url = doors.http
        self._headers = {"Accept": "application/json, text/event-stream"} | token

    async def begin(self) -> tuple[int, str]:
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        async with self._http.post(self._url, json=message, headers=self._headers) as response:
            await response.read()
            return response.status, response.headers.get("Mcp-Session-Id", "")

    async def begun(self) -> str:
        status, session = await self.begin()
        assert status == 200
        return session

    async def lives(self, session: str) -> bool:
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        headers = self._headers | {"Mcp-Session-Id": session}
        async with self._http.post(self._url, json=message, headers=headers) as response:
            await response.read()
            return response.status == 200

    async def leave_a_call(self, session: str, doors: Doors) -> None:
        """Make a call, and go away while it runs."""
        params = {"name": "wait", "arguments": {}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = self._headers | {"Mcp-Session-Id": session}
        async with self._http.post(self._url, json=message, headers=headers) as response:
            assert response.status == 200
            await doors.engine.started.wait()
            response.close()

    def stream(self, session: str) -> Any:
        return self._http.get(self._url, headers=self._headers | {"Mcp-Session-Id": session})


@asynccontextmanager
async def doors_for(*subjects: str, **limits: int) -> AsyncIterator[list[Sessions]]:
    async with open_doors(sessions=limits) as doors, aiohttp.ClientSession() as http:
        yield [Sessions(http, doors, doors.authenticator.issue(each, each)) for each in subjects]


async def test_who_begins_more_http_sessions_than_one_may_have_loses_the_longest_idle() -> None:
    async with doors_for("alice", "bob", max_per_caller=2) as (alice, bob):
        of_bob = await bob.begun()
        first, second = await alice.begun(), await alice.begun()
        await asyncio.sleep(1)
        assert await alice.lives(first)
        third = await alice.begun()
        assert [await alice.lives(each) for each in (first, second, third)] == [True, False, True]
        await asyncio.sleep(1)
        many = await asyncio.gather(*(alice.begun() for _ in range(20)))
        assert sum([await alice.lives(each) for each in many]) == 2
        assert await bob.lives(of_bob)


async def test_http_sessions_in_use_are_not_ended_for_another() -> None:
    async with doors_for("alice", "bob", max_per_caller=1) as (alice, bob):
        session = await alice.begun()
        async with alice.stream(session) as stream:
            assert stream.status == 200
            assert (await alice.begin())[0] == 429
            await bob.begun()
            assert await alice.lives(session)
            stream.close()

            async def may_begin() -> bool:
                return (await alice.begin())[0] == 200

            await wait_until(may_begin, what="the session that nobody uses gives way")
        assert not await alice.lives(session)


async def test_http_sessions_of_all_are_bounded_and_nobody_loses_one_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with doors_for("alice", "bob", "carol", max_sessions=2) as (alice, bob, carol):
        of_alice, of_bob = await alice.begun(), await bob.begun()
        assert (await carol.begin())[0] == 429
        assert await bob.lives(await bob.begun())
        assert await alice.lives(of_alice)
        assert not await bob.lives(of_bob)
        monkeypatch.setattr(http_sessions, "IDLE_S", 20)
        monkeypatch.setattr(http_sessions, "SWEEP_S", 1)
        await asyncio.sleep(22)
        assert (await carol.begin())[0] == 200, "what the SDK ended long ago takes no place"


async def test_the_local_user_begins_http_sessions_and_loses_the_longest_idle() -> None:
    async with open_doors(sessions={"max_sessions": 2}) as doors, aiohttp.ClientSession() as http:
        local = Sessions(http, doors, {})
        begun = []
        for _ in range(4):
            begun.append(await local.begun())
            await asyncio.sleep(1)
        assert [await local.lives(each) for each in begun] == [False, False, True, True]


@asynccontextmanager
async def one_session(**sessions: float) -> AsyncIterator[tuple[Doors, Sessions, str]]:
    async with open_doors(sessions=sessions) as doors, aiohttp.ClientSession() as http:
        alice = Sessions(http, doors, {})
        yield doors, alice, await alice.begun()


async def test_a_call_whose_client_is_gone_is_cancelled_after_the_grace_time() -> None:
    async with one_session(http_grace_s=30) as (doors, alice, session):
        began = now()
        await alice.leave_a_call(session, doors)
        await asyncio.wait_for(doors.engine.cancelled.wait(), 300)
        assert now() - began == pytest.approx(30, abs=1)
        assert await alice.lives(session)


async def test_a_client_that_shows_itself_keeps_the_call_it_left() -> None:
    async with one_session(http_grace_s=30) as (doors, alice, session):
        await alice.leave_a_call(session, doors)
        for _ in range(4):
            await asyncio.sleep(20)
            assert await alice.lives(session)
        async with alice.stream(session) as stream:
            assert stream.status == 200
            await asyncio.sleep(100)
            assert not doors.engine.cancelled.is_set()
            stream.close()
        await asyncio.wait_for(doors.engine.cancelled.wait(), 300)


async def test_a_call_that_was_answered_is_not_cancelled_again() -> None:
    async with one_session(http_grace_s=30) as (doors, alice, session):
        await alice.leave_a_call(session, doors)
        doors.engine.released.set()
        await asyncio.sleep(40)
        assert not doors.engine.cancelled.is_set()
        assert await alice.lives(session)
