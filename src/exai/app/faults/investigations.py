"""Runs investigations: chooses groups, begins a job for whatever was asked for, and keeps what comes of it.

The order of truth: the row that asks, then its job, then a request's grant, then the request; at the end report,
evidence and state in one transaction, then the event. A process that dies leaves a row that runs; the next one takes it
up once, with the requests that are left.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import msgspec
import structlog

from exai import config
from exai.config import Jobs as JobSettings
from exai.error_tracking.faults import OWN_PROJECT
from exai.error_tracking.investigation.bundle import Subject
from exai.error_tracking.investigation.desk import InvestigationDesk
from exai.error_tracking.investigation.investigator import (
    Failed,
    Investigator,
    Postponed,
    Reported,
    Spent,
    Stage,
)
from exai.error_tracking.investigation.report import InvestigationReport
from exai.error_tracking.investigation.roles import Nobody
from exai.error_tracking.investigation.selection import Situation, may_begin, paused_until, reason_for, score
from exai.error_tracking.tracker import ErrorGroupOpened, ErrorRegressed
from exai.errors import Stopping
from exai.events.bus import EventBus
from exai.events.events import BreakerClosed, Event
from exai.jobs.job import Jobs
from exai.jobs.kinds import Done, End, Kind, RunningJob, Snooze
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.runtime.periodic import Duty, Scheduler
from exai.runtime.samples import Sample
from exai.storage.database import Database
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.investigations import (
    EvidenceRow,
    Finished,
    InvestigationRow,
    InvestigationTables,
    Reason,
)
from exai.storage.error_tracking.rows import GroupRow
from exai.storage.error_tracking.turns import OURSELVES
from exai.storage.notices.writing import NOBODY, Targets

__all__ = ["INVESTIGATE", "Investigations"]

_log = structlog.get_logger(__name__)

INVESTIGATE = "investigate_group"
BUSY_S = 2.0
START_S = 2.0
"""How soon one that somebody asked for in another process begins."""
SELECT_S = 30.0
PRUNE_S = 6 * 3_600.0
MOST_GROUPS = 200
WANTED_S = 1.0
"""How often one that runs is looked at, whether somebody cancelled it."""
DAY = timedelta(days=1)


class Investigations:
    """Chooses, begins and runs investigations in this process."""

    def __init__(
        self,
        database: Database,
        bus: EventBus,
        clock: Clock,
        settings: config.Investigation,
        targets: Targets = NOBODY,
    ) -> None:
        """`targets` are told of each end."""
        self.desk = InvestigationDesk(database, clock, settings.mode)
        self._tables = InvestigationTables(database, clock, targets)
        self._groups = GroupTables(database, clock)
        self._bus = bus
        self._clock = clock
        self._mode = settings.mode
        self._investigator: Investigator | None = None
        self._ends: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        """By investigation: when a postponed one may begin again at the earliest."""
        self._as_cited: dict[str, str] = {}
        """By group: the release in which lines that its report cites were seen to be what they were."""
        self._is_paused = False
        self.wanted = asyncio.Event()
        """Set when something may have become possible; makes the duties due."""

    def kind(self, settings: JobSettings) -> Kind:
        """Return the kind of job that runs one investigation."""
        keep_s = settings.keep_done_days * DAY.total_seconds()
        return Kind(INVESTIGATE, self.run, at_once=1, keep_done_s=keep_s, keep_dead_s=keep_s)

    @asynccontextmanager
    async def running(
        self, investigator: Investigator, jobs: Jobs, scheduler: Scheduler, keep_days: int
    ) -> AsyncIterator[None]:
        """Begin and run investigations within this scope, unless they are off, and delete what ended long ago."""
        prune = partial(self._tables.prune, keep_days)
        duties = [
            Duty(
                name="prune_evidence",
                run=prune,
                every_s=PRUNE_S,
                at_start=True,
                role="housekeeper",
                removes=True,
            ),
        ]
        if self._mode == "off":
            async with scheduler.running(*duties):
                yield
            return
        self._investigator = investigator
        self._bus.watch(self._wake, BreakerClosed)
        self._bus.watch(self._wake, ErrorGroupOpened)
        self._bus.watch(self._wake, ErrorRegressed)
        duties.append(
            Duty(
                name="start_investigations",
                run=partial(self.start_jobs, jobs),
                every_s=START_S,
                at_start=True,
                wake=self.wanted,
            )
        )
        if self._mode == "auto":
            duties.append(Duty(name="select_for_investigation", run=self.select, every_s=SELECT_S))
        try:
            async with scheduler.running(*duties):
                yield
        finally:
            self._investigator = None

    def _wake(self, _: Event) -> None:
        self.wanted.set()

    def samples(self) -> Iterator[Sample]:
        """Return the metrics of investigations."""
        for state, count in sorted(self._ends.items()):
            told = "Investigations that ended here, by their state."
            yield Sample("investigations", told, count, (("state", state),), is_total=True)

    async def start_jobs(self, jobs: Jobs) -> int:
        """Begin a job for whatever waits and can be run now; return how many wait.

        Raises:
            StoreFailed: a database did not keep it.
        """
        waiting = await self._tables.unfinished()
        for row in waiting:
            if row.state != "postponed" or self._can_begin(row):
                key = f"{row.investigation_id}:{row.round}"
                arguments = {"investigation_id": row.investigation_id}
                await jobs.start(INVESTIGATE, arguments, key=key, principal=OURSELVES)
        return len(waiting)

    def _can_begin(self, row: InvestigationRow) -> bool:
        """Return whether a postponed one may find somebody to ask."""
        investigator = self._investigator
        if investigator is None or investigator.is_crowded():
            return False
        if self._not_before.get(row.investigation_id, 0.0) > self._clock.monotonic():
            return False
        return not isinstance(investigator.roles(None), Nobody)

    async def select(self) -> None:
        """Ask for the group that is worth it most, if none waits and the last ones did not all fail.

        Raises:
            StoreFailed: the database is out of reach.
        """
        if await self._tables.unfinished() or await self._is_stopped():
            return
        groups = await self._groups.listed(
            state="open", most=MOST_GROUPS, order="last", project_id=OWN_PROJECT
        )
        latest = await self._tables.latest_by_group([group.group_id for group in groups])
        rates = await self._groups.rates()
        best: tuple[float, GroupRow, Reason] | None = None
        now = self._clock.utc()
        for group in groups:
            before, of_group = latest.get(group.group_id), rates.get(group.group_id, (0, 0))
            if not may_begin(group, before, now):
                continue
            situation = await self._situation(group, before, of_group)
            reason = reason_for(group, situation)
            if reason is None and before is not None and await self._has_changed(group, before):
                reason = "changed"
            worth = score(group, situation)
            if reason is not None and (best is None or worth > best[0]):
                best = (worth, group, reason)
        if best is not None:
            await self._tables.ask(best[1].group_id, best[2], OURSELVES)
            self.wanted.set()

    async def _is_stopped(self) -> bool:
        """Return whether none begins by itself now, as the last ones failed."""
        until = paused_until(await self._tables.latest_ended(3))
        is_paused = until is not None and until > self._clock.utc()
        if is_paused and not self._is_paused:
            _log.warning(
                "three investigations failed in a row; none begins by itself for an hour", until=until
            )
        self._is_paused = is_paused
        return is_paused

    async def _situation(
        self, group: GroupRow, latest: InvestigationRow | None, rates: tuple[int, int]
    ) -> Situation:
        now = self._clock.utc()
        regressed = None
        if latest is not None:
            turns = await self._groups.turns(group)
            regressed = max((turn.at for turn in turns if turn.kind == "regressed"), default=None)
        day = sum(hour.seen for hour in await self._groups.hours(group, now - DAY))
        return Situation(latest, regressed, rates, day, now)

    async def _has_changed(self, group: GroupRow, latest: InvestigationRow) -> bool:
        """Return whether lines that the latest report cites are others in the release that fails now.

        Its evidence is gathered once for a release.
        """
        if latest.report is None or group.last_release == latest.release or self._investigator is None:
            return False
        if self._as_cited.get(group.group_id) == group.last_release:
            return False
        report = msgspec.json.decode(latest.report, type=InvestigationReport)
        subject = await self._subject(group)
        if subject is None or not report.shown_files:
            return False
        bundle = await self._investigator.gatherer.gather(subject)
        shown = {(piece.path, piece.sha256) for piece in bundle.pieces}
        if any((file.path, file.sha256) not in shown for file in report.shown_files):
            self._as_cited.pop(group.group_id, None)
            return True
        self._as_cited[group.group_id] = group.last_release
        return False

    async def run(self, job: RunningJob) -> End:
        """Run one round of one investigation.

        Raises:
            StoreFailed: the job is tried again.
        """
        investigator, investigation_id = self._investigator, str(job.arguments["investigation_id"])
        if investigator is None:
            return Snooze(BUSY_S)
        taken = await self._tables.begin(investigation_id)
        if taken.result == "busy":
            return Snooze(BUSY_S)
        if taken.row is not None and taken.result == "begun":
            await self._run_wanted(investigator, taken.row)
        row = await self._tables.find(investigation_id)
        if row is None or row.state == "postponed":
            return Done({"state": "gone" if row is None else row.state})
        if not row.is_over:
            return Snooze(BUSY_S)  # this process ends
        if taken.result != "over":
            self._note_end(row)
        return Done({"state": row.state})

    async def _run_wanted(self, investigator: Investigator, row: InvestigationRow) -> None:
        """Run a round as long as nobody cancels it, in whatever process."""
        work = tasks.spawn(self._run_round(investigator, row), name="investigation")
        try:
            while not (await asyncio.wait({work}, timeout=WANTED_S))[0]:
                now = await self._tables.find(row.investigation_id)
                if now is None or now.is_over:
                    work.cancel()
        finally:
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled():
            work.result()

    async def _run_round(self, investigator: Investigator, row: InvestigationRow) -> None:
        group = await self._groups.with_id(row.group_id)
        subject = None if group is None else await self._subject(group)
        if group is None or subject is None:
            outcome: Reported | Failed | Postponed | None = Failed(
                "No occurrence of the group is kept.", tokens=row.tokens, cost_usd=row.cost_usd
            )
        else:
            suspect = _suspect(group, subject)
            try:
                notes = _RowNotes(self._tables, row.investigation_id)
                before = Spent(row.requests, row.tokens, row.cost_usd)
                outcome = await investigator.investigate(subject, suspect, notes, before)
            except Stopping:
                return  # the row runs, and the next process takes it up
        match outcome:
            case Reported():
                assert subject is not None  # noqa: S101 - a report is of one
                await self._tables.finish(_finished(row, outcome, subject))
            case Failed(why, models, tokens, cost_usd):
                names = ", ".join(model.name for model in models)
                await self._tables.finish(
                    Finished(
                        investigation_id=row.investigation_id,
                        state="failed",
                        why=why,
                        models=names,
                        tokens=tokens,
                        cost_usd=cost_usd,
                    )
                )
            case Postponed(why, retry_after_s):
                self._not_before[row.investigation_id] = self._clock.monotonic() + retry_after_s
                await self._tables.postpone(row.investigation_id, why)

    async def _subject(self, group: GroupRow) -> Subject | None:
        latest = await self._groups.occurrences(group, 1)
        return Subject(group, latest[0], latest[0].release) if latest else None

    def _note_end(self, row: InvestigationRow) -> None:
        self._not_before.pop(row.investigation_id, None)
        self._ends[row.state] += 1


@dataclass(frozen=True)
class _RowNotes:
    """See `Notes`: in the row, where the next process finds it."""

    tables: InvestigationTables
    investigation_id: str

    async def stage(self, stage: Stage, *, asks: bool) -> bool:
        """See `Notes.stage`."""
        return await self.tables.note_stage(self.investigation_id, stage, asks=asks)

    async def spent(self, tokens: int, cost_usd: float | None) -> None:
        """See `Notes.spent`."""
        await self.tables.note_spent(self.investigation_id, tokens, cost_usd)


def _suspect(group: GroupRow, subject: Subject) -> str | None:
    """Return the provider that a group concerns."""
    if group.fixable_by != "provider":
        return None
    provider = msgspec.json.decode(subject.occurrence.body, type=dict).get("provider")
    return None if provider is None else str(provider)


def _finished(row: InvestigationRow, reported: Reported, subject: Subject) -> Finished:
    report = reported.report
    return Finished(
        investigation_id=row.investigation_id,
        state="done",
        level=report.level,
        fix=report.fix.text,
        models=", ".join(model.name for model in report.models),
        tokens=report.tokens,
        cost_usd=report.cost_usd,
        report=msgspec.json.encode(report).decode(),
        evidence=tuple(
            EvidenceRow(
                piece.evidence_id, piece.kind, piece.place, piece.sha256, piece.provenance, piece.text
            )
            for piece in reported.bundle.pieces
        ),
        occurrences=(subject.occurrence.occurrence_id, *reported.cited_occurrences),
    )
