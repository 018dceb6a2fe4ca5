"""The ledger of a call: an entry per request to a provider, and where the call's time went.

A request is one question to one model, or one search; its *attempts* are what was sent for it. Whatever is known of a
request is in its entry and nowhere else, so requests of one call that run side by side cannot be taken for each other.

Ledgers form a tree. A call has one. What a call does in several parts, side by side or in turn, has a branch for each
part: an entry made in a branch is an entry of every ledger above it too. A branch for one model's turn (`turn`) says
besides what became of that model, for `tried`.

**Time.** Each entry has stages of its own, one after another. The stages of a call are made of all the intervals in
it: each moment counts once, for the first `Stage` in the order of that enumeration that is under way then, and
moments at which none is are processing of our own. So the stages of a call always add up to its latency, however many
requests ran at once.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from operator import itemgetter
from types import TracebackType
from typing import Self

import msgspec

from exai.costs import Bill
from exai.errors import ExaiError
from exai.events.requests import Purpose, RequestRecord
from exai.runtime.clock import Clock

__all__ = ["LATENCY", "Entry", "Ledger", "Stage", "Tried"]

NOT_ASKED = "not_asked"
OPEN = "open"


class Stage(StrEnum):
    """What a moment of a call was spent on. In parallel requests, the moment counts for the first of these."""

    GENERATION = "generation_ms"
    TOOLS = "tools_ms"
    """Tools of a model ran; the searches and requests that they make are part of it."""
    FIRST_TOKEN = "first_token_ms"  # noqa: S105 - a token of an answer
    CONNECT = "connect_ms"
    FAILED_REQUESTS = "failed_requests_ms"
    BACKOFF = "backoff_ms"
    PROVIDER_WAIT = "provider_sem_wait_ms"
    STORE = "store_ms"
    TOTAL_WAIT = "global_sem_wait_ms"
    CALLER_WAIT = "session_wait_ms"

    __hash__ = str.__hash__
    """That of `Enum` is a Python function, which costs as much as the rest of an entry."""


_NAMES = {stage: stage.value for stage in Stage}

PROCESSING = "processing_ms"
LATENCY = "latency_ms"

_Interval = tuple[float, float, Stage]
"""Began, ended, spent on."""

_BEGAN = itemgetter(0)


class Tried(msgspec.Struct, frozen=True):
    """One model that was to answer, and what became of it."""

    model: str
    provider: str
    outcome: str
    """`ok`, or the code of its last failure."""
    requests: int
    """Sent to the provider; 0 where the failure came before."""
    was_asked: bool = True
    """Whether there was a question to it at all, sent or not."""


class Entry:
    """One request: a scope from its first attempt to its end, whatever that is."""

    __slots__ = (
        "_busy_until",
        "_clock",
        "attempts",
        "began",
        "bill",
        "caller_saw_output",
        "doing",
        "doing_since",
        "ended",
        "intervals",
        "model",
        "number",
        "outcome",
        "provider",
        "purpose",
    )

    def __init__(self, number: int, purpose: Purpose, provider: str, model: str, clock: Clock) -> None:
        self.number = number
        self.purpose = purpose
        self.provider = provider
        self.model = model
        self.attempts = 0
        self.outcome = OPEN
        """`ok`, `cancelled`, or the code of the failure; `open` until it ends."""
        self.bill = Bill()
        self.intervals: list[_Interval] = []
        """What its time went into, in order and without overlap."""
        self.caller_saw_output = False
        """Whether the caller received a part of its answer."""
        self.began = clock.monotonic()
        self.ended: float | None = None
        self.doing: Stage | None = None
        """What it does now; `None`: nothing of its own. An answer that is not streamed comes as its first token."""
        self.doing_since = self.began
        self._clock = clock
        self._busy_until = self.began

    def spend(self, stage: Stage, began: float, ended: float) -> None:
        """Note what a stretch of its time went into; stretches are noted in order and cannot overlap."""
        began = max(began, self._busy_until)
        if ended >= began:
            self._busy_until = ended
            self.intervals.append((began, ended, stage))

    @property
    def stages(self) -> dict[Stage, float]:
        """Seconds by stage."""
        spent: dict[Stage, float] = {}
        for began, ended, stage in self.intervals:
            spent[stage] = spent.get(stage, 0.0) + ended - began
        return spent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended = self._clock.monotonic()
        self.outcome = "ok" if error is None else outcome_of(error)


def outcome_of(error: BaseException) -> str:
    """How the journal names the end of a request that failed with `error`."""
    if isinstance(error, ExaiError):
        return error.code
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "internal_error"


class _StageScope:
    __slots__ = ("_began", "_clock", "_intervals", "_stage")

    def __init__(self, intervals: list[_Interval], clock: Clock, stage: Stage) -> None:
        self._intervals = intervals
        self._clock = clock
        self._stage = stage

    def __enter__(self) -> None:
        self._began = self._clock.monotonic()

    def __exit__(self, *_: object) -> None:
        self._intervals.append((self._began, self._clock.monotonic(), self._stage))


class _Lists(msgspec.Struct, frozen=True):
    """Where what happens in a ledger is noted: in its own lists, and in those of the ledgers that it is a part of.

    A ledger knows these lists, and not the ledgers above it: they know the turns below them, and whatever refers to
    itself in a circle waits for the garbage collector, which costs a call more than all of its ledger.
    """

    entries: tuple[list[Entry], ...]
    """Its own first, those of the whole call last."""
    turns: tuple[list["ModelTurn"], ...]
    """The same; a turn within a turn is no turn of the call."""
    intervals: list[_Interval]
    """Of the whole call, without those of its requests."""
    is_in_turn: bool


class Ledger:
    """The requests of one call, or of a part of it."""

    __slots__ = ("_clock", "_lists", "entries", "turns")

    def __init__(self, clock: Clock, above: "_Lists | None" = None) -> None:
        """`above` are the lists of the ledger that it is a part of."""
        self._clock = clock
        self.entries: list[Entry] = []
        """In the order in which they began."""
        self.turns: list[ModelTurn] = []
        """In the order in which they began."""
        if above is None:
            self._lists = _Lists((self.entries,), (self.turns,), [], is_in_turn=False)
        else:
            self._lists = _Lists(
                (self.entries, *above.entries),
                (self.turns, *above.turns),
                above.intervals,
                is_in_turn=above.is_in_turn,
            )

    def branch(self) -> "Ledger":
        """Make a ledger for a part of the call."""
        return Ledger(self._clock, self._lists)

    def turn(self, provider: str, model: str) -> "ModelTurn":
        """Make a ledger for what one model is asked, after which another may take over."""
        lists = self._lists
        turn = ModelTurn(
            self._clock, _Lists(lists.entries, (), lists.intervals, is_in_turn=True), provider, model
        )
        for turns in lists.turns:
            turns.append(turn)
        return turn

    def open(self, purpose: Purpose, provider: str, model: str) -> Entry:
        """Make the entry of a request that begins. A question outside of any model's turn is a turn of its own."""
        if purpose is Purpose.CHAT and not self._lists.is_in_turn:
            return self.turn(provider, model).open(purpose, provider, model)
        entry = Entry(len(self._lists.entries[-1]) + 1, purpose, provider, model, self._clock)
        for entries in self._lists.entries:
            entries.append(entry)
        return entry

    def stage(self, stage: Stage) -> "_StageScope":
        """A scope whose time is noted, of what is no request of its own."""
        return _StageScope(self._lists.intervals, self._clock, stage)

    def spend(self, stage: Stage, began: float, ended: float) -> None:
        """Note what a stretch of the call's time went into."""
        self._lists.intervals.append((began, ended, stage))

    @property
    def bill(self) -> Bill:
        """What all its requests used and cost."""
        total = Bill()
        for entry in self.entries:
            bill = entry.bill
            total.add(bill.cost, bill.usage)
            total.unreported += bill.unreported
        return total

    @property
    def own_intervals(self) -> Sequence[_Interval]:
        """What the time of the whole call went into, beside its requests."""
        return self._lists.intervals

    @property
    def last_stage(self) -> str | None:
        """What the call's time went into last; `None` where nothing was noted."""
        intervals = [*self._lists.intervals, *(each for entry in self.entries for each in entry.intervals)]
        return max(intervals, key=itemgetter(1))[2].value if intervals else None

    @property
    def last_asked(self) -> tuple[str | None, str | None]:
        """The provider and the model that were tried last."""
        if self.turns:
            last = self.turns[-1]
            return last.provider, last.model
        return (self.entries[-1].provider, self.entries[-1].model) if self.entries else (None, None)

    @property
    def tried(self) -> tuple[Tried, ...]:
        """The models that were to answer, in the order of their turns."""
        return tuple([turn.summary() for turn in self.turns])

    def timings(self, began: float, ended: float) -> dict[str, float]:
        """The stages of a call that lasted from `began` to `ended`, in milliseconds: they add up to `latency_ms`."""
        intervals = list(self._lists.intervals)
        for entry in self._lists.entries[-1]:
            intervals += entry.intervals
        intervals.sort(key=_BEGAN)
        spent, idle = _each_moment_once(intervals, began, ended)
        timings = {_NAMES[stage]: round(seconds * 1000, 3) for stage, seconds in spent.items()}
        timings[PROCESSING] = round(idle * 1000, 3)
        timings[LATENCY] = round((ended - began) * 1000, 3)
        return timings

    def records(self, emulated: Collection[str] = ()) -> tuple[RequestRecord, ...]:
        """The entries as they are kept and published. One that is still open ends now, as its call does.

        `emulated` are the providers that an emulator plays.
        """
        now = self._clock.monotonic()
        to_wall = self._clock.wall() - now
        return tuple(
            [_record(entry, now, to_wall, emulated=entry.provider in emulated) for entry in self.entries]
        )


