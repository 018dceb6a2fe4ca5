"""Sessions of `exai.mcp.v1` over real sockets: cut, resumed, fenced, forged, left alone."""

import asyncio
import gc
from contextlib import AsyncExitStack
from typing import Any

import pytest
from mcp.server.connection import Connection
from mcp.server.runner import ServerRunner

from exai.app.duties import SESSIONS_S
from exai.callers import Caller, Door
from exai.events.events import SessionEnded, SessionOpened, SessionResumed
from exai.transports.pump import Pump
from exai.transports.websocket.resilient import FAR_BEHIND, HELD_S
from support.open_doors import Doors, open_doors
from support.session_socket import session_socket
from support.tcp_proxy import tcp_proxy
from support.virtual_time import now
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

POLICY_VIOLATION, NO_FIRST_FRAME, FENCED = 1008, 4408, 4409

LOCAL = Caller.local(Door.WEBSOCKET)


async def test_a_call_goes_on_while_its_socket_is_gone_and_its_answer_arrives_once(doors: Doors) -> None:
    async with tcp_proxy(doors.ws) as (proxy, url):
        async with session_socket(url) as first:
            opened = await first.open()
            await first.call(1, "wait")
            await doors.engine.started.wait()
            assert proxy.cut() == 1
        async with session_socket(url) as second:
            resumed = await second.resume(opened, last=0)
            assert (resumed["t"], resumed["generation"], resumed["last"]) == ("resumed", 2, 1)
            assert resumed["oldest"] == 1
            doors.engine.released.set()
            number, message = await second.message()
            assert (number, message["id"]) == (1, 1)
            assert message["result"]["content"][0]["text"] == "released"
            assert proxy.client_ports[0] != proxy.client_ports[1]
        assert not doors.engine.cancelled.is_set()
        async with session_socket(url) as third:
            await third.resume(opened, last=1)
            await third.call(2, "echo")
            number, message = await third.message()
            assert (number, message["id"]) == (2, 2)


async def test_unacknowledged_messages_come_again_in_order_equal_ones_too(doors: Doors) -> None:
    async with session_socket(doors.ws) as first:
        opened = await first.open()
        for number in 1, 2, 3:
            await first.call(number, "echo", {"same": True})
        before = [await first.message() for _ in range(3)]
    async with session_socket(doors.ws) as second:
        await second.resume(opened, last=1)
        assert [await second.message() for _ in range(2)] == before[1:]
        assert before[0][1]["result"] == before[1][1]["result"]


async def test_a_call_and_its_session_leave_nothing_to_a_collection_of_garbage(doors: Doors) -> None:
    kinds = (Pump, ServerRunner, Connection)
    gc.collect()
    before = {id(each): each for each in gc.get_objects() if issubclass(type(each), kinds)}

    def left() -> list[object]:
        return [each for each in gc.get_objects() if issubclass(type(each), kinds) and id(each) not in before]

    gc.disable()
    try:
        async with session_socket(doors.ws) as client:
            await client.open()
            await client.call(1, "echo")
            await client.message()
            assert left()
            await client.send({"t": "bye"})
            await client.close_code()
        await wait_until(lambda: not left(), what="nothing of the session is left")
    finally:
        gc.enable()


async def test_the_daemon_acknowledges_what_it_processed(doors: Doors) -> None:
    async with session_socket(doors.ws) as client:
        await client.open()
        await client.call(1, "wait")
        assert await client.receive() == {"t": "a", "a": 1}


async def test_messages_wait_for_the_clients_credit(doors: Doors) -> None:
    async with session_socket(doors.ws) as client:
        await client.open(credit=2)
        for number in 1, 2, 3, 4:
            await client.call(number, "echo")
        assert [(await client.message())[0] for _ in range(2)] == [1, 2]
        await wait_until(lambda: doors.sessions.statistics().pending == 4, what="four answers wait")
        await client.send({"t": "a", "a": 1})
        assert (await client.message())[0] == 3


