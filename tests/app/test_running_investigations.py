"""Investigations as jobs: asked for, begun, postponed and taken up, chosen by themselves, and over with an event."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from exai import config
from exai.app.faults.investigations import Investigations
from exai.error_tracking.investigation.asking import Reply
from exai.error_tracking.investigation.bundle import EvidenceBundle, Subject
from exai.error_tracking.investigation.desk import InvestigationRefused
from exai.error_tracking.investigation.roles import Candidate
from exai.error_tracking.investigation.view import InvestigationView
from exai.errors import Stopping
from exai.jobs.job import State
from exai.jobs.testing import JobsByHand
from exai.runtime.clock import ManualClock
from exai.runtime.periodic import Scheduler
from exai.storage.database import Database
from exai.storage.error_tracking.investigations import InvestigationRow, InvestigationTables
from support.investigated_faults import Evidence, Models, claim, investigator, opinion, piece
from support.tracked_faults import Tracked, tracked

pytestmark = pytest.mark.sqlite


class Process:
    """One process that investigates, with the jobs run by hand."""

    def __init__(self, tracked_: Tracked, models: Models, clock: ManualClock, mode: str) -> None:
        settings = config.Investigation.model_validate({"mode": mode})
        self.tracked = tracked_
        self.models = models
        self.clock = clock
        self.made = Investigations(tracked_.database, tracked_.bus, clock, settings)
        self.made._investigator = investigator(models)
        self.jobs = JobsByHand([self.made.kind(config.Jobs())], clock)
        self.tables = InvestigationTables(tracked_.database, clock)

    async def fail(self, message: str = "broken", **known: Any) -> None:
        self.tracked.fail(message, **known)
        await self.tracked.counted()

    async def ask(self, number: int = 1) -> InvestigationView:
        return await self.made.desk.ask(number, "local:me")

    async def run(self) -> None:
        """Begin what waits, and run it to its end."""
        await self.made.start_jobs(self.jobs)
        await self.jobs.drain(waiting=True)

    async def look(self, asked: InvestigationView) -> Any:
        return await self.made.desk.look(asked.investigation)

    async def ends(self) -> list[InvestigationRow]:
        """The first that ended comes first."""
        return [*reversed(await self.tables.latest_ended(20))]


@asynccontextmanager
async def process(database: Database, *said: Any, mode: str = "manual") -> AsyncIterator[Process]:
    clock = ManualClock()
    yield Process(await tracked(database, clock), Models(*said), clock, mode)


async def test_one_that_is_asked_for_runs_as_a_job_and_says_that_it_is_over(database: Database) -> None:
    async with process(database, claim(), opinion()) as daemon:
        await daemon.fail()
        asked = await daemon.ask()
        assert (await daemon.ask()).investigation == asked.investigation
        await daemon.run()
        view = await daemon.look(asked)
        assert (view.state, view.report.level, view.requests) == ("done", "likely", 2)
        assert [each.evidence_id for each in await daemon.made.desk.evidence(asked.investigation)] == [
            "e1",
            "e4",
        ]
        assert [(end.state, end.level) for end in await daemon.ends()] == [("done", "likely")]
        (job,) = await daemon.jobs.list()
        assert job.state is State.DONE
        assert [sample.value for sample in daemon.made.samples()] == [1]


async def test_with_both_models_away_it_is_postponed_and_taken_up_when_one_is_back(
    database: Database,
) -> None:
    """What E14 asks of outages; the second time is a job of its own."""
    async with process(database, claim(), opinion()) as daemon:
        models, before = daemon.models, (daemon.models.first, daemon.models.second)
        models.first, models.second = (msgspec.structs.replace(each, why_not="is away") for each in before)
        await daemon.fail()
        asked = await daemon.ask()
        await daemon.run()
        await daemon.run()
        view = await daemon.look(asked)
        assert (view.state, view.why) == (
            "postponed",
            "Nobody can be asked: kimi-k2.6 is away; glm-5.3-flash is away.",
        )
        assert (models.prompts, await daemon.ends()) == ([], [])
        models.second = before[1]
        await daemon.run()
        assert (await daemon.look(asked)).state == "done"
        assert [name for name, _ in models.prompts] == ["glm-5.3-flash"]


async def test_a_process_that_ends_leaves_it_to_the_next_one(database: Database) -> None:
    """The first attempt is cut by the end of its process, the second by another; the third does not begin."""
    async with process(database) as daemon:
        await daemon.fail()
        asked = await daemon.ask()

        async def ask(*_: Any) -> Any:
            raise Stopping("It ends.")

        daemon.models.ask = ask  # type: ignore[method-assign,assignment]
        await daemon.run()
        view = await daemon.look(asked)
        assert (view.state, view.requests) == ("failed", 2)
        assert view.why.startswith("Interrupted twice")


async def test_one_that_is_taken_up_tells_what_both_processes_spent(database: Database) -> None:
    """The first process has an answer and dies during its second request; the next one begins anew."""
    async with process(database, claim(), claim(), opinion()) as daemon:
        await daemon.fail()
        asked = await daemon.ask()
        models, real = daemon.models, daemon.models.ask

        async def ask(model: Candidate, prompt: str) -> Reply:
            if len(models.prompts) == 1 and model == models.second:
                models.ask = real  # type: ignore[method-assign]
                raise Stopping("It ends.")
            return await real(model, prompt)

        models.ask = ask  # type: ignore[method-assign]
        await daemon.run()
        view = await daemon.look(asked)
        assert (view.state, view.requests, view.report.tokens) == ("done", 4, 300)
        assert (view.cost_usd, view.report.cost_usd) == (None, None), "nobody saw the end of one request"


@pytest.mark.parametrize(
    ("mode", "own_doing", "why"), [("off", False, "off here"), ("manual", True, "callers of EXAI itself")]
)
async def test_our_own_doing_is_refused_and_so_is_everything_where_it_is_off(
    database: Database, mode: str, own_doing: bool, why: str
) -> None:
    async with process(database, mode=mode) as daemon:
        await daemon.fail(own_doing=own_doing)
        with pytest.raises(InvestigationRefused, match=why):
            await daemon.ask()


async def test_by_itself_one_is_chosen_at_a_time_and_never_our_own_doing(database: Database) -> None:
    async with process(database, claim(), opinion(), claim(), opinion(), mode="auto") as daemon:
        await daemon.fail("own", own_doing=True)
        await daemon.fail("rare table")
        for _ in range(20):
            await daemon.fail("frequent file", subject="alice")
        chosen = []
        for _ in range(5):
            await daemon.made.select()
            await daemon.made.select()
            chosen += [row.group_id for row in await daemon.tables.unfinished()]
            await daemon.run()
        groups = [await daemon.made._groups.with_id(each) for each in chosen]
        assert [group.number for group in groups if group is not None] == [3, 2]


class CountedEvidence(Evidence):
    """Counts how often it is gathered."""

    gathered = 0

    async def gather(self, subject: Subject) -> EvidenceBundle:
        self.gathered += 1
        return await super().gather(subject)


async def test_lines_that_changed_are_looked_at_again_and_others_are_gathered_once_for_a_release(
    database: Database,
) -> None:
    async with process(database, claim(), opinion(), mode="auto") as daemon:
        evidence = CountedEvidence()
        daemon.made._investigator = investigator(daemon.models, evidence)
        await daemon.fail()
        await daemon.made.select()
        await daemon.run()
        assert [end.level for end in await daemon.ends()] == ["likely"]
        daemon.clock.advance(25 * 3_600)
        daemon.tracked.run_release("1.1.0")
        await daemon.fail()
        for _ in range(3):
            await daemon.made.select()
        assert (await daemon.tables.unfinished(), evidence.gathered) == ([], 2)
        daemon.tracked.run_release("1.2.0")
        await daemon.fail()
        evidence.pieces = (evidence.pieces[0], piece("e4", "return item", "src/exai/rows.py"))
        await daemon.made.select()
        assert [row.reason for row in await daemon.tables.unfinished()] == ["changed"]


@pytest.mark.parametrize(("mode", "begins"), [("off", False), ("manual", True)])
async def test_where_they_are_off_none_begins_and_old_ones_are_deleted_all_the_same(
    database: Database, mode: str, begins: bool
) -> None:
    async with process(database, mode=mode) as daemon:
        scheduler = Scheduler(ManualClock())
        async with daemon.made.running(investigator(daemon.models), daemon.jobs, scheduler, 30):
            names = {record.duty.name for record in scheduler}
        assert "prune_evidence" in names
        assert ("start_investigations" in names) is begins


async def test_after_three_failures_none_begins_by_itself(database: Database) -> None:
    async with process(database, *["no object"] * 20, mode="auto") as daemon:
        for number in range(5):
            await daemon.fail(f"group {'abcde'[number]}")
            await daemon.made.select()
            await daemon.run()
        assert [end.state for end in await daemon.ends()] == ["failed"] * 3


async def test_one_that_is_cancelled_asks_nobody_and_keeps_no_report(database: Database) -> None:
    async with process(database, claim(), opinion()) as daemon:
        await daemon.fail()
        asked = await daemon.ask()
        assert await daemon.made.desk.cancel(asked.investigation, "local:me")
        await daemon.run()
        view = await daemon.look(asked)
        assert (view.state, view.why, daemon.models.prompts) == ("cancelled", "Cancelled by local:me.", [])