class ModelTurn(Ledger):
    """The requests of one model's turn."""

    __slots__ = ("_failure", "model", "provider")

    def __init__(self, clock: Clock, above: "_Lists", provider: str, model: str) -> None:
        super().__init__(clock, above)
        self.provider = provider
        self.model = model
        self._failure: str | None = None

    def fail(self, code: str) -> None:
        """Note why the model did not answer, whether or not it was asked."""
        self._failure = code

    @property
    def caller_saw_output(self) -> bool:
        """Whether the caller received a part of an answer in this turn."""
        return any(entry.caller_saw_output for entry in self.entries)

    def summary(self) -> Tried:
        """What became of the model so far."""
        last, requests = None, 0
        for entry in self.entries:
            if entry.purpose is Purpose.CHAT:
                last = entry
                requests += entry.attempts
        outcome = self._failure or (NOT_ASKED if last is None else last.outcome)
        return Tried(self.model, self.provider, outcome, requests, was_asked=last is not None)


def _record(entry: Entry, now: float, to_wall: float, *, emulated: bool) -> RequestRecord:
    is_open = entry.ended is None
    return RequestRecord(
        number=entry.number,
        purpose=entry.purpose,
        provider=entry.provider,
        model=entry.model,
        attempts=entry.attempts,
        outcome="cancelled" if is_open else entry.outcome,
        usage=entry.bill.usage,
        unreported=entry.bill.unreported,
        services=entry.bill.services,
        cost_usd=entry.bill.cost.least_usd,
        without_price=bool(entry.bill.cost.unknown),
        timings={_NAMES[stage]: round(seconds * 1000, 3) for stage, seconds in entry.stages.items()},
        began_at=entry.began + to_wall,
        ended_at=(now if entry.ended is None else entry.ended) + to_wall,
        emulated=emulated,
    )