async def test_progress_for_a_client_that_is_far_behind_is_made_slowly_and_none_is_lost(doors: Doors) -> None:
    more = 10
    async with session_socket(doors.ws) as client:
        await client.open(credit=1)
        await client.call(1, "count", {"to": FAR_BEHIND + more}, progress_token="p1")
        await wait_until(
            lambda: doors.sessions.statistics().pending > FAR_BEHIND, what="the client is far behind"
        )
        began = now()
        await wait_until(lambda: doors.engine.running == 0, what="the call has ended")
        assert now() - began == pytest.approx((more - 1) * HELD_S, abs=0.1)
        told = []
        for number in range(1, FAR_BEHIND + more + 2):
            said, message = await client.message()
            assert said == number
            told.append(message)
            await client.send({"t": "a", "a": number})
    assert [message["params"]["progress"] for message in told[:-1]] == list(range(1, FAR_BEHIND + more + 1))
    assert told[-1]["id"] == 1


async def test_a_newer_socket_closes_the_older_one(doors: Doors) -> None:
    async with session_socket(doors.ws) as first, session_socket(doors.ws) as second:
        opened = await first.open()
        await second.resume(opened, last=0)
        assert await first.close_code() == FENCED
        await second.call(1, "echo")
        assert (await second.message())[0] == 1


async def test_a_forged_secret_and_an_unknown_session_are_refused_alike_and_another_can_be_opened(
    doors: Doors,
) -> None:
    async with session_socket(doors.ws) as owner, session_socket(doors.ws) as thief:
        opened = await owner.open()
        forged = await thief.resume({**opened, "secret": opened["secret"][::-1]}, last=0)
        unknown = await thief.resume({**opened, "session": "x" * 22}, last=0)
        assert forged == unknown
        assert forged["t"] == "refused"
        assert forged["code"] == "unknown_session"
        assert (await thief.open())["session"] != opened["session"]
        await owner.call(1, "echo")
        assert (await owner.message())[0] == 1


@pytest.mark.parametrize(
    "frame",
    [
        '{"t":"m","s":1,"a":0,"m":{}}',
        '{"t":"a","a":0}',
        '{"jsonrpc":"2.0","id":1,"method":"ping"}',
        "no JSON",
        "[" * 100_000,
    ],
)
async def test_a_socket_that_begins_with_anything_else_is_closed(doors: Doors, frame: str) -> None:
    async with session_socket(doors.ws) as client:
        await client.send(frame)
        assert await client.close_code() == POLICY_VIOLATION
    assert doors.sessions.statistics().sessions == 0


@pytest.mark.parametrize(
    "frame",
    ['{"t":"a","a":9}', '{"t":"m","s":2,"a":0,"m":{}}', '{"t":"open","credit":1}', "no JSON"],
    ids=["from the future", "a hole", "open again", "no frame"],
)
async def test_a_broken_rule_closes_the_socket_and_the_session_can_be_resumed(
    doors: Doors, frame: str
) -> None:
    async with session_socket(doors.ws) as client:
        opened = await client.open()
        await client.send(frame)
        assert await client.close_code() == POLICY_VIOLATION
    async with session_socket(doors.ws) as client:
        assert (await client.resume(opened, last=0))["t"] == "resumed"


async def test_a_malformed_message_inside_a_frame_is_answered_and_the_session_lives(doors: Doors) -> None:
    async with session_socket(doors.ws) as client:
        await client.open()
        await client.send({"t": "m", "s": 1, "a": 0, "m": [1]})
        _, message = await client.message()
        assert message["error"]["code"] == -32600
        await client.call(2, "echo")
        assert (await client.message())[1]["id"] == 2


async def test_a_silent_socket_is_closed() -> None:
    async with open_doors(sessions={"handshake_s": 5}) as doors, session_socket(doors.ws) as client:
        assert await client.close_code() == NO_FIRST_FRAME
        assert now() == pytest.approx(5, abs=0.1)


