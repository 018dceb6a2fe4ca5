"""Events of Sentry SDKs as faults (develop.sentry.dev, Event Payloads).

What is private is not read: local variables of frames, request bodies, cookies, headers, addresses, users, `extra`,
breadcrumbs. What is left is code, texts of exceptions, and tags; who stores it redacts secrets in these.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from exai.error_tracking.faults import (
    LONGEST_MESSAGE,
    MOST_EXCEPTIONS,
    MOST_FRAMES,
    Fault,
    FaultFrame,
    FaultSource,
    RaisedException,
)
from exai.error_tracking.ingestion.texts import storable, storable_file

__all__ = ["event_id_of", "fault_of_event", "lost_of_report"]

MOST_TAGS = 50
CLOCK_OFF_S = 86_400.0
"""By how much a reporter's clock may be wrong to be believed."""

_EVENT_ID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def fault_of_event(event: Mapping[str, Any], project: int, now: float) -> Fault:
    """Make a fault of an event that came at `now`; whatever is not of its form is as if it were not there."""
    reported_at = _moment(event.get("timestamp"))
    believed = reported_at is not None and abs(reported_at - now) <= CLOCK_OFF_S
    tags = _tags(event.get("tags"))
    if reported_at is not None and not believed:
        tags["reporter's clock"] = f"{reported_at:.0f}"
    for name in ("environment", "platform", "server_name", "level", "transaction"):
        if text := storable(event.get(name), 200):
            tags.setdefault(name, text)
    logentry = _mapping(event.get("logentry"))
    message = logentry.get("formatted") or event.get("message") or logentry.get("message")
    if isinstance(message, Mapping):
        message = message.get("formatted") or message.get("message")
    return Fault(
        occurrence_id=f"occ_{secrets.token_hex(8)}",
        at=now,
        source=FaultSource.OUTSIDE,
        reported_at=reported_at if believed else None,
        project=project,
        chain=tuple(_chain(event.get("exception"))),
        message=storable(message, LONGEST_MESSAGE),
        template=storable(logentry.get("message"), LONGEST_MESSAGE) or None,
        logger=storable(event.get("logger"), 200),
        handled=False,
        reported_fingerprint=tuple(
            storable(part, 200) for part in _list(event.get("fingerprint"))[:20] if storable(part, 200)
        ),
        event_id=event_id_of(event.get("event_id")),
        release=storable(event.get("release"), 200),
        context=tags,
    )


def event_id_of(given: object) -> str | None:
    """Return an event's id in its short form; `None` for what is none."""
    if not isinstance(given, str) or _EVENT_ID.fullmatch(given) is None:
        return None
    return given.replace("-", "").lower()


def lost_of_report(report: Mapping[str, Any]) -> int:
    """Return how many errors a client says it dropped; no more than a billion, whatever it says."""
    discarded = _list(report.get("discarded_events"))
    said: int = sum(
        each["quantity"]
        for each in discarded[:100]
        if isinstance(each, dict)
        and each.get("category") in ("error", "default")
        and isinstance(each.get("quantity"), int)
        and each["quantity"] > 0
    )
    return min(said, 10**9)


def _chain(exception: object) -> Iterator[RaisedException]:
    """Yield each cause before its effect, which is the order of the protocol too."""
    values = _list(exception.get("values")) if isinstance(exception, Mapping) else _list(exception)
    for value in [each for each in values if isinstance(each, Mapping)][-MOST_EXCEPTIONS:]:
        kind, module = storable(value.get("type"), 200), storable(value.get("module"), 200)
        named = f"{module}.{kind}" if module and module not in {"builtins", "__builtin__"} else kind
        frames = _list(_mapping(value.get("stacktrace")).get("frames"))
        yield RaisedException(
            type=named or "Error",
            message=storable(value.get("value"), LONGEST_MESSAGE),
            detail=_detail(value),
            frames=tuple(_frame(each) for each in frames[-MOST_FRAMES:] if isinstance(each, Mapping)),
        )


def _detail(value: Mapping[str, Any]) -> str:
    """Name what the mechanism of an exception knows of it (`errno`, `signal`)."""
    meta = _mapping(_mapping(value.get("mechanism")).get("meta"))
    for name in ("errno", "signal"):
        number = _mapping(meta.get(name)).get("number")
        if isinstance(number, int):
            return f"{name} {number}"
    return ""


def _frame(frame: Mapping[str, Any]) -> FaultFrame:
    line = frame.get("lineno")
    file = storable_file(frame.get("filename") or frame.get("abs_path"))
    return FaultFrame(
        module=storable_file(frame.get("module"))[:200] or file,
        function=storable(frame.get("function"), 200),
        file=file,
        line=line if isinstance(line, int) and 0 < line < 10**9 else 0,
        own=frame.get("in_app") is True,
    )


def _tags(given: object) -> dict[str, str]:
    """Take tags in either form of the protocol: an object, or pairs."""
    pairs: Sequence[Any] = list(given.items()) if isinstance(given, Mapping) else _list(given)
    named = (pair for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2)
    found = {storable(name, 40): storable(value, 200) for name, value in named}
    return {name: value for name, value in list(found.items())[:MOST_TAGS] if name and value}


def _moment(given: object) -> float | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given) if 0 < given < 10**11 else None
    if isinstance(given, str):
        try:
            return datetime.fromisoformat(given).timestamp()
        except (ValueError, OverflowError):
            return None
    return None


def _mapping(given: object) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _list(given: object) -> list[Any]:
    return given if isinstance(given, list) else []