def _each_moment_once(
    intervals: Sequence[_Interval], began: float, ended: float
) -> tuple[dict[Stage, float], float]:
    """Seconds by stage from `began` to `ended`, each moment counted once, and the seconds that are in no interval.

    `intervals` are in the order in which they begin.
    """
    if not _in_a_row(intervals, began, ended):
        intervals = list(_ranked(intervals, began, ended))
    spent: dict[Stage, float] = {}
    at, idle = began, 0.0
    for start, end, stage in intervals:
        spent[stage] = spent.get(stage, 0.0) + end - start
        idle += start - at
        at = end
    return spent, idle + ended - at


def _in_a_row(intervals: Sequence[_Interval], began: float, ended: float) -> bool:
    """Whether one follows another, and all are between `began` and `ended`, as without parallel requests."""
    at = began
    for start, end, _ in intervals:
        if start < at:
            return False
        at = end
    return at <= ended


def _ranked(intervals: Sequence[_Interval], began: float, ended: float) -> Iterator[_Interval]:
    """The intervals within `began` and `ended`, cut so that one follows another; every stage stays, though empty."""
    for stage in dict.fromkeys(stage for _, _, stage in intervals):
        yield began, began, stage
    inside = [(max(start, began), min(end, ended), stage) for start, end, stage in intervals]
    yield from _cut_to_rank([each for each in inside if each[0] < each[1]])


def _cut_to_rank(intervals: Sequence[_Interval]) -> Iterator[_Interval]:
    """Intervals that do not overlap any more: where some did, the one whose stage ranks first is left."""
    changes = sorted(
        [(start, stage, 1) for start, _, stage in intervals]
        + [(end, stage, -1) for _, end, stage in intervals]
    )
    under_way: Counter[Stage] = Counter()
    since = 0.0
    for moment, stage, change in changes:
        current = next((each for each in Stage if under_way[each]), None)
        if current is not None and since < moment:
            yield since, moment, current
        under_way[stage] += change
        since = moment
