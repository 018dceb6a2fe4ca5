"""Ranges of time in a query, and cursors that belong to one query and no other."""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from exai.errors import BadArguments

__all__ = ["MOST_RANGE", "Cursors", "Range", "TextCursors", "moment_of", "range_of"]

MOST_RANGE = timedelta(days=366)
DAY = timedelta(days=1)
T = TypeVar("T")

_AGO = re.compile(r"-(\d{1,6})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
OTHER_QUERY = "cursor: It belongs to another query. Begin again without one."
NO_CURSOR = "cursor: This is none. Begin again without one."
FORMS = "a moment such as 2026-11-30T12:00:00Z, or a distance from now such as -1h or -7d"


class Range(msgspec.Struct, frozen=True):
    """From when to when."""

    since: datetime
    until: datetime


def moment_of(name: str, text: str, now: datetime) -> datetime:
    """Read a moment of a query.

    Raises:
        BadArguments: it is none.
    """
    text = text.strip()
    if text in {"now", ""}:
        return now
    if (ago := _AGO.fullmatch(text)) is not None:
        return now - min(timedelta(**{_UNITS[ago[2]]: int(ago[1])}), timedelta(days=36_500))
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped plus arrives as a space
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadArguments(f"{name}: Write {FORMS}.") from None


def range_of(since: str, until: str, now: datetime, usual: timedelta = DAY) -> Range:
    """Read a range of a query; without a beginning it is the usual length up to its end.

    Raises:
        BadArguments: it is none, or too long.
    """
    end = moment_of("to", until, now)
    begin = moment_of("from", since, now) if since else _before(end, usual)
    if begin > end:
        raise BadArguments("from: A range begins before it ends.")
    if end - begin > MOST_RANGE:
        raise BadArguments(
            f"from: A range has at most {MOST_RANGE.days} days. Narrow it, or look at one year after the other."
        )
    return Range(begin, end)


def _before(end: datetime, usual: timedelta) -> datetime:
    try:
        return end - usual
    except OverflowError:
        raise BadArguments(f"to: It is too long ago. Write {FORMS}.") from None


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    query: str
    range: Range
    place: tuple[datetime, str]


class Cursors:
    """Writes and reads the cursors of a query."""

    def __init__(self, *query: str) -> None:
        """`query` is whatever a page has to have in common with the one before."""
        self._query = _digest(query)

    def write(self, range_: Range, place: tuple[datetime, str]) -> str:
        """Write where a page ended."""
        return _written(_Cursor(self._query, range_, place))

    def read(self, text: str) -> tuple[Range, tuple[datetime, str]]:
        """Read where the page before ended.

        Raises:
            BadArguments: it is no cursor, or that of another query.
        """
        cursor = _read(text, _Cursor)
        if cursor.query != self._query:
            raise BadArguments(OTHER_QUERY)
        return _checked(cursor)


def _checked(cursor: _Cursor) -> tuple[Range, tuple[datetime, str]]:
    """Hold what somebody may have written by hand to what a query may ask for."""
    try:
        since, until, at = (_utc(each) for each in (cursor.range.since, cursor.range.until, cursor.place[0]))
    except (OverflowError, ValueError):
        raise BadArguments(NO_CURSOR) from None
    if not timedelta() <= until - since <= MOST_RANGE or "\0" in cursor.place[1]:
        raise BadArguments(NO_CURSOR)
    return Range(since, until), (at, cursor.place[1])


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment without its zone")
    return moment.astimezone(UTC)


class _TextCursor(msgspec.Struct, frozen=True, array_like=True):
    query: str
    place: str


class TextCursors:
    """Writes and reads the cursors of a query whose places are texts."""

    def __init__(self, *query: str) -> None:
        """`query` is whatever a page has to have in common with the one before."""
        self._query = _digest(query)

    def write(self, place: str) -> str:
        """Write where a page ended."""
        return _written(_TextCursor(self._query, place))

    def read(self, text: str) -> str:
        """Read where the page before ended.

        Raises:
            BadArguments: it is no cursor, or that of another query.
        """
        cursor = _read(text, _TextCursor)
        if cursor.query != self._query:
            raise BadArguments(OTHER_QUERY)
        return cursor.place


def _written(cursor: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _read(text: str, form: type[T]) -> T:
    try:
        encoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(encoded, type=form)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise BadArguments(NO_CURSOR) from None


def _digest(query: Sequence[str]) -> str:
    return hashlib.sha256(msgspec.json.encode(query)).hexdigest()[:16]
