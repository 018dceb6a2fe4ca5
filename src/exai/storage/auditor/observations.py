"""Rows of observations. What lasts is one row per detector and subject, whichever process sees it:

    –  ──seen──→ open ──acknowledged──→ acknowledged
                  └──────── not seen for a while ────────┴──→ gone

One that is gone and seen again is a new row. A verdict may be given in every state, and changes none.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec
from sqlalchemy import Connection, insert, select, update

from exai.runtime.clock import Clock
from exai.storage.auditor.schema import auditor_observations
from exai.storage.database import Database
from exai.storage.notices.writing import NOBODY, Notice, Targets, add_notice
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = [
    "EXERCISE",
    "SEVERITIES",
    "Category",
    "Judged",
    "Observation",
    "ObservationState",
    "Observations",
    "Seen",
    "Severity",
    "Sighting",
    "Verdict",
]

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The least first."""
Category = Literal["performance", "security", "reliability", "cost", "quality"]
ObservationState = Literal["open", "acknowledged", "gone"]
Verdict = Literal["useful", "noise"]

EXERCISE = "exercise:"
"""Begins the subjects of what an exercise planted. Nobody is told of it."""

MOST_WINDOWS = 30
"""Of an observation, named in its row."""
JUDGED = 20
"""Verdicts of a detector that its precision is computed from."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector saw, as its row has it."""

    observation_id: str
    detector: str
    subject: str
    severity: Severity
    category: Category
    state: ObservationState
    verdict: Verdict | None
    count: int
    first_at: datetime
    last_at: datetime
    numbers: str
    """JSON."""
    recommendation: str
    windows: str
    """JSON: when they began, in seconds since 1970 UTC."""
    explanation: str | None


class Seen(msgspec.Struct, frozen=True):
    """What a detector sees in a window that ends now."""

    observation_id: str
    """Of its row, if it becomes a new one."""
    detector: str
    subject: str
    severity: Severity
    category: Category
    numbers: Mapping[str, float | str]
    recommendation: str
    window: float
    """When the window began."""


class Sighting(msgspec.Struct, frozen=True):
    """What a sighting did."""

    change: Literal["opened", "raised", "repeated"]
    observation: Observation


class Judged(msgspec.Struct, frozen=True):
    """The latest verdicts on one detector."""

    useful: int
    noise: int

    @property
    def precision(self) -> float:
        """Share of what it reported that people found useful."""
        return self.useful / (self.useful + self.noise)