async def test_a_session_without_a_socket_ends_after_its_grace_time_and_its_calls_are_cancelled() -> None:
    async with open_doors(sessions={"grace_s": 30}) as doors:
        async with session_socket(doors.ws) as client:
            opened = await client.open()
            await client.call(1, "wait")
            await doors.engine.started.wait()
        await doors.engine.cancelled.wait()
        assert 30 <= now() <= 30 + 2 * SESSIONS_S
        await wait_until(lambda: doors.sessions.statistics().sessions == 0, what="the session ends")
        async with session_socket(doors.ws) as late:
            assert (await late.resume(opened, last=0))["code"] == "unknown_session"


async def test_a_goodbye_ends_the_session_at_once(doors: Doors) -> None:
    async with session_socket(doors.ws) as client:
        await client.open()
        await client.call(1, "wait")
        await doors.engine.started.wait()
        await client.send({"t": "bye"})
        await doors.engine.cancelled.wait()
        assert now() < 1
    await wait_until(lambda: doors.sessions.statistics().sessions == 0, what="the session ends")


async def test_messages_beyond_the_buffer_are_reported_as_a_gap() -> None:
    async with open_doors(sessions={"max_messages": 3}) as doors:
        async with session_socket(doors.ws) as client:
            opened = await client.open()
            for number in range(1, 6):
                await client.call(number, "wait")
            await wait_until(lambda: doors.engine.running == 5, what="five calls run")
        doors.engine.released.set()
        await wait_until(lambda: doors.sessions.statistics().evicted == 2, what="two answers are given up")
        async with session_socket(doors.ws) as client:
            resumed = await client.resume(opened, last=0)
            assert resumed["oldest"] == 3
            assert [(await client.message())[0] for _ in range(3)] == [3, 4, 5]
    assert SessionResumed(LOCAL, gap=True) in doors.events


async def test_what_all_sessions_of_a_caller_keep_is_bounded_together_and_costs_no_other_caller() -> None:
    async with open_doors(sessions={"max_caller_bytes": 20_000}) as doors:
        alice, bob = (doors.authenticator.issue(name, name) for name in ("alice", "bob"))

        async def kept_after(number: int) -> int:
            await wait_until(lambda: doors.sessions.statistics().pending == number, what="the answer is kept")
            return doors.sessions.statistics().pending_bytes

        async with AsyncExitStack() as attached:
            bobs = await attached.enter_async_context(session_socket(doors.ws, bob))
            bobs_opened = await bobs.open(credit=0)
            await bobs.call(1, "echo", {"text": "b" * 5_000})
            of_bob = await kept_after(1)
            small, large = [
                await attached.enter_async_context(session_socket(doors.ws, alice)) for _ in range(2)
            ]
            small_opened, large_opened = await small.open(credit=0), await large.open(credit=0)
            await small.call(1, "echo", {"text": "a" * 2_000})
            await kept_after(2)
            await large.call(1, "echo", {"text": "a" * 7_000})
            await kept_after(3)
            await large.call(2, "echo", {"text": "a" * 7_000})
            assert await large.close_code() == POLICY_VIOLATION
            assert doors.sessions.statistics().evicted == 1
            assert doors.sessions.statistics().pending_bytes <= of_bob + 20_000
        for opened, headers, oldest in (
            (bobs_opened, bob, 1),
            (small_opened, alice, 1),
            (large_opened, alice, 2),
        ):
            async with session_socket(doors.ws, headers) as client:
                assert (await client.resume(opened, last=0))["oldest"] == oldest


