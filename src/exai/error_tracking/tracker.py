"""Gathers faults from the bus and has them counted: within a quarter of a second, or a second where all are repeats.

In memory a fault is a count of its fingerprint, and few of its occurrences are held: a storm of one fault takes no more
room than twenty of them, and of a fault that was counted often only those are written out that will be kept. What is
counted is exact; what is lost is said.
"""

import asyncio
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
import structlog

from exai.error_tracking.faults import Fault, RaisedException
from exai.error_tracking.fingerprints import Fingerprint, message_template
from exai.error_tracking.noticing import FaultSeen
from exai.error_tracking.states import begins_to_escalate, weigh
from exai.error_tracking.templates import without_quotations
from exai.errors import StoreFailed
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.monitoring.logs import Redaction
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample
from exai.storage.error_tracking.counting import BatchRefused, FaultCounts, exponent_of, hour_of
from exai.storage.error_tracking.rows import FaultBatch, GroupTally, NewOccurrence, Turn

__all__ = [
    "KEPT_FRAMES",
    "LONGEST_MESSAGE",
    "ErrorGroupOpened",
    "ErrorRegressed",
    "Tracker",
    "add_to",
    "body_of",
    "tally_of",
]

_log = structlog.get_logger(__name__)

FLUSH_S = 0.25
REPEATS_S = 1.0
"""Instead of it, where all that waits was counted before: a batch costs as much for one fault as for a thousand."""
MOST_GROUPS = 10_000
"""Different faults that wait to be counted; of more, each is lost, and that is counted."""
HELD_WHOLE = 20
"""Occurrences of one fault that are held until they are counted; of more, ever fewer."""
MOST_AT_ONCE = 10
"""Different faults of one transaction, so that others who write wait for no storm of them."""
HELD_S = 0.002
"""How long the event loop is held at most while occurrences are written out."""
LONGEST_MESSAGE = 400
LONGEST_TITLE = 200
LARGEST_BODY = 32 * 1024
KEPT_FRAMES = 60
"""Frames of an exception that are kept, those nearest to the crash."""


class ErrorGroupOpened(Event, frozen=True):
    """A fault was counted that nobody had seen before."""

    number: int


class ErrorRegressed(Event, frozen=True):
    """A resolved group was seen again, where that counts, or an archived one is shown again."""

    number: int
    kind: str
    """`regressed` or `archive_ended`."""


class _Pending(msgspec.Struct):
    """What was seen of one fingerprint and is not counted yet."""

    tally: GroupTally
    before: int
    """How often this process has counted the fingerprint: at least so often its group was seen."""
    faults: dict[str, tuple[int, float, Fault]]
    """By occurrence: its number within the tally, its share, and itself."""


