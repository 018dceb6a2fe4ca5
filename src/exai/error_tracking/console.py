"""What people and programs ask of the groups of faults, and decide: one answer for the command line and every door."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from exai.error_tracking.faults import OWN_PROJECT
from exai.error_tracking.investigation.gathering.suspects import FirstSuspects
from exai.error_tracking.investigation.view import InvestigationView, view_of
from exai.error_tracking.provenance import Provenance, provenance_of
from exai.error_tracking.reports import Report, report_on
from exai.error_tracking.states import DecisionRefused, is_escalating
from exai.errors import ToolFault
from exai.runtime.clock import Clock
from exai.storage.dashboard.groups_then import GroupsThen, GroupThen, SortThen
from exai.storage.dashboard.sums import DashboardSums
from exai.storage.database import Database
from exai.storage.error_tracking.comparison import Comparison
from exai.storage.error_tracking.failed_costs import MICRO
from exai.storage.error_tracking.groups import (
    FingerprintRow,
    GroupTables,
    HourRow,
    OccurrenceRow,
    StaleVersion,
)
from exai.storage.error_tracking.investigations import InvestigationTables
from exai.storage.error_tracking.projects import ProjectTables
from exai.storage.error_tracking.rows import Change, GroupRow, State, Turn
from exai.storage.error_tracking.sample_table import SampleTable

__all__ = ["Console", "GroupDetails", "GroupLine", "Sort", "UnknownGroup"]

Sort = Literal["last", "first", "seen", "callers", "cost"]

COMPARED = 50
"""Occurrences that a report reads."""
CHANGED_BY_COMMITS = frozenset({"ours", "unknown", "another program's"})
"""Causes whose beginning a commit may be."""
SHOWN_HOURS = timedelta(days=7)


class UnknownGroup(ToolFault):
    """There is no group of this number."""

    code = "unknown_group"
    http_status = 404
    fixable_by = "caller"


class GroupLine(msgspec.Struct, frozen=True, kw_only=True):
    """A group in a list."""

    group: str
    """As `E-17`."""
    reporter: str | None
    """The program that reported it, whose words its texts are; `None`: EXAI itself."""
    state: State
    version: int
    provenance: Provenance
    """Who wrote its title, its place and the names of its releases."""
    title: str
    place: str
    code: str | None
    fixable_by: str | None
    seen: int
    handled: int
    stored: int
    lost: int
    callers: int
    cost_usd: float
    """Of the calls that it failed, as far as the journal has them and they had a price."""
    first_seen: datetime
    last_seen: datetime
    first_release: str
    last_release: str
    escalates: bool


class GroupDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A group, whole."""

    group: GroupLine
    report: Report
    grouped_by: list[FingerprintRow]
    history: list[Turn]
    hours: list[HourRow]
    """Of the last seven days, those in which it was seen."""
    latest: dict[str, Any] | None
    """The latest occurrence that was kept."""
    investigation: InvestigationView | None
    """The latest one with a report, else the latest."""
    provenance: Mapping[str, Provenance]
    """Who wrote the texts, by the field that has them; what is not named here is written by EXAI's server."""


