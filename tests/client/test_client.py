"""The Python client against the doors on real sockets."""

import asyncio

import pytest

import exai
from exai.client import CallFailed, InDoubt, Unreachable, connect
from exai.client.channel import FIRST_PAUSE_S, LONGEST_PAUSE_S
from support.open_doors import Doors, open_doors
from support.tcp_proxy import tcp_proxy
from support.virtual_time import now
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time


async def test_it_lists_and_calls_and_gets_progress(doors: Doors) -> None:
    heard: list[tuple[str, str]] = []
    async with connect(doors.ws) as session:
        assert [tool["name"] for tool in await session.tools()][:2] == ["echo", "wait"]
        answer = await session.call("echo", {"a": 1})
        assert answer.structured == {"arguments": {"a": 1}}
        assert answer.text == "echo {'a': 1}"
        assert not answer.is_error
        await session.call("count", {"to": 2}, on_progress=lambda kind, words: heard.append((kind, words)))
    assert heard == [("text", "1 "), ("text", "2 ")]


async def test_any_number_of_calls_run_at_once(doors: Doors) -> None:
    async with connect(doors.ws) as session:
        waiting = asyncio.ensure_future(session.call("wait"))
        answers = await asyncio.gather(*(session.call("echo", {"n": n}) for n in range(50)))
        assert [answer.structured for answer in answers] == [{"arguments": {"n": n}} for n in range(50)]
        doors.engine.released.set()
        assert (await waiting).text == "released"


async def test_what_the_server_refuses_is_an_exception_with_its_code(doors: Doors) -> None:
    async with connect(doors.ws) as session:
        with pytest.raises(CallFailed, match="Unknown tool 'nope'") as failed:
            await session.call("nope")
        assert failed.value.code == -32602


async def test_every_call_to_a_daemon_that_is_down_is_unreachable() -> None:
    async with connect("ws://127.0.0.1:9/mcp", patience_s=30) as session:
        for _ in range(2):
            with pytest.raises(Unreachable, match="exai serve"):
                await session.call("echo")
            assert now() == 30


async def test_a_daemon_that_speaks_no_sessions_is_named() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, connect(f"ws://127.0.0.1:{port}/mcp", patience_s=1) as session:
        with pytest.raises(Unreachable, match="HTTP 404"):
            await session.call("echo")


async def test_a_cut_longer_than_the_patience_leaves_the_call_in_doubt(doors: Doors) -> None:
    async with (
        tcp_proxy(doors.ws) as (proxy, url),
        connect(url, patience_s=3) as session,
    ):
        call = asyncio.ensure_future(session.call("wait"))
        await doors.engine.started.wait()
        proxy.refuses = True
        proxy.cut()
        with pytest.raises(InDoubt):
            await call
        proxy.refuses = False
        doors.engine.released.set()
        await asyncio.sleep(LONGEST_PAUSE_S)
        answer = await session.call("echo", {"again": True})
        # The late answer of the lost call went to nobody.
        assert answer.structured == {"arguments": {"again": True}}


async def test_each_call_has_a_random_key_or_the_given_one(doors: Doors) -> None:
    async with connect(doors.ws) as session:
        await session.call("echo")
        await session.call("echo")
        await session.call("echo", idempotency_key="mine")
    one, other, mine = doors.engine.keys
    assert mine == "mine"
    assert one is not None
    assert other is not None
    assert len({one, other}) == 2
    assert len(one) == 32


async def test_answers_lost_in_a_gap_are_requested_again_under_their_keys() -> None:
    async with (
        open_doors(sessions={"max_messages": 1}) as doors,
        tcp_proxy(doors.ws) as (proxy, url),
        connect(url, patience_s=30) as session,
    ):
        calls = [asyncio.ensure_future(session.call("wait", {"n": n})) for n in range(3)]
        await wait_until(lambda: len(doors.engine.keys) == 3, what="three calls run")
        proxy.refuses = True
        proxy.cut()
        await proxy.refused.wait()
        doors.engine.released.set()
        await wait_until(lambda: doors.engine.running == 0, what="the calls end")
        proxy.refuses = False
        assert [(await call).text for call in calls] == ["released"] * 3
        asked = doors.engine.keys
        assert len(asked) > 3
        assert set(asked[3:]) <= set(asked[:3])


async def test_cancelling_the_task_cancels_the_call(doors: Doors) -> None:
    async with connect(doors.ws) as session:
        call = asyncio.ensure_future(session.call("wait"))
        await doors.engine.started.wait()
        call.cancel()
        await doors.engine.cancelled.wait()


async def test_leaving_ends_the_session(doors: Doors) -> None:
    async with connect(doors.ws) as session:
        await session.call("echo")
        assert doors.sessions.statistics().sessions == 1
    await wait_until(lambda: doors.sessions.statistics().sessions == 0, what="the session ends")


def test_the_package_offers_it() -> None:
    assert exai.connect is connect
    with pytest.raises(AttributeError):
        _ = exai.nothing


async def test_after_each_cut_a_session_is_soon_resumed_however_many_came_before(doors: Doors) -> None:
    async with tcp_proxy(doors.ws) as (proxy, url), connect(url) as session:
        await session.call("echo")
        for _ in range(10):
            proxy.cut()
            await session.call("echo")
        assert now() <= 10 * FIRST_PAUSE_S + 0.5, "a pause that doubled each time would take 20 s for ten"