class Tracker:
    """Counts what is noticed."""

    def __init__(
        self,
        counts: FaultCounts,
        clock: Clock,
        redaction: Redaction,
        publish: Callable[[Event], None],
        wake: asyncio.Event,
    ) -> None:
        """`wake` is set when there is something to count."""
        self._counts = counts
        self._clock = clock
        self._redaction = redaction
        self._publish = publish
        self._wake = wake
        self._pending: dict[tuple[int, str], _Pending] = {}
        self._taken: list[_Pending] = []
        """Of these, what the next batch will have."""
        self._counted: dict[tuple[int, str], int] = {}
        """By fingerprint: how often this process has counted it."""
        self._batch: FaultBatch | None = None
        """What is being written; until that is known to be kept it goes again under its number."""
        self._rest: list[GroupTally] = []
        """Of a batch that the database refused, to be tried one by one."""
        self._writing = asyncio.Lock()
        self._late_calls: list[str] = []
        """Calls whose failure was counted before they had ended."""
        self._number = 0
        self.seen = 0
        """Faults since the start."""
        self.lost = 0
        """Of these, not counted: too many different ones at once, or refused by the database."""

    def watch(self, bus: EventBus) -> None:
        """Follow the faults of a bus."""
        bus.watch(self.on_fault, FaultSeen)

    def samples(self) -> list[Sample]:
        """Return the metrics of the tracker."""
        return [
            Sample("faults", "Faults that were noticed.", self.seen, is_total=True),
            Sample("faults_lost", "Of these, not counted in any group.", self.lost, is_total=True),
            Sample("faults_pending", "Different faults that wait to be counted.", len(self._pending)),
        ]

    def on_fault(self, event: FaultSeen) -> None:
        """Take a fault; what is known of it meanwhile is added to it."""
        fault, made = event.fault, event.fingerprint
        key = (fault.project, made.hash)
        pending = self._pending.get(key)
        if event.again:
            self._add_facts(pending, fault)
            return
        self.seen += 1
        if pending is None:
            if len(self._pending) + len(self._taken) >= MOST_GROUPS:
                self.lost += 1
                return
            before = self._counted.get(key, 0)
            pending = self._pending[key] = _Pending(tally_of(fault, made, self._redaction), before, {})
        _count(pending, fault)
        self._wake.set()

    def _add_facts(self, pending: _Pending | None, fault: Fault) -> None:
        """Add what a later sighting knows, as long as the occurrence is not counted."""
        if fault.call_id is not None:
            self._note_call(pending, fault.call_id, fault.subject)
        if pending is None or fault.occurrence_id not in pending.faults:
            return
        ordinal, share, first = pending.faults[fault.occurrence_id]
        pending.faults[fault.occurrence_id] = (ordinal, share, _together(first, fault))

    def _note_call(self, pending: _Pending | None, call_id: str, subject: str | None) -> None:
        """Mark the call as counted with the occurrence, which another place saw first."""
        if pending is None:
            self._late_calls.append(call_id)
        else:
            pending.tally.call_ids.append(call_id)
            if subject is not None:
                pending.tally.subjects.add(subject)

    async def gather(self) -> None:
        """Wait a moment, in which more may come, and have it all counted.

        Raises:
            StoreFailed: the database is away; it will be counted when it is back.
        """
        if self._pending:
            has_new = any(not each.before for each in self._pending.values())
            await asyncio.sleep(FLUSH_S if has_new else REPEATS_S)
        await self.flush()

    async def flush(self) -> None:
        """Have everything counted that was noticed; what comes meanwhile is left, so that a storm is gathered too.

        Raises:
            StoreFailed: the database is away; it will be counted when it is back.
        """
        async with self._writing:
            await self._flush()

    async def _flush(self) -> None:
        left = len(self._pending)
        while self._batch is not None or self._rest or self._taken or left or self._late_calls:
            if self._counts.waits:
                return
            if self._batch is None:
                taken = [] if self._rest else list(islice(self._pending, min(left, MOST_AT_ONCE)))
                self._taken += [self._pending.pop(key) for key in taken]
                left -= len(taken)
                self._batch = await self._next_batch()
            try:
                turns = await self._counts.count(self._batch)
            except BatchRefused as refused:
                self._refused(self._batch, refused)
                continue
            self._note_counted(self._batch)
            self._batch = None
            for turn in turns:
                self._announce(turn)

    async def close(self) -> None:
        """Count what is left, as far as the database takes it."""
        try:
            await self.flush()
        except StoreFailed:
            left = (
                len(self._pending)
                + len(self._taken)
                + len(self._rest)
                + (0 if self._batch is None else len(self._batch.tallies))
            )
            _log.warning("faults are not counted, as the database is away", different=left)

    async def _next_batch(self) -> FaultBatch:
        """Make a batch of what was taken; whoever is cancelled meanwhile leaves it to the next one."""
        if self._rest:
            tallies = [self._rest.pop()]
        else:
            await self._write_out(self._taken)
            tallies = [each.tally for each in self._taken]
            self._taken = []
        late, self._late_calls = self._late_calls, []
        self._number += 1
        return FaultBatch(self._number, tallies, late, self._clock.utc(), weigh, begins_to_escalate)

    async def _write_out(self, taken: list[_Pending]) -> None:
        """Write out the occurrences that may be kept, and let others run in between."""
        held_since = self._clock.monotonic()
        for pending in taken:
            while pending.faults:
                occurrence_id = next(iter(pending.faults))
                ordinal, share, fault = pending.faults.pop(occurrence_id)
                pending.tally.occurrences.append(self._occurrence(ordinal, share, fault))
                if self._clock.monotonic() - held_since > HELD_S:
                    await asyncio.sleep(0)
                    held_since = self._clock.monotonic()

    def _note_counted(self, batch: FaultBatch) -> None:
        for tally in batch.tallies:
            key = (tally.project_id, tally.hash)
            self._counted[key] = self._counted.pop(key, 0) + tally.sums[0]
        while len(self._counted) > MOST_GROUPS:
            del self._counted[next(iter(self._counted))]

    def _occurrence(self, ordinal: int, share: float, fault: Fault) -> NewOccurrence:
        return NewOccurrence(
            fault.occurrence_id,
            ordinal,
            share,
            _moment(fault.at),
            fault.release,
            fault.call_id,
            fault.incident_id,
            fault.event_id,
            body_of(fault, self._redaction),
        )

    def _refused(self, batch: FaultBatch, error: BatchRefused) -> None:
        """Try what is in a refused batch one by one; what is refused alone is lost."""
        self._batch = None
        self._late_calls += batch.late_calls
        if len(batch.tallies) > 1:
            self._rest += batch.tallies
            return
        for tally in batch.tallies:
            self.lost += tally.sums[0]
            _log.error("the database refuses a group of faults", title=tally.title, exc_info=error)

    def _announce(self, turn: Turn) -> None:
        if turn.kind == "first_seen":
            self._publish(ErrorGroupOpened(turn.number))
        elif turn.to_state == "open":
            self._publish(ErrorRegressed(turn.number, turn.kind))