class Console:
    """Lists, shows and changes groups."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        suspects: FirstSuspects | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Set it up on a database.

        Args:
            suspects: looks for the commit with which a fault began; `None`: nobody does.
            changed: is called when somebody decided something here.
        """
        self._suspects = suspects
        self._changed = changed
        self._groups = GroupTables(database, clock)
        self._sums = DashboardSums(database)
        self._then = GroupsThen(database)
        self._projects = ProjectTables(database, clock)
        self._comparison = Comparison(database)
        self._samples = SampleTable(database)
        self._investigations = InvestigationTables(database, clock)
        self._clock = clock

    async def listed(
        self,
        *,
        state: State | None = "open",
        matching: str = "",
        sort: Sort = "last",
        most: int = 50,
        own: bool = False,
        reporter: str | None = None,
        after: tuple[datetime | int, int] | None = None,
    ) -> list[GroupLine]:
        """List groups, those first that come first by `sort`, the largest or latest.

        Args:
            own: those of EXAI itself alone, without what other programs report.
            reporter: those of this program alone.
            after: of the last group of the page before what it is sorted by, and its number.

        Raises:
            StoreFailed: the database is out of reach.
        """
        reporters = await self._projects.reporters()
        project_id = OWN_PROJECT if own else None
        if reporter is not None:
            project_id = next((number for number, name in reporters.items() if name == reporter), 0)
        groups = await self._groups.listed(
            state=state, matching=matching, most=most, order=sort, project_id=project_id, after=after
        )
        rates = await self._groups.rates()
        costs = await self._groups.costs([group.group_id for group in groups])
        return [
            _line(
                group,
                rates.get(group.group_id, (0, 0)),
                reporters.get(group.project_id),
                costs.get(group.group_id, 0),
            )
            for group in groups
        ]

    async def listed_then(
        self, at: datetime, *, state: State | None, matching: str, sort: SortThen, most: int
    ) -> list[GroupThen]:
        """List groups as they were at an earlier moment.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._then.listed(at, state=state, matching=matching, order=sort, most=most)

    async def shown(self, number: int) -> GroupDetails:
        """Show one group, with the report on it.

        Raises:
            UnknownGroup: there is none of this number.
            StoreFailed: the database is out of reach.
        """
        group = await self._found(number)
        groups = self._groups
        occurrences = await groups.occurrences(group, COMPARED)
        bodies = [
            {**msgspec.json.decode(each.body, type=dict[str, Any]), "at": each.at} for each in occurrences
        ]
        rates = (await groups.rates()).get(group.group_id, (0, 0))
        latest = occurrences[0] if occurrences else None
        load = (
            await self._samples.at(latest.run_id, latest.at)
            if latest is not None and latest.run_id is not None
            else []
        )
        line = await self._line_of(group, number)
        releases = [each.release for each in await groups.releases(group.project_id)]
        report = report_on(
            group,
            bodies,
            await self._comparison.around(group.last_seen),
            earlier_release=_release_before(group, releases),
            rates=rates,
            load=load,
            reporter=line.reporter,
        )
        if self._suspects is not None and bodies and report.cause in CHANGED_BY_COMMITS:
            suspect = await self._suspects.of(group, bodies[0], releases)
            report = msgspec.structs.replace(report, suspect=suspect)
        return GroupDetails(
            group=line,
            report=report,
            grouped_by=await groups.fingerprints(group),
            history=await groups.turns(group),
            hours=await groups.hours(group, self._clock.utc() - SHOWN_HOURS),
            latest=bodies[0] if bodies else None,
            investigation=await self._investigation(group),
            provenance=_provenances(line, bodies[0] if bodies else {}),
        )

    async def line(self, number: int) -> GroupLine:
        """Show one group in short.

        Raises:
            UnknownGroup: there is none of this number.
            StoreFailed: the database is out of reach.
        """
        return await self._line_of(None, number)

    async def id_of(self, number: int) -> str:
        """Find the id under which a group's rows are kept.

        Raises:
            UnknownGroup: there is none of this number.
            StoreFailed: the database is out of reach.
        """
        return (await self._found(number)).group_id

    async def turns(self, most: int) -> list[Turn]:
        """List the latest turning points of all groups, newest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._groups.latest_turns(most)

    async def days_of(self, lines: Sequence[GroupLine]) -> dict[str, list[int]]:
        """Count how often groups were seen on each of the last seven days, the oldest first.

        Raises:
            QueryTooSlow: it took too long.
            StoreFailed: the database is out of reach.
        """
        numbers = [int(line.group.removeprefix("E-")) for line in lines]
        days = await self._sums.days_of(numbers, self._clock.utc())
        return {f"E-{number}": counts for number, counts in days.items()}

    async def occurrences(self, number: int, most: int, after: str | None) -> list[OccurrenceRow]:
        """List occurrences of a group that were kept, newest first, behind the one of this id.

        Raises:
            UnknownGroup: there is none of this number.
            StoreFailed: the database is out of reach.
        """
        return await self._groups.occurrences(await self._found(number), most, after)

    async def _investigation(self, group: GroupRow) -> InvestigationView | None:
        tables = self._investigations
        row = await tables.latest_of(group.group_id, done=True) or await tables.latest_of(group.group_id)
        return None if row is None else view_of(row)

    async def decide(
        self,
        number: int,
        change: Callable[[GroupRow], Change],
        *,
        version: int | None,
        actor: str,
        note: str = "",
    ) -> GroupLine:
        """Change the state of a group.

        Raises:
            UnknownGroup: there is none of this number.
            DecisionRefused: its state does not allow it, or it was changed since `version`.
            StoreFailed: nothing was changed.
        """
        try:
            group = await self._groups.decide(number, change, version=version, actor=actor, note=note)
        except StaleVersion:
            raise await self._stale(number) from None
        self._changed()
        return await self._line_of(group, number)

    async def merge(
        self, into: int, others: Sequence[int], *, actor: str, note: str = "", version: int | None = None
    ) -> GroupLine:
        """Move all that other groups gathered, and will, into one.

        Raises:
            UnknownGroup: one of them is not there.
            DecisionRefused: it was changed since `version`.
            StoreFailed: nothing was changed.
        """
        try:
            group = await self._groups.merge(into, others, actor=actor, note=note, version=version)
        except StaleVersion:
            raise await self._stale(into) from None
        if group is None:
            names = ", ".join(f"E-{number}" for number in (into, *others))
            raise UnknownGroup(
                f"Of {names} one is not there or of another program, or there is nothing to merge; nothing was changed."
            )
        self._changed()
        return await self._line_of(group, into)

    async def split(
        self, number: int, hash_: str, *, actor: str, note: str = "", version: int | None = None
    ) -> GroupLine:
        """Move one fingerprint of a group, with what it gathered, into a group of its own; return that one.

        Raises:
            UnknownGroup: there is no such group, or no such fingerprint beside another one.
            DecisionRefused: it was changed since `version`.
            StoreFailed: nothing was changed.
        """
        try:
            group = await self._groups.split(number, hash_, actor=actor, note=note, version=version)
        except StaleVersion:
            raise await self._stale(number) from None
        if group is None:
            await self._found(number)
            raise UnknownGroup(
                f"E-{number} has no further fingerprint, or none or several that begin with {ascii(hash_)[1:-1][:64]}. "
                f"`exai errors show E-{number}` lists them; a group keeps at least one."
            )
        self._changed()
        return await self._line_of(group, number)

    async def _stale(self, number: int) -> DecisionRefused:
        now = await self._found(number)
        return DecisionRefused(
            f"E-{number} was changed by somebody else: it is {now.state} (version {now.version}). "
            "Look at it again, and decide on that version."
        )

    async def _found(self, number: int) -> GroupRow:
        group = await self._groups.find(number)
        if group is None:
            raise UnknownGroup(f"There is no group E-{number}. `exai errors list` has them.")
        return group

    async def _line_of(self, group: GroupRow | None, number: int) -> GroupLine:
        if group is None:
            group = await self._found(number)
        rates = await self._groups.rates()
        reporters = await self._projects.reporters()
        costs = await self._groups.costs([group.group_id])
        return _line(
            group,
            rates.get(group.group_id, (0, 0)),
            reporters.get(group.project_id),
            costs.get(group.group_id, 0),
        )


