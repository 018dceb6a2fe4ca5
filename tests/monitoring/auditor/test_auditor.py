"""The auditor: every event is folded once or counted as dropped, and each anomaly is one observation."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from benchmarks.auditor import flood

from exai.callers import Caller, Door
from exai.events.bus import EventBus
from exai.events.events import AuditExercised, ObservationOpened
from exai.monitoring.auditor.auditor import MOST_QUEUED, QUIET, Auditor
from exai.monitoring.auditor.exercise import Expected, Phase, Planted, event_of, events_of, expected_of, plan
from exai.monitoring.auditor.explaining import Explainer, Reply
from exai.runtime.clock import ManualClock
from exai.storage.auditor.observations import Observations
from exai.storage.auditor.windows import KEEP_HOURS, Windows
from exai.storage.calls.budgets import BudgetGrants, Limit, Wanted
from exai.storage.database import Database
from exai.storage.database_file import FILE_NAME
from support.migrated_databases import migrated_sqlite
from support.queued_writes import commit_queued


class Watched:
    """An auditor on a bus, as one process has it."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.clock = clock
        self.bus = EventBus()
        self.observations = Observations(database, clock)
        self.windows = Windows(database, clock)
        self.auditor = Auditor(self.observations, self.windows, clock, self.bus.publish)
        self.auditor.watch(self.bus)
        self.opened: list[ObservationOpened] = []
        self.bus.watch(self.opened.append, ObservationOpened)

    async def pass_time(self, seconds: float) -> None:
        await self.auditor.fold()
        self.clock.advance(seconds)
        await self.auditor.fold()

    def plant(self, kind: str, count: int) -> None:
        for event in events_of([Planted(0.0, kind, count=count)]):  # type: ignore[arg-type]
            self.bus.publish(event)


async def test_of_a_flood_every_event_is_folded_or_counted_as_dropped(tmp_path: Path) -> None:
    migrated_sqlite(tmp_path / FILE_NAME)
    seen = await flood(tmp_path, per_second=100_000, seconds=0.3)
    assert seen.sent > MOST_QUEUED
    assert seen.dropped > 0
    assert seen.folded + seen.dropped == seen.sent


class Fleet:
    """Four processes on one database and one purse, each of which sees all that happens."""

    def __init__(self, database: Database, requests: int = 30) -> None:
        self.clock = ManualClock()
        self._limit = Limit(3_600.0, requests=requests)
        self.processes = [Watched(database, self.clock) for _ in range(4)]
        self.grants = [BudgetGrants(database, self.clock) for _ in range(4)]
        self.granted: list[float] = []
        self.explainers = [self._explainer(*each) for each in zip(self.processes, self.grants, strict=True)]

    def _explainer(self, process: Watched, grants: BudgetGrants) -> Explainer:
        async def ask(_: str) -> Reply:
            refusal = await grants.grant(Wanted("auditor", "call", 0.001, (self._limit,)))
            if refusal is not None:
                return Reply(None, refusal.wait_s or 60.0)
            self.granted.append(self.clock.wall())
            return Reply("")

        explainer = Explainer(process.observations, ask, self.clock)
        explainer.watch(process.bus)
        return explainer

    async def exercise(self, minutes: float) -> None:
        begun, explained = self.clock.wall(), 0.0
        for planted in plan(2, 30, minutes):
            self.clock.advance(begun + planted.at - self.clock.wall())
            for process in self.processes:
                for event in events_of([planted]):
                    process.bus.publish(event)
            if planted.at - explained >= 120:
                explained = planted.at
                for process, explainer in zip(self.processes, self.explainers, strict=True):
                    await process.auditor.fold()
                    await explainer.explain()
        for process in self.processes:
            await process.pass_time(10)


