"""Takes reports of projects: who may, how many, which are repeats, and that they are counted before they are answered.

A key reports and does nothing else. Keys are random, so the database has their SHA-256; a project is looked up anew
after a second, so that a key that was taken away is refused that soon.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from exai.error_tracking.faults import Fault
from exai.errors import RequestFault, StoreFailed
from exai.runtime.clock import Clock
from exai.storage.error_tracking.projects import Intake, Project, ProjectTables

__all__ = ["MOST_A_MINUTE", "Accepted", "KeyRefused", "ReportIntake", "TooManyReports", "sha256_of"]

FRESH_S = 1.0
MOST_A_MINUTE = 6_000
"""Faults of one project that a process takes within a minute."""
MOST_PROJECTS = 1_000
REMEMBERED = 100_000
"""Ids of reporters that are remembered; older ones are looked up in the table."""


class KeyRefused(RequestFault):
    """There is no such project, or this is not its key."""

    code = "report_refused"
    http_status = 403


class TooManyReports(RequestFault):
    """The project has reported as much as it may within a minute."""

    code = "too_many_reports"
    http_status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Accepted(msgspec.Struct, frozen=True):
    """What was taken of a request."""

    events: int
    repeated: int


class _Minute(msgspec.Struct):
    """What a project reported within a minute."""

    began: float
    taken: int = 0


class ReportIntake:
    """Takes faults of projects."""

    def __init__(
        self,
        projects: ProjectTables,
        clock: Clock,
        *,
        notice: Callable[[Fault], None],
        settled: Callable[[], Awaitable[None]],
        lost: Callable[[], int],
    ) -> None:
        """Set it up.

        Args:
            notice: hands a fault on, to be counted.
            settled: returns once all that was noticed is counted; raises `StoreFailed` while the database is away.
            lost: how many faults found no room since the start.
        """
        self._projects = projects
        self._clock = clock
        self._notice = notice
        self._settled = settled
        self._lost = lost
        self._known: OrderedDict[int, tuple[float, Project | None]] = OrderedDict()
        self._minutes: dict[int, _Minute] = {}
        self._taken: OrderedDict[str, None] = OrderedDict()

    async def project_of(self, number: str, key: str) -> Project:
        """Return the project of a number, if this is its key.

        Raises:
            KeyRefused: it is not; the sentence is the same as for a project that does not exist.
            StoreFailed: nobody knows.
        """
        project = await self._project(int(number)) if number.isdecimal() and len(number) < 10 else None
        kept = None if project is None else project.dsn_key_sha256
        if project is None or kept is None or not hmac.compare_digest(kept, sha256_of(key)):
            raise KeyRefused(
                "There is no such project, or this is not its key. `exai errors dsn create` makes one."
            )
        return project

    async def take(self, project: Project, faults: Sequence[Fault], intake: Intake) -> Accepted:
        """Take faults, and return once they are counted, or wait to be where the database is away.

        Args:
            intake: what else came with them; `events`, `repeated` and `lost` are added to it.

        Raises:
            TooManyReports: more came than a project may report within a minute; none of these was taken.
            StoreFailed: there was no room for all of them while the database is away.
        """
        new = await self._without_repeats(project, faults)
        intake.repeated += len(faults) - len(new)
        try:
            self._charge(project, len(new))
        except TooManyReports:
            intake.lost += len(new)
            self._projects.count_soon(project.project_id, intake)
            raise
        lost = sum(not self._has_room_for(fault) for fault in new)
        intake.events += len(new) - lost
        intake.lost += lost
        self._projects.count_soon(project.project_id, intake)
        if lost:
            raise StoreFailed(
                "There is no room for further reports until the database is back.", retry_after_s=30.0
            )
        if new:
            await self._wait_until_counted()
        return Accepted(len(new), intake.repeated)

    def _has_room_for(self, fault: Fault) -> bool:
        """Hand a fault on; what finds no room is not remembered, so that its sender may repeat it."""
        lost = self._lost()
        self._notice(fault)
        if self._lost() != lost:
            return False
        self._remember(fault)
        return True

    async def _wait_until_counted(self) -> None:
        """Wait; what the database does not take now waits in memory, and is counted when it is back."""
        try:
            await self._settled()
        except StoreFailed:
            return

    async def _project(self, number: int) -> Project | None:
        now = self._clock.monotonic()
        known = self._known.get(number)
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        try:
            project = await self._projects.find(number)
        except StoreFailed:
            if known is None:
                raise
            return known[1]
        self._known[number] = (now, project)
        self._known.move_to_end(number)
        if len(self._known) > MOST_PROJECTS:
            self._known.popitem(last=False)
        return project

    def _charge(self, project: Project, count: int) -> None:
        now = self._clock.monotonic()
        minute = self._minutes.get(project.project_id)
        if minute is None or now - minute.began >= 60:
            minute = self._minutes[project.project_id] = _Minute(now)
        if minute.taken + count > MOST_A_MINUTE:
            left = max(1.0, minute.began + 60 - now)
            raise TooManyReports(
                f"This project reports more than {MOST_A_MINUTE} errors a minute. Go on in {left:.0f} s.",
                retry_after_s=left,
            )
        minute.taken += count

    async def _without_repeats(self, project: Project, faults: Sequence[Fault]) -> list[Fault]:
        """Leave out what was taken before, and name events by their project."""
        seen: set[str] = set()
        unknown = [
            fault.event_id
            for fault in faults
            if fault.event_id is not None and f"{project.project_id}/{fault.event_id}" not in self._taken
        ]
        if unknown:
            seen.update(await self._kept(project, unknown))
        new = []
        for fault in faults:
            if fault.event_id is None:
                new.append(fault)
                continue
            name = f"{project.project_id}/{fault.event_id}"
            if name in self._taken or fault.event_id in seen:
                continue
            seen.add(fault.event_id)
            new.append(msgspec.structs.replace(fault, event_id=name))
        return new

    async def _kept(self, project: Project, event_ids: Sequence[str]) -> frozenset[str]:
        try:
            return await self._projects.known_events(project.project_id, event_ids)
        except StoreFailed:
            return frozenset()

    def _remember(self, fault: Fault) -> None:
        if fault.event_id is not None:
            self._taken[fault.event_id] = None
            if len(self._taken) > REMEMBERED:
                self._taken.popitem(last=False)


def sha256_of(key: str) -> str:
    """Return what the database keeps of a key. It is random, so that a slow hash would add nothing."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