def _release_before(group: GroupRow, releases: Sequence[str]) -> str | None:
    """Find the last release before the one with which the group began."""
    if group.first_release not in releases:
        return None
    place = releases.index(group.first_release)
    return releases[place - 1] if place else None


def _provenances(line: GroupLine, latest: dict[str, Any]) -> dict[str, Provenance]:
    """Say who wrote each text of a group: of a call that asked a provider any message may have the provider's words."""
    texts = line.provenance
    return {
        **dict.fromkeys(_TEXTS, texts),
        "latest": "outside" if latest.get("provider") or latest.get("client") else texts,
        "report.shared": "outside",
        "investigation.report": "outside",
        "investigation.why": "outside",
        "history.note": "outside",
        "history.facts": "outside",
    }


_TEXTS = (
    "group.title",
    "group.place",
    "group.first_release",
    "group.last_release",
    "report.place",
    "report.since",
    "grouped_by.why",
)
"""What whoever raised a fault wrote."""


def _line(group: GroupRow, rates: tuple[int, int], reporter: str | None, micro_usd: int) -> GroupLine:
    return GroupLine(
        group=f"E-{group.number}",
        reporter=reporter,
        provenance=provenance_of(reporter, group.fixable_by),
        state=group.state,
        version=group.version,
        title=group.title,
        place=group.culprit,
        code=group.code,
        fixable_by=group.fixable_by,
        seen=group.seen,
        handled=group.handled,
        stored=group.stored,
        lost=group.lost,
        callers=group.callers,
        cost_usd=micro_usd / MICRO,
        first_seen=group.first_seen,
        last_seen=group.last_seen,
        first_release=group.first_release,
        last_release=group.last_release,
        escalates=group.state == "open" and is_escalating(*rates),
    )