async def test_what_all_callers_keep_is_bounded_together_at_the_cost_of_who_keeps_most() -> None:
    async with open_doors(sessions={"max_total_bytes": 50_000}) as doors, AsyncExitStack() as attached:
        alice, bob = (doors.authenticator.issue(name, name) for name in ("alice", "bob"))

        async def keeps(headers: dict[str, str], *sizes: int) -> dict[str, Any]:
            client = await attached.enter_async_context(session_socket(doors.ws, headers))
            opened = await client.open(credit=0)
            for number, size in enumerate(sizes, 1):
                before = doors.sessions.statistics()
                await client.call(number, "echo", {"text": "a" * size})
                await wait_until(
                    lambda before=before: doors.sessions.statistics() != before,  # type: ignore[misc]
                    what="the answer is kept",
                )
            return opened

        alices = await keeps(alice, 7_000, 7_000, 7_000)
        assert doors.sessions.statistics().evicted == 0
        bobs = await keeps(bob, 7_000)
        await wait_until(lambda: doors.sessions.statistics().evicted == 1, what="the oldest is given up")
        assert doors.sessions.statistics().pending_bytes <= 50_000
        for opened, headers, oldest in ((alices, alice, 2), (bobs, bob, 1)):
            async with session_socket(doors.ws, headers) as client:
                assert (await client.resume(opened, last=0))["oldest"] == oldest


async def test_what_was_fetched_counts_no_more_for_its_caller() -> None:
    async with open_doors(sessions={"max_caller_bytes": 20_000}) as doors:
        for number in range(5):
            async with session_socket(doors.ws) as client:
                await client.open()
                await client.call(1, "echo", {"text": "a" * 9_000})
                await client.message()
                if number % 2:
                    await client.send({"t": "a", "a": 1})
                await client.send({"t": "bye"})
                await client.close_code()
    assert doors.sessions.statistics().evicted == 0


async def test_who_does_not_acknowledge_is_cut_off_and_can_resume() -> None:
    async with open_doors(sessions={"max_messages": 3}) as doors:
        async with session_socket(doors.ws) as client:
            opened = await client.open()
            for number in range(1, 6):
                await client.call(number, "echo")
            assert await client.close_code() == POLICY_VIOLATION
        async with session_socket(doors.ws) as client:
            assert (await client.resume(opened, last=4))["t"] == "resumed"


async def test_who_is_cut_off_again_and_again_is_kept_out_and_let_in_once_it_reads() -> None:
    async with open_doors(sessions={"max_messages": 1, "stuck_limit": 2, "stuck_pause_s": 50}) as doors:
        async with session_socket(doors.ws) as client:
            opened = await client.open()
            await client.call(1, "echo")
            await client.call(2, "echo")
            assert await client.close_code() == POLICY_VIOLATION
        async with session_socket(doors.ws) as client:
            assert (await client.resume(opened, last=0))["t"] == "resumed"
            await client.call(3, "echo")
            assert await client.close_code() == POLICY_VIOLATION
        assert doors.sessions.statistics().kept_out == 1
        async with session_socket(doors.ws) as client, session_socket(doors.ws) as other:
            refused = await client.resume(opened, last=0)
            assert (refused["t"], refused["code"]) == ("refused", "not_reading")
            await other.open()
            await other.call(1, "echo")
            assert (await other.message())[0] == 1
        await wait_until(
            lambda: doors.sessions.statistics().kept_out == 0, within=60, what="nobody is kept out"
        )
        assert now() == pytest.approx(50, abs=1)
        async with session_socket(doors.ws) as client:
            assert (await client.resume(opened, last=0))["t"] == "resumed"
            await client.call(4, "echo")
            assert await client.close_code() == POLICY_VIOLATION
        async with session_socket(doors.ws) as client:  # once open, one more is enough
            assert (await client.resume(opened, last=0))["code"] == "not_reading"
            assert (await client.resume(opened, last=3))["t"] == "resumed"


async def test_no_more_sessions_than_there_may_be() -> None:
    async with (
        open_doors(sessions={"max_sessions": 1}) as doors,
        session_socket(doors.ws) as first,
        session_socket(doors.ws) as second,
    ):
        await first.open()
        assert (await second.open())["code"] == "too_many_sessions"


