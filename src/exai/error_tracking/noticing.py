"""Turns what was raised into a fault, at the place that saw it, and publishes it.

One exception object is one occurrence, however many places see it: the first sighting leaves a mark on it, and each
later one publishes the same occurrence again with the facts that it knows. An object that ends a further call is a
further occurrence. Frames are walked and hashed; no text is formatted.
"""

import itertools
import logging
import re
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from types import CodeType
from typing import TypedDict

import msgspec
from typing_extensions import Unpack

from exai.error_tracking.faults import (
    LONGEST_MESSAGE,
    MOST_EXCEPTIONS,
    MOST_FRAMES,
    Fault,
    FaultFrame,
    FaultSource,
    RaisedException,
)
from exai.error_tracking.fingerprints import Fingerprint, fingerprint
from exai.errors import BadArguments, ExaiError, Incident, StartFault
from exai.events.events import Event
from exai.runtime.clock import Clock

__all__ = ["FaultNotices", "FaultSeen", "Known", "is_noticed"]

OWN_PACKAGE = "exai"
MARK = "_exai_occurrence"

_FIELD = re.compile(r"Argument '([^']{1,80})'")
_SETTING = re.compile(r"`([a-z_]+(?:\.\w+)+)`")


class FaultSeen(Event, frozen=True):
    """Something went wrong, and was noticed."""

    fault: Fault
    """Its texts are not redacted: not to be printed."""
    fingerprint: Fingerprint
    again: bool = False
    """Whether it is an occurrence that was published before, now with further facts."""

    def __repr__(self) -> str:
        return f"FaultSeen({self.fault.occurrence_id!r}, {self.fault.source.value!r}, {self.fault.code!r})"


MOST_KNOWN_FRAMES = 4_096
"""Places in the code that are remembered; of more, all are forgotten."""


class Known(TypedDict, total=False):
    """What the place that sees a fault knows of it."""

    handled: bool
    facts: Mapping[str, str]
    call_id: str | None
    incident_id: str | None
    tool: str | None
    provider: str | None
    model: str | None
    door: str | None
    subject: str | None
    client: str | None
    own_doing: bool


class _Mark(msgspec.Struct, frozen=True):
    occurrence_id: str
    fingerprint: Fingerprint
    call_id: str | None