def _count(pending: _Pending, fault: Fault) -> None:
    ordinal = add_to(pending.tally, fault)
    share = zlib.crc32(fault.occurrence_id.encode()) / 2**32
    is_held = ordinal < HELD_WHOLE or share < HELD_WHOLE / (ordinal + 1)
    # The first is held whatever its share is: it may be that of a release, or the one with which a group comes back.
    if ordinal == 0 or (is_held and share < 2.0 ** -exponent_of(pending.before + ordinal)):
        pending.faults[fault.occurrence_id] = (ordinal, share, fault)


def add_to(tally: GroupTally, fault: Fault) -> int:
    """Count a fault in its tally; return how many were in it before."""
    at = _moment(fault.at)
    sums = tally.counts.setdefault((hour_of(at), fault.release), [0, 0, 0])
    ordinal = sum(each[0] for each in tally.counts.values()) if len(tally.counts) > 1 else sums[0]
    sums[0] += 1
    if fault.handled:
        sums[1] += 1
    else:
        own = at if fault.reported_at is None else min(at, _moment(fault.reported_at))
        tally.latest[fault.release] = max(tally.latest.get(fault.release, own), own)
    tally.last_seen = max(tally.last_seen, at)
    tally.own_doing = tally.own_doing and fault.own_doing
    if fault.subject is not None:
        tally.subjects.add(fault.subject)
    if fault.call_id is not None:
        tally.call_ids.append(fault.call_id)
    return ordinal


def tally_of(fault: Fault, made: Fingerprint, redaction: Redaction) -> GroupTally:
    """Begin the tally of a fingerprint, with nothing counted."""
    last = fault.chain[-1] if fault.chain else None
    at = _moment(fault.at)
    return GroupTally(
        project_id=fault.project,
        rule=made.rule,
        hash=made.hash,
        why=msgspec.json.encode(redaction.value([made.line, *_kept_parts(fault, made)])).decode(),
        title=_title(fault, redaction),
        kind=redaction.text((fault.logger if last is None else last.type)[:LONGEST_TITLE]),
        culprit=redaction.text(_culprit(fault)[:LONGEST_TITLE]),
        code=fault.code,
        fixable_by=fault.fixable_by,
        own_doing=fault.own_doing,
        first_seen=at,
        last_seen=at,
        counts={},
        latest={},
        occurrences=[],
        subjects=set(),
        call_ids=[],
    )