async def test_four_processes_observe_each_anomaly_once_and_share_a_purse(database: Database) -> None:
    fleet = Fleet(database)
    await fleet.exercise(60)
    observed = await fleet.processes[0].observations.listing()
    assert sorted(Expected(each.detector, each.subject, each.severity) for each in observed) == expected_of(
        2, 60
    )
    moments = fleet.granted
    assert moments
    assert max(sum(begin <= at < begin + 3_600 for at in moments) for begin in moments) <= 30


@pytest.mark.sqlite
async def test_rules_go_on_while_the_budget_is_spent_and_a_model_explains_again_afterwards(
    database: Database,
) -> None:
    fleet = Fleet(database, requests=1)
    await fleet.exercise(60)
    observed = await fleet.processes[0].observations.listing()
    assert sorted(Expected(each.detector, each.subject, each.severity) for each in observed) == expected_of(
        2, 60
    )
    assert len(fleet.granted) == 1
    fleet.clock.advance(3_600)
    for explainer in fleet.explainers:
        await explainer.explain()
    assert len(fleet.granted) == 2


async def exercised(
    watched: Watched, phase: Phase, rate: float, minutes: float
) -> tuple[int, list[Expected]]:
    """Send an exercise as the command does, without waiting; what was sent, and what is observed."""
    sent, base = 0, watched.clock.wall()
    for planted in plan(phase, rate, minutes):
        watched.bus.publish(AuditExercised("drill", base + planted.at, tuple(events_of([planted]))))
        sent += 1
        if sent % 500 == 0:
            await watched.auditor.fold()
    counts = await watched.auditor.end_exercise("drill")
    assert counts.folded == sent
    observed = await watched.observations.listing(under="exercise:drill/")
    return sent, sorted(
        Expected(each.detector, each.subject.removeprefix("exercise:drill/"), each.severity)
        for each in observed
    )


async def test_phase_1_folds_everything_and_observes_nothing(database: Database) -> None:
    watched = Watched(database, ManualClock())
    assert await exercised(watched, 1, 20, 20) == (400, [])
    assert watched.auditor.dropped == 0


@pytest.mark.parametrize("phase", [2, 3])
async def test_each_planted_anomaly_is_observed_once(database: Database, phase: Phase) -> None:
    minutes = 60 if phase == 2 else 180
    watched = Watched(database, ManualClock())
    _, observed = await exercised(watched, phase, 30, minutes)
    assert observed == expected_of(phase, minutes)
    assert len(observed) == 9, "two of the ten anomalies are one observation that is raised"
    assert watched.auditor.dropped == 0
    assert watched.auditor.counts_of().observations.total() == 0, "nothing of it happened"


@pytest.mark.sqlite
async def test_a_full_queue_drops_and_counts(database: Database) -> None:
    watched = Watched(database, ManualClock())
    watched.plant("call", MOST_QUEUED + 50)
    await watched.pass_time(1)
    assert watched.auditor.dropped == 50
    assert watched.auditor.counts_of().folded == MOST_QUEUED
    await watched.pass_time(10)
    assert [(opened.detector, opened.severity) for opened in watched.opened] == [("lost", "warning")]


async def test_what_lasts_is_one_observation_and_what_is_quiet_is_gone(database: Database) -> None:
    watched = Watched(database, ManualClock())
    for _ in range(3):
        watched.plant("incident", 1)
        await watched.pass_time(10)
    (observation,) = await watched.observations.listing()
    assert (observation.detector, observation.state, observation.count) == ("incidents", "open", 3)
    assert len(watched.opened) == 1
    watched.clock.advance(QUIET.total_seconds() - 1)
    await watched.auditor.end_quiet()
    assert await watched.observations.listing(state="open")
    watched.clock.advance(2)
    await watched.auditor.end_quiet()
    assert [each.state for each in await watched.observations.listing()] == ["gone"]
    watched.plant("incident", 1)
    await watched.pass_time(10)
    await watched.pass_time(10)
    assert [each.count for each in await watched.observations.listing()] == [1, 3], (
        "the next time is a new one"
    )