class Observations:
    """Keeps what is seen, and what people say about it."""

    def __init__(self, database: Database, clock: Clock, targets: Targets = NOBODY) -> None:
        self._database = database
        self._clock = clock
        self._targets = targets

    async def see(self, seen: Seen) -> Sighting:
        """Keep a sighting: as a new row, or as one more of the row that lasts.

        Raises:
            StoreFailed: it was not kept.
        """
        return await self._database.write(_see, (seen, self._clock.utc(), self._targets))

    async def end_quiet(self, before: datetime) -> int:
        """Call everything gone that was last seen before this moment; return how much that was.

        Raises:
            StoreFailed: nothing is changed.
        """
        return await self._database.write(_end_quiet, before)

    async def change(
        self,
        observation_id: str,
        *,
        state: Literal["acknowledged"] | None = None,
        verdict: Verdict | None = None,
        explanation: str | None = None,
        severity: Severity | None = None,
    ) -> Observation | None:
        """Change what is given; `None`: there is no such observation.

        One that is gone stays so, and a severity is only ever raised.

        Raises:
            StoreFailed: nothing is changed.
        """
        values = {"state": state, "verdict": verdict, "explanation": explanation, "severity": severity}
        given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        if verdict is not None:
            given["judged_at"] = self._clock.utc()
        changed = (observation_id, given, self._clock.utc(), self._targets)
        return await self._database.write(_change, changed)

    async def get(self, observation_id: str) -> Observation | None:
        """Find one.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.where(_row.observation_id == observation_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else _observation(row)

    async def listing(
        self,
        *,
        state: ObservationState | None = None,
        under: str | None = None,
        beside: str | None = None,
        most: int = 100,
    ) -> Sequence[Observation]:
        """List observations, the latest seen first.

        Args:
            under: what their subjects begin with.
            beside: what they do not begin with.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = _SELECT.order_by(_row.last_at.desc(), _row.observation_id).limit(most)
        if state is not None:
            query = query.where(_row.state == state)
        if under is not None:
            query = query.where(_row.subject.startswith(under, autoescape=True))
        if beside is not None:
            query = query.where(~_row.subject.startswith(beside, autoescape=True))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_observation(row) for row in rows]

    async def judged(self) -> Mapping[str, Judged]:
        """Return the latest verdicts by detector; one without any is left out.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = (
            select(_row.detector, _row.verdict)
            .where(_row.verdict.is_not(None))
            .order_by(_row.judged_at.desc())
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        found: dict[str, list[str]] = {}
        for detector, verdict in rows:
            found.setdefault(detector, []).append(verdict)
        return {
            detector: Judged(verdicts[:JUDGED].count("useful"), verdicts[:JUDGED].count("noise"))
            for detector, verdicts in found.items()
        }


_row = auditor_observations.c
_FIELDS = Observation.__struct_fields__
_SELECT = select(*(_row[name] for name in _FIELDS))


def _observation(row: Sequence[Any]) -> Observation:
    return Observation(**dict(zip(_FIELDS, row, strict=True)))


@row_by_row(LockGroup.AUDITOR)
def _see(connection: Connection, sighting: tuple[Seen, datetime, Targets]) -> Sighting:
    seen, at, targets = sighting
    lasting = connection.execute(
        _SELECT.where(_row.detector == seen.detector, _row.subject == seen.subject, _row.state != "gone")
    ).first()
    numbers = msgspec.json.encode(seen.numbers).decode()
    if lasting is None:
        observation = Observation(
            observation_id=seen.observation_id,
            detector=seen.detector,
            subject=seen.subject,
            severity=seen.severity,
            category=seen.category,
            state="open",
            verdict=None,
            count=1,
            first_at=at,
            last_at=at,
            numbers=numbers,
            recommendation=seen.recommendation,
            windows=msgspec.json.encode([seen.window]).decode(),
            explanation=None,
        )
        connection.execute(insert(auditor_observations).values(msgspec.structs.asdict(observation)))
        _announce_critical(connection, targets, observation, at)
        return Sighting("opened", observation)
    before = _observation(lasting)
    windows: list[float] = msgspec.json.decode(before.windows)
    raised = SEVERITIES.index(seen.severity) > SEVERITIES.index(before.severity)
    changes = {
        "severity": seen.severity if raised else before.severity,
        "count": before.count + 1,
        "last_at": at,
        "numbers": numbers,
        "windows": msgspec.json.encode([*windows, seen.window][:MOST_WINDOWS]).decode(),
    }
    _put(connection, before.observation_id, changes)
    observation = msgspec.structs.replace(before, **changes)
    if raised:
        _announce_critical(connection, targets, observation, at)
    return Sighting("raised" if raised else "repeated", observation)


@row_by_row(LockGroup.AUDITOR)
def _end_quiet(connection: Connection, before: datetime) -> int:
    statement = update(auditor_observations).where(_row.state != "gone", _row.last_at < before)
    return connection.execute(statement.values(state="gone")).rowcount


@row_by_row(LockGroup.AUDITOR)
def _change(
    connection: Connection, change: tuple[str, Mapping[str, Any], datetime, Targets]
) -> Observation | None:
    observation_id, given, at, targets = change
    row = connection.execute(_SELECT.where(_row.observation_id == observation_id)).first()
    if row is None:
        return None
    before, values = _observation(row), dict(given)
    if before.state == "gone":
        values.pop("state", None)
    if SEVERITIES.index(values.get("severity", before.severity)) <= SEVERITIES.index(before.severity):
        values.pop("severity", None)
    if values:
        _put(connection, observation_id, values)
    values.pop("judged_at", None)
    observation = msgspec.structs.replace(before, **values)
    if "severity" in values:
        _announce_critical(connection, targets, observation, at)
    return observation


def _announce_critical(
    connection: Connection, targets: Targets, observation: Observation, at: datetime
) -> None:
    """Write down what is to be told of an observation that opened, or got worse; its subject may be a caller's name."""
    if observation.severity != "critical" or observation.subject.startswith(EXERCISE):
        return
    numbers: dict[str, Any] = msgspec.json.decode(observation.numbers)
    counts = {name: number for name, number in numbers.items() if isinstance(number, int | float)}
    notice = Notice(
        "observation.critical",
        observation.observation_id,
        f"{observation.detector}: {observation.recommendation}",
        {"windows": observation.count, **counts},
        about=f"{observation.detector} {observation.subject}",
    )
    add_notice(connection, targets, notice, at)


def _put(connection: Connection, observation_id: str, values: Mapping[str, Any]) -> None:
    statement = update(auditor_observations).where(_row.observation_id == observation_id)
    connection.execute(statement.values(**values))