def _kept_parts(fault: Fault, made: Fingerprint) -> list[Any]:
    template = message_template(fault)
    return [_kept(fault, template) if part == template else part for part in made.parts]


def body_of(fault: Fault, redaction: Redaction) -> str:
    """Write an occurrence as it is kept: redacted, and no longer than 32 KiB."""
    for most in (KEPT_FRAMES, 10, 0):
        body = msgspec.json.encode(_body(fault, redaction, most))
        if len(body) <= LARGEST_BODY:
            break
    return body.decode()


def _body(fault: Fault, redaction: Redaction, most_frames: int) -> dict[str, Any]:
    told = {
        name: value
        for name, value in msgspec.structs.asdict(fault).items()
        if name not in _ELSEWHERE and value not in (None, "", (), {}, False)
    }
    body: dict[str, Any] = {name: redaction.member(name, value) for name, value in told.items()}
    if fault.message:
        body["message"] = _redacted(_kept(fault, fault.message), redaction)
    body["chain"] = [
        {
            **_raised(each, redaction, most_frames),
            "message": _redacted(_kept(fault, each.message), redaction),
        }
        for each in fault.chain
    ]
    return body


def _kept(fault: Fault, message: str) -> str:
    """Leave out the words of callers, such as names of files, of what a caller got wrong."""
    return without_quotations(message) if fault.fixable_by == "caller" else message


_ELSEWHERE = frozenset(
    {"chain", "message", "template", "occurrence_id", "at", "project", "reported_fingerprint"}
)


def _raised(raised: RaisedException, redaction: Redaction, most_frames: int) -> dict[str, Any]:
    return {
        "type": redaction.text(raised.type[:LONGEST_TITLE]),
        "detail": redaction.text(raised.detail[:LONGEST_TITLE]),
        "frames": [
            {**msgspec.structs.asdict(frame), "file": redaction.repeated(frame.file[-LONGEST_TITLE:])}
            for frame in raised.frames[len(raised.frames) - min(most_frames, len(raised.frames)) :]
        ],
    }


def _redacted(message: str, redaction: Redaction) -> str:
    """Redact before cutting: half of a secret looks like none."""
    return redaction.text(message[: 2 * LONGEST_MESSAGE])[:LONGEST_MESSAGE]


def _title(fault: Fault, redaction: Redaction) -> str:
    said = redaction.text(_kept(fault, message_template(fault))[: 2 * LONGEST_TITLE])
    if not fault.chain:
        return said[:LONGEST_TITLE]
    kind = fault.code or fault.chain[-1].type.rpartition(".")[2]
    return f"{redaction.text(kind[:100])}: {said}"[:LONGEST_TITLE] if said else kind[:LONGEST_TITLE]


def _culprit(fault: Fault) -> str:
    """Name where it went wrong: the innermost own frame of what it came of, else the model, tool or logger."""
    for raised in fault.chain:
        for frame in reversed(raised.frames):
            if frame.own:
                return f"{frame.module}:{frame.function}"
    if fault.provider is not None:
        return f"{fault.provider}/{fault.model}"
    return fault.tool or fault.logger


def _together(first: Fault, later: Fault) -> Fault:
    """Fill what the first sighting did not know."""
    known = {
        name: value
        for name, value in msgspec.structs.asdict(later).items()
        if value and not getattr(first, name)
    }
    if first.source == "log":
        known["source"] = later.source
    known["facts"] = {**later.facts, **first.facts}
    return msgspec.structs.replace(first, **known)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
