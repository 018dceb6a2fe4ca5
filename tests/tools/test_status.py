"""`status` tells how background duties are doing, and names those that fail."""

import asyncio

import pytest

from exai.runtime.periodic import Duty, Scheduler
from exai.tools.status_report import StatusReport
from exai.tools.system_report import duty_states
from support.virtual_time import LoopClock

pytestmark = pytest.mark.virtual_time


async def fail() -> None:
    raise ConnectionError("planted")


async def test_duties_are_listed_and_those_that_fail_are_named() -> None:
    scheduler = Scheduler(LoopClock(), dice=lambda: 0.5)
    assert StatusReport(duties=duty_states(scheduler)).text() == "No background duty fails."
    tidy = Duty(name="tidy", run=asyncio.Event().wait, every_s=60)
    async with scheduler.running(tidy, Duty(name="follow", run=fail, every_s=1)):
        await asyncio.sleep(2.5)
        states = {state.name: state for state in duty_states(scheduler)}
        assert list(states) == ["tidy", "follow"]
        found = states["follow"]
        assert (found.runs, found.failed_in_a_row, found.error) == (2, 2, "ConnectionError")
        assert StatusReport(duties=duty_states(scheduler)).text() == (
            "Background duties that fail:\n- follow: ConnectionError, 2 times in a row\nWell: tidy"
        )