class FaultNotices:
    """Makes faults of exceptions and of lines of the log."""

    def __init__(
        self, publish: Callable[[Event], None], clock: Clock, *, release: str = "", settings_digest: str = ""
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._release = release
        self._settings_digest = settings_digest
        self._tag = secrets.token_hex(4)
        self._numbers = itertools.count()

    def notice(self, error: BaseException, source: FaultSource, **known: Unpack[Known]) -> str:
        """Publish an exception as a fault; return the hash by which it is grouped."""
        mark = _mark_of(error, known.get("call_id"))
        fault = self._fault(error, source, known, None if mark is None else mark.occurrence_id)
        if mark is None:
            made = fingerprint(fault)
            _put(error, _Mark(fault.occurrence_id, made, fault.call_id))
            self._publish(FaultSeen(fault, made))
            return made.hash
        if mark.call_id is None and fault.call_id is not None:
            _put(error, msgspec.structs.replace(mark, call_id=fault.call_id))
        self._publish(FaultSeen(fault, mark.fingerprint, again=True))
        return mark.fingerprint.hash

    def notice_line(self, record: logging.LogRecord, source: FaultSource = FaultSource.LOG) -> None:
        """Publish a line of the log that has no exception; its fixed sentence alone is read, never a value."""
        message = record.msg
        sentence = str(message.get("event", "")) if isinstance(message, Mapping) else str(message)
        fault = Fault(
            occurrence_id=self._new_id(),
            at=self._clock.wall(),
            source=source,
            message=sentence[:LONGEST_MESSAGE],
            logger=record.name,
            fixable_by="developer",
            release=self._release,
            settings_digest=self._settings_digest,
        )
        self._publish(FaultSeen(fault, fingerprint(fault)))

    def _new_id(self) -> str:
        """Unique over processes, in the order of time."""
        return f"occ_{int(self._clock.wall() * 1000):011x}{self._tag}{next(self._numbers) % 0x100000:05x}"

    def _fault(
        self, error: BaseException, source: FaultSource, known: Known, occurrence_id: str | None
    ) -> Fault:
        code, fixable_by = None, "developer"
        if isinstance(error, ExaiError):
            code, fixable_by = error.code, error.fixable_by
        given = {**known, "facts": {**_facts_of(error), **known.get("facts", {})}}
        return Fault(
            occurrence_id=occurrence_id or self._new_id(),
            at=self._clock.wall(),
            source=source,
            code=code,
            fixable_by=fixable_by,
            chain=_chain(error),
            release=self._release,
            settings_digest=self._settings_digest,
            **given,  # type: ignore[arg-type]
        )


def is_noticed(error: BaseException) -> bool:
    """Whether a place of this process has published an exception as a fault."""
    return _mark_of(error, None) is not None


def _mark_of(error: BaseException, call_id: str | None) -> _Mark | None:
    """Find the mark of an earlier sighting: on the error, or on what an incident came of."""
    for each in (error, error.__cause__ if isinstance(error, Incident) else None):
        mark = getattr(each, MARK, None)
        if isinstance(mark, _Mark) and (call_id is None or mark.call_id in {None, call_id}):
            return mark
    return None


def _put(error: BaseException, mark: _Mark) -> None:
    marked = error.__cause__ if isinstance(error, Incident) and error.__cause__ is not None else error
    marked.__dict__[MARK] = mark


def _facts_of(error: BaseException) -> dict[str, str]:
    if isinstance(error, BadArguments):
        found = _FIELD.match(str(error))
        return {} if found is None else {"field": found[1]}
    if isinstance(error, StartFault):
        found = _SETTING.search(str(error))
        return {} if found is None else {"setting": found[1]}
    return {}


def _chain(error: BaseException) -> tuple[RaisedException, ...]:
    """List an exception and what it came of, causes first."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and len(chain) < MOST_EXCEPTIONS and all(at is not each for each in chain):
        chain.append(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return tuple(_raised(each) for each in reversed(chain))


def _raised(error: BaseException) -> RaisedException:
    frames: deque[FaultFrame] = deque(maxlen=MOST_FRAMES)
    trace, last = error.__traceback__, None
    while trace is not None:
        frame = trace.tb_frame
        code = frame.f_code
        if code is not last:  # a recursion is told once
            frames.append(_frame(code, trace.tb_lineno, frame.f_globals.get("__name__") or ""))
        trace, last = trace.tb_next, code
    return RaisedException(_type_name(type(error)), _message(error), None, _detail(error), tuple(frames))


_known_frames: dict[tuple[int, int], tuple[CodeType, FaultFrame]] = {}
"""By a code object's number and a line, with that object, so that its number is no other's."""


def _frame(code: CodeType, line: int, module: str) -> FaultFrame:
    """Return a frame, the same object for the same place: most faults come from places that failed before."""
    known = _known_frames.get((id(code), line))
    if known is not None and known[0] is code and known[1].module == module:
        return known[1]
    own = module == OWN_PACKAGE or module.startswith(f"{OWN_PACKAGE}.")
    made = FaultFrame(module, code.co_qualname, code.co_filename, line, own)
    if len(_known_frames) >= MOST_KNOWN_FRAMES:
        _known_frames.clear()
    _known_frames[id(code), line] = code, made
    return made


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    """Return what an exception says; of a database's error what its driver says, without statement and values."""
    try:
        inner = getattr(error, "orig", None)
        return str(inner if isinstance(inner, BaseException) else error)[:LONGEST_MESSAGE]
    except Exception:  # noqa: BLE001 - a broken `__str__` must not hide the fault
        return ""


def _detail(error: BaseException) -> str:
    try:
        return _typed_detail(error)
    except Exception:  # noqa: BLE001 - a broken property must not hide the fault
        return ""


def _typed_detail(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"errno {error.errno}"
    inner = getattr(error, "orig", None) or error
    state = getattr(inner, "sqlstate", None)
    if isinstance(state, str):
        return f"sqlstate {state}"
    status = getattr(error, "status", None)
    return f"status {status}" if isinstance(status, int) else ""
