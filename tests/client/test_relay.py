"""What a client hears of a call that is not run where it was sent: its answer, once another daemon has given it."""

import asyncio
from typing import Any

import msgspec
import pytest

import exai
from exai.client.relay import STOPPING_PAUSE_S, STOPPING_S, _pause_before_next, _Request
from exai.dispatch.progress import SendProgress
from exai.tools.base import ToolAnswer
from support.open_doors import Doors

ELSEWHERE = {"code": "running_elsewhere", "retryable": True, "retry_after_s": 0.1}


async def test_a_call_that_runs_elsewhere_is_waited_for(doors: Doors) -> None:
    echo, asked = doors.engine._echo, 0

    async def at_first_elsewhere(arguments: dict[str, Any], _: SendProgress | None) -> ToolAnswer:
        nonlocal asked
        asked += 1
        if asked < 3:
            return ToolAnswer("It runs elsewhere.", None, {"exai/error": ELSEWHERE}, is_error=True)
        return await echo(arguments, _)

    doors.engine._echo = at_first_elsewhere  # type: ignore[method-assign]
    async with exai.connect(doors.ws) as session:
        answer = await session.call("echo", {"a": 1}, idempotency_key="mine")
        assert not answer.is_error
        assert answer.structured == {"arguments": {"a": 1}}
        assert doors.engine.keys == ["mine"] * 3


async def test_an_answer_that_mentions_the_code_is_not_sent_again(doors: Doors) -> None:
    async with exai.connect(doors.ws) as session:
        answer = await session.call("echo", {"a": "running_elsewhere"})
        assert answer.structured == {"arguments": {"a": "running_elsewhere"}}
        assert len(doors.engine.keys) == 1


REFUSED = {"code": "stopping", "retryable": True, "retry_after_s": 5.0, "begun": False}
ENDED = {"code": "stopping", "retryable": True, "retry_after_s": 5.0}


def _answering_first(doors: Doors, facts: dict[str, Any], times: int = 1) -> None:
    """Let the engine refuse the first calls, as a daemon that is stopping does."""
    echo, left = doors.engine._echo, times

    async def refuse_first(arguments: dict[str, Any], _: SendProgress | None) -> ToolAnswer:
        nonlocal left
        left -= 1
        if left >= 0:
            return ToolAnswer("EXAI is stopping.", None, {"exai/error": facts}, is_error=True)
        return await echo(arguments, _)

    doors.engine._echo = refuse_first  # type: ignore[method-assign]


async def test_what_a_stopping_daemon_did_not_begin_is_asked_again_under_its_key(doors: Doors) -> None:
    _answering_first(doors, REFUSED, times=2)
    async with exai.connect(doors.ws) as session:
        answer = await session.call("echo", {"a": 1}, idempotency_key="mine")
    assert answer.structured == {"arguments": {"a": 1}}
    assert doors.engine.keys == ["mine"] * 3


async def test_what_a_stopping_daemon_had_begun_is_the_callers_to_repeat(doors: Doors) -> None:
    _answering_first(doors, ENDED)
    async with exai.connect(doors.ws) as session:
        answer = await session.call("echo", {"a": 1})
    assert answer.is_error
    assert answer.meta["exai/error"] == ENDED
    assert len(doors.engine.keys) == 1


@pytest.mark.virtual_time
async def test_asking_a_daemon_that_never_stops_stopping_has_an_end() -> None:
    request = _Request("", is_repeatable=True)
    message = msgspec.json.encode({"id": 1, "result": {"isError": True, "_meta": {"exai/error": REFUSED}}})
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(round(STOPPING_S / STOPPING_PAUSE_S)):
        await asyncio.sleep(_pause_before_next(request, message) or 0.0)
    assert _pause_before_next(request, message) is None
    assert loop.time() - began == STOPPING_S
    assert not request.is_begun
