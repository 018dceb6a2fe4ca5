"""`status` tells how background duties are doing, and names those that fail."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from exai.conversations.estimates import estimate_tokens
from exai.error_tracking.console import GroupLine
from exai.runtime.periodic import Duty, Scheduler
from exai.tools.status_report import StatusDetails, StatusReport
from exai.tools.system_report import EndedCall, duty_states
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


def test_many_groups_of_errors_cost_an_agent_little() -> None:
    """Whoever operates EXAI reads them whole; an agent sees what was last."""
    moment = datetime(2026, 11, 30, 12, tzinfo=UTC)
    line = GroupLine(
        group="E-12345",
        reporter=None,
        state="open",
        version=1,
        provenance="outside",
        title="provider_throttled: " + "every further word counts " * 10,
        place="glm/glm-5.3",
        code="provider_throttled",
        fixable_by="provider",
        seen=123_456,
        handled=0,
        stored=100,
        lost=0,
        cost_usd=0.0,
        callers=100,
        first_seen=moment,
        last_seen=moment,
        first_release="0.1.0",
        last_release="0.1.0",
        escalates=False,
    )
    failed = EndedCall(
        at=moment.isoformat(),
        call_id="call_1a22b45e2d7ed24df9e0013",
        tool="consensus",
        model="kimi-k2.7-code-highspeed",
        outcome="failed",
        error="provider_throttled",
    )
    details = StatusDetails(errors=(failed,) * 10, groups=(line,) * 16)
    shown = StatusReport.of(details, briefly=False)
    for form in (shown.text(), msgspec.json.encode(shown).decode()):
        assert estimate_tokens(form) <= 1_500
    assert len(details.groups or ()) == 16