async def test_no_caller_takes_the_sessions_of_others() -> None:
    async with open_doors(sessions={"max_per_caller": 1}) as doors:
        alice, bob = (doors.authenticator.issue(name, name) for name in ("alice", "bob"))
        async with session_socket(doors.ws, alice) as first, session_socket(doors.ws, alice) as second:
            await first.open()
            assert (await second.open())["code"] == "too_many_sessions"
            async with session_socket(doors.ws, bob) as another:
                assert (await another.open())["t"] == "opened"
            await first.send({"t": "bye"})
            await wait_until(lambda: doors.sessions.statistics().sessions == 1, what="the first session ends")
            async with session_socket(doors.ws, alice) as third:
                assert (await third.open())["t"] == "opened"


async def test_who_opens_more_sessions_than_one_may_have_loses_what_waits_without_a_socket_longest() -> None:
    async with open_doors(sessions={"max_per_caller": 3, "max_sessions": 4}) as doors:
        alice, bob = (doors.authenticator.issue(name, name) for name in ("alice", "bob"))
        async with AsyncExitStack() as attached:
            first = await attached.enter_async_context(session_socket(doors.ws, alice))
            await first.open()
            waiting = []

            for _ in range(2):
                async with session_socket(doors.ws, alice) as socket:
                    waiting.append(await socket.open())
                    await socket.call(1, "wait")
                    await wait_until(lambda: doors.engine.running == len(waiting), what="the call runs")
                await wait_until(
                    lambda: doors.sessions.statistics().cut == len(waiting), what="the socket is gone"
                )
                await asyncio.sleep(1)
            another = await attached.enter_async_context(session_socket(doors.ws, bob))
            assert (await another.open())["t"] == "opened"
            fourth = await attached.enter_async_context(session_socket(doors.ws, alice))
            assert (await fourth.open())["t"] == "opened"
            await wait_until(lambda: doors.engine.running == 1, what="one call is cancelled")
            assert doors.sessions.statistics().sessions == 4
            ended = [event for event in doors.events if isinstance(event, SessionEnded)]
            assert [(event.caller.subject, event.reason) for event in ended] == [("alice", "replaced")]
            for opened, answer in zip(waiting, ("refused", "resumed"), strict=True):
                socket = await attached.enter_async_context(session_socket(doors.ws, alice))
                assert (await socket.resume(opened, last=0))["t"] == answer
            refused = await attached.enter_async_context(session_socket(doors.ws, alice))
            assert (await refused.open())["code"] == "too_many_sessions", "none of its own waits any more"


async def test_sessions_are_facts_on_the_bus(doors: Doors) -> None:
    async with session_socket(doors.ws) as first:
        opened = await first.open()
    async with session_socket(doors.ws) as second:
        await second.resume(opened, last=0)
        await second.send({"t": "bye"})
        await wait_until(lambda: SessionEnded(LOCAL, "client") in doors.events, what="the session ends")
    facts = [event for event in doors.events if "Session" in type(event).__name__]
    assert facts == [SessionOpened(LOCAL), SessionResumed(LOCAL, gap=False), SessionEnded(LOCAL, "client")]


async def test_at_a_stop_running_calls_are_answered_before_the_socket_closes(doors: Doors) -> None:
    async with session_socket(doors.ws) as client:
        await client.open()
        await client.call(1, "wait")
        await doors.engine.started.wait()
        doors.signal()
        await doors.stopping.wait()
        doors.engine.released.set()
        assert (await client.message())[1]["result"]["content"][0]["text"] == "released"
        assert await client.close_code() == 1012


async def test_at_a_stop_what_waits_for_credit_is_still_fetched(doors: Doors) -> None:
    async with session_socket(doors.ws) as client:
        await client.open(credit=1)
        for number in 1, 2, 3:
            await client.call(number, "echo")
        assert (await client.message())[0] == 1
        await wait_until(lambda: doors.sessions.statistics().pending == 3, what="three answers wait")
        doors.signal()
        await doors.stopping.wait()
        for number in 1, 2:
            await client.send({"t": "a", "a": number})
            assert (await client.message())[0] == number + 1
        assert await client.close_code() == 1012
