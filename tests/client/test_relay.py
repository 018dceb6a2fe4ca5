"""What a client hears of a call that another daemon on the same database runs: its answer, once that is there."""

from typing import Any

import exai
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