async def test_processes_that_see_the_same_share_an_observation(database: Database) -> None:
    clock = ManualClock()
    processes = [Watched(database, clock) for _ in range(4)]
    for process in processes:
        process.plant("refused_token", 30)
        await process.auditor.fold()
    clock.advance(10)
    await asyncio.gather(*(process.auditor.fold() for process in processes))
    (observation,) = await processes[0].observations.listing()
    assert observation.count == 4
    assert sum(len(process.opened) for process in processes) == 1


async def test_a_rule_that_is_mostly_noise_is_lowered_and_says_so(database: Database) -> None:
    watched = Watched(database, ManualClock())
    for verdict in ("useful", "noise", "noise", "noise", "useful", "noise"):
        watched.plant("incident", 1)
        await watched.pass_time(10)
        watched.clock.advance(2 * QUIET.total_seconds())
        (latest, *_) = await watched.observations.listing()
        await watched.observations.change(latest.observation_id, verdict=verdict)
        await watched.auditor.end_quiet()
    judged = (await watched.observations.judged())["incidents"]
    assert (judged.useful, judged.noise) == (2, 4)
    watched.plant("incident", 1)
    await watched.pass_time(10)
    await watched.pass_time(10)
    (latest, *_) = await watched.observations.listing(state="open")
    assert latest.severity == "info"
    assert "4 of the last 6 were judged as noise" in latest.numbers


async def test_people_decide_and_what_is_gone_stays_gone(database: Database) -> None:
    watched = Watched(database, ManualClock())
    watched.plant("incident", 1)
    await watched.pass_time(10)
    await watched.pass_time(1)
    (seen,) = await watched.observations.listing()
    acknowledged = await watched.observations.change(seen.observation_id, state="acknowledged")
    assert acknowledged is not None
    assert acknowledged.state == "acknowledged"
    assert await watched.observations.change("obs_none", verdict="noise") is None
    watched.clock.advance(2 * QUIET.total_seconds())
    await watched.auditor.end_quiet()
    gone = await watched.observations.change(seen.observation_id, state="acknowledged", severity="info")
    assert gone is not None
    assert (gone.state, gone.severity) == ("gone", "warning"), "a severity is never lowered"
    assert await watched.observations.get(seen.observation_id) == gone


async def test_hours_outlive_the_process_and_are_pruned(database: Database) -> None:
    clock = ManualClock(1_700_000_000.0 // 3_600 * 3_600)
    before = Watched(database, clock)
    for _ in range(361):
        before.plant("call", 2)
        await before.pass_time(10)
    await commit_queued(database)
    (hour,) = await before.windows.hours()
    assert hour.begun == clock.wall() // 3_600 * 3_600 - 3_600
    assert '"calls":720' in hour.body.replace(" ", "")
    clock.advance(7 * 86_400 - 3_600)
    after = Watched(database, clock)
    await after.auditor.recall()
    after.plant("costly", 2)
    await after.pass_time(10)
    await after.pass_time(1)
    assert [opened.detector for opened in after.opened] == ["cost"], "compared with the hour of a week ago"
    clock.advance((KEEP_HOURS + timedelta(hours=1)).total_seconds())
    assert await after.windows.prune() >= 1
    assert await after.windows.hours() == []


@pytest.mark.sqlite
async def test_own_calls_are_counted_apart(database: Database) -> None:
    watched = Watched(database, ManualClock())
    event = event_of(Planted(0.0, "failed"))
    own = type(event)(
        **{
            **{name: getattr(event, name) for name in event.__struct_fields__},
            "caller": Caller("exai:auditor", Door.INSIDE),
        }
    )
    for _ in range(50):
        watched.bus.publish(own)
    await watched.pass_time(1)
    await watched.pass_time(10)
    latest = watched.auditor.latest
    assert latest is not None
    assert (latest.own_calls, latest.calls) == (50, 0)
    assert watched.opened == []
