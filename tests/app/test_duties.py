"""What the process does by itself is what the manual lists."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from exai.app.duties import mcp_port_duties, readiness_duties
from exai.app.services import build
from exai.callers import Caller, Door
from exai.config import Settings
from exai.events.events import IncidentRecorded
from exai.routing.reachability import Reachability
from exai.runtime.clock import ManualClock
from exai.runtime.periodic import Duty
from exai.storage.calls.journal import CallBegun, CallEnd
from exai.storage.schema import TIMINGS, calls
from exai.transports.doors import McpDoors
from exai.transports.server import build_server

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
async def duties(tmp_path: Path) -> AsyncIterator[dict[str, Duty]]:
    """Every duty of a daemon."""
    hook = {"url": "http://127.0.0.1:9/hook", "private": True, "format": "text"}
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "notify": {"webhooks": [hook]}, "investigation": {"mode": "auto"}}
    )
    async with build(settings, version="1") as services:
        server = build_server(services.dispatcher, version="1", bus=services.monitoring.bus)
        doors = McpDoors(
            server,
            services.dispatcher,
            services.identity.authenticator,
            services.identity.authority,
            settings,
            services.monitoring.bus,
        )
        reachability = Reachability({}, services.asking.breakers, services.clock)
        async with services.scheduler.running(*mcp_port_duties(doors), *readiness_duties(reachability)):
            yield {record.duty.name: record.duty for record in services.scheduler}


def _chapter(title: str) -> str:
    text = OPERATIONS.read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _seconds(written: str) -> float:
    found = re.search(r"([\d.]+) ([sh])\b", written)
    assert found is not None, written
    return float(found[1]) * {"s": 1, "h": 3600}[found[2]]


async def test_the_manual_lists_every_duty_with_its_interval_and_role(duties: dict[str, Duty]) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| (.*) \| (.*) \|$", _chapter("What happens by itself"), re.MULTILINE
    )
    assert {name: (_seconds(every), every.startswith("start"), role) for name, every, role in rows} == {
        name: (duty.every_s, duty.at_start, duty.role or "each process") for name, duty in duties.items()
    }


async def test_what_another_process_revokes_is_looked_for_more_than_once_a_second(
    duties: dict[str, Duty],
) -> None:
    duty = duties["follow_revocations"]
    assert duty.every_s * (1 + duty.jitter) < 1
    assert [duty.retry_after_s(failures) for failures in (1, 2, 3, 4, 5, 6)] == [0.5, 1, 2, 4, 5, 5]


async def test_failures_do_not_delay_the_end_of_credentials(duties: dict[str, Duty]) -> None:
    assert duties["check_credentials"].retry_after_s(100) == duties["check_credentials"].every_s


async def test_an_unforeseen_failure_of_a_duty_is_an_incident(tmp_path: Path) -> None:
    found: asyncio.Queue[IncidentRecorded] = asyncio.Queue()

    async def fail() -> None:
        raise ZeroDivisionError("planted")

    async with build(Settings.model_validate({"data_dir": tmp_path}), version="1") as services:
        services.monitoring.bus.watch(found.put_nowait, IncidentRecorded)
        broken = Duty(name="broken", run=fail, every_s=3600, at_start=True)
        async with services.scheduler.running(broken):
            event = await found.get()
        page = services.monitoring.metrics.exposition().decode()
    assert (event.where, event.kind) == ("duty broken", "ZeroDivisionError")
    assert 'exai_incidents_total{kind="ZeroDivisionError"} 1.0' in page
    assert 'exai_duty_failures_total{duty="broken"} 1.0' in page


async def test_calls_of_the_journal_go_after_as_many_days_as_the_setting_says(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = Settings.model_validate({"data_dir": tmp_path, "database": {"keep_calls_days": 3}})
    async with build(settings, version="1", clock=clock, runs_jobs=False) as services:
        duties = {record.duty.name: record.duty for record in services.scheduler}
        journal, database = services.storage.journal, services.storage.database
        await journal.begin(CallBegun("call_1", Caller.local(Door.STDIO), "chat", None, None))
        journal.end_soon(
            CallEnd(
                call_id="call_1",
                outcome="ok",
                error_code=None,
                model_used=None,
                provider=None,
                conversation_id=None,
                usage=None,
                cost_usd=None,
                timings=dict.fromkeys(TIMINGS, 0.0),
            )
        )
        left = []
        for days in (0, 2, 2):
            clock.advance(days * 86_400)
            await duties["prune_journal"].run()
            left.append(
                await database.read(lambda connection: connection.scalar(select(func.count(calls.c.call_id))))
            )
    assert left == [1, 1, 0]
