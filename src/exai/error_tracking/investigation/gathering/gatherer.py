"""Gathers the bundle of a group within three seconds: what rows and the process remember, and what sources say.

Sources are read while the database is. What is not there when the time is over is left out, with the reason; so is
what fails. The database being away ends it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from exai.config import Settings
from exai.error_tracking.faults import OWN_PROJECT
from exai.error_tracking.investigation.bundle import EvidenceBundle, FurtherItem, Provenance, Subject
from exai.error_tracking.investigation.gathering import facts
from exai.error_tracking.investigation.gathering.filling import KINDS, Draft, Filling
from exai.error_tracking.investigation.gathering.menu import Menu
from exai.error_tracking.investigation.gathering.places import own_functions
from exai.error_tracking.investigation.gathering.source_pieces import SourcePieces
from exai.error_tracking.investigation.gathering.sources import OpenSources, SourceUnavailable
from exai.error_tracking.investigation.gathering.withholding import Withholding
from exai.errors import StoreFailed
from exai.monitoring.recent.lines import RecentLines
from exai.monitoring.recent.provider_events import RecentProviderEvents
from exai.monitoring.recent.seconds import RecentSeconds
from exai.runtime.clock import Clock
from exai.storage.calls.recorded import RecordedCalls
from exai.storage.database import Database
from exai.storage.error_tracking.comparison import Comparison
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.sample_table import SampleTable
from exai.storage.error_tracking.surroundings import Surroundings
from exai.storage.fleet.replicas import Replicas

__all__ = ["Gatherer", "Remembered"]

_log = structlog.get_logger(__name__)

WITHIN_S = 3.0
COMPARED = 50
"""Occurrences that are compared with one another."""
RUNS = 50
NEAR_PROVIDERS = timedelta(minutes=10)
NEAR_LINES_S = 30.0
NEAR_SECONDS = 60
MOST_NEAR_LINES = 60
LATE = "The three seconds for gathering were over."
ELSEWHERE = "Another process had it, or an earlier life of this one: what that remembered is gone."


@dataclass(frozen=True)
class Remembered:
    """What this process remembers of its last minutes."""

    lines: RecentLines | None
    """`None`: its log is not configured here."""
    seconds: RecentSeconds
    provider_events: RecentProviderEvents


@dataclass(slots=True)
class _Gathered:
    """Drafts, and what is left out, by kind."""

    drafts: list[Draft] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)


class Gatherer:
    """Gathers bundles, and further items of a closed menu."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        remembered: Remembered,
        open_sources: OpenSources,
        *,
        within_s: float = WITHIN_S,
    ) -> None:
        self._run_id = database.run_id
        self._settings = settings
        self._withhold = Withholding(settings)
        self._remembered = remembered
        self._open_sources = open_sources
        self._within_s = within_s
        self._groups = GroupTables(database, clock)
        self._calls = RecordedCalls(database, clock)
        self._comparison = Comparison(database)
        self._samples = SampleTable(database)
        self._runs = Replicas(database, clock)
        self._surroundings = Surroundings(database)

    async def gather(self, subject: Subject) -> EvidenceBundle:
        """Gather the bundle.

        Raises:
            StoreFailed: the database is out of reach.
        """
        body = msgspec.json.decode(subject.occurrence.body, type=dict[str, Any])
        sources = SourcePieces(subject, body, provenance=_provenance(subject))
        releases = [each.release for each in await self._groups.releases(subject.group.project_id)]
        found: _Gathered | StoreFailed
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._from_sources(subject, sources, releases), name="evidence of sources")
            try:
                found = await self._from_rows(subject, body)
            except StoreFailed as error:
                found = error  # raised below, as a group of tasks would hide it in a group of errors
        if isinstance(found, StoreFailed):
            raise found
        filling = Filling(self._withhold)
        drafts = [*found.drafts, *sources.drafts]
        for draft in sorted(drafts, key=lambda each: KINDS.index(each.kind)):
            filling.add(draft)
        for kind, place, reason in (*found.left_out, *sources.left_out):
            filling.leave_out(kind, place, reason)
        return EvidenceBundle(
            pieces=tuple(filling.pieces),
            left_out=tuple(filling.left_out),
            tokens=filling.tokens,
            repository=sources.repository,
            commit=sources.commit,
        )

    async def gather_more(
        self, subject: Subject, bundle: EvidenceBundle, items: Sequence[FurtherItem]
    ) -> EvidenceBundle:
        """Append what was asked for.

        Raises:
            StoreFailed: the database is out of reach.
        """
        filling = Filling(self._withhold, bundle)
        async with AsyncExitStack() as opened:
            reader = None
            if any(item.kind in {"source", "history", "blame", "change"} for item in items):
                reader = await opened.enter_async_context(self._open_sources(subject.group.project_id))
            menu = Menu(
                subject,
                bundle.commit,
                reader,
                occurrences=await self._groups.occurrences(subject.group, COMPARED),
                settings=self._settings,
                lines=self._lines_of(subject),
                provenance=_provenance(subject),
            )
            await menu.add(filling, items, self._within_s)
        return EvidenceBundle(
            pieces=tuple(filling.pieces),
            left_out=tuple(filling.left_out),
            tokens=filling.tokens,
            repository=bundle.repository,
            commit=bundle.commit,
        )

    async def _from_sources(self, subject: Subject, pieces: SourcePieces, releases: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(self._within_s):
                async with self._open_sources(subject.group.project_id) as reader:
                    await pieces.read(reader, releases)
        except TimeoutError:
            pieces.leave_out_the_rest(LATE)
        except SourceUnavailable as error:
            pieces.leave_out_the_rest(str(error))
        except Exception:  # noqa: BLE001 - what cannot be read costs that evidence, not the rest
            _log.warning("sources of a group cannot be read", group=subject.group.number, exc_info=True)
            pieces.leave_out_the_rest("Reading it failed; the log says why.")

    async def _from_rows(self, subject: Subject, body: dict[str, Any]) -> _Gathered:
        group, occurrence = subject.group, subject.occurrence
        own = _provenance(subject)
        found = _Gathered()
        place = f"occurrence {occurrence.occurrence_id} of E-{group.number}"
        found.drafts.append(
            Draft(
                kind="occurrence",
                place=place,
                text=facts.occurrence_text(body, occurrence.at, subject.release),
                provenance=own,
                occurrence_id=occurrence.occurrence_id,
            )
        )
        await self._add_call(found, occurrence.call_id)
        bodies = [
            msgspec.json.decode(each.body, type=dict[str, Any]) | {"release": each.release}
            for each in await self._groups.occurrences(group, COMPARED)
        ]
        good = await self._comparison.around(occurrence.at)
        alike = facts.alike_text(bodies, good)
        found.drafts.append(
            Draft(kind="alike", place=f"occurrences of E-{group.number}", text=alike, provenance=own)
        )
        if group.project_id == OWN_PROJECT:
            await self._add_surroundings(found, subject, body)
        like = await self._surroundings.resolved_like(group, own_functions(body))
        if like:
            found.drafts.append(
                Draft(
                    kind="resolved",
                    place="groups that were resolved",
                    text=facts.resolved_text(like),
                    provenance=own,
                )
            )
        else:
            found.left_out.append(("resolved", "groups", "None has its code or a function of its stack."))
        return found

    async def _add_call(self, found: _Gathered, call_id: str | None) -> None:
        call = None if call_id is None else await self._calls.find(call_id, None)
        if call is not None:
            found.drafts.append(Draft(kind="call", place=f"call {call_id}", text=facts.call_text(call)))
        elif call_id is None:
            found.left_out.append(("call", "of the occurrence", "It did not happen within a call."))
        else:
            found.left_out.append(
                (
                    "call",
                    call_id,
                    "The journal has no such call: it asked no provider, or its row was pruned.",
                )
            )

    async def _add_surroundings(self, found: _Gathered, subject: Subject, body: Mapping[str, Any]) -> None:
        """Add what surrounds a fault of EXAI itself: settings, providers, the log, the load."""
        await self._add_settings(found, subject, body)
        await self._add_providers(found, subject, body)
        self._add_lines(found, subject)
        await self._add_load(found, subject.occurrence.run_id, subject.occurrence.at)

    async def _add_settings(self, found: _Gathered, subject: Subject, body: Mapping[str, Any]) -> None:
        runs = await self._runs.latest(RUNS)
        run = next((each for each in runs if each.run_id == subject.occurrence.run_id), None)
        setting = body.get("facts", {}).get("setting", "")
        found.drafts.append(
            Draft(
                kind="settings",
                place=f"settings of this process{', ' + setting if setting else ''}",
                text=facts.settings_text(self._settings, run, runs),
                is_failing_place=bool(setting),
            )
        )

    async def _add_providers(self, found: _Gathered, subject: Subject, body: Mapping[str, Any]) -> None:
        at, near = subject.occurrence.at, NEAR_PROVIDERS
        tallies = await self._surroundings.requests(at - near, at + near)
        events: Sequence[str] = ()
        if subject.occurrence.run_id == self._run_id:
            events = self._remembered.provider_events.around(at.timestamp(), near.total_seconds())
        told = "\n".join(each for each in (facts.requests_text(tallies), *events) if each)
        _add(
            found,
            Draft(kind="provider", place="requests to providers within 10 minutes", text=told),
            "No provider was asked within 10 minutes of it.",
        )
        if body.get("provider") and subject.group.fixable_by in {"provider", "operator"}:
            found.drafts.append(
                Draft(
                    kind="provider_answer",
                    place=f"answer of {body['provider']}/{body.get('model')}",
                    text=facts.answer_text(body),
                    provenance="own",
                    is_failing_place=True,
                )
            )

    def _add_lines(self, found: _Gathered, subject: Subject) -> None:
        occurrence, lines = subject.occurrence, self._lines_of(subject)
        if lines is None:
            found.left_out.append(("log", "around it", ELSEWHERE))
            return
        ids = (occurrence.call_id, occurrence.incident_id)
        near = lines.around(occurrence.at.timestamp(), NEAR_LINES_S, *ids, most=MOST_NEAR_LINES)
        _add(
            found,
            Draft(
                kind="log",
                place="lines of the log, of the call and within 30 s",
                text="\n".join(near),
                provenance="own",
            ),
            "No line was written within 30 s of it.",
        )

    async def _add_load(self, found: _Gathered, run_id: str | None, at: datetime) -> None:
        samples = [] if run_id is None else await self._samples.at(run_id, at)
        stretches = (
            self._remembered.seconds.around(at.timestamp(), NEAR_SECONDS) if run_id == self._run_id else []
        )
        _add(
            found,
            Draft(
                kind="load",
                place=f"load of the process in the minute of {at.isoformat(timespec='minutes')}",
                text=facts.load_text(samples, stretches),
            ),
            "No samples of that minute are kept.",
        )

    def _lines_of(self, subject: Subject) -> RecentLines | None:
        return self._remembered.lines if subject.occurrence.run_id == self._run_id else None


def _add(found: _Gathered, draft: Draft, otherwise: str) -> None:
    if draft.text:
        found.drafts.append(draft)
    else:
        found.left_out.append((draft.kind, draft.place, otherwise))


def _provenance(subject: Subject) -> Provenance:
    return "own" if subject.group.project_id == OWN_PROJECT else "outside"
