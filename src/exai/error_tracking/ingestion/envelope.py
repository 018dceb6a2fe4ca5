"""Sentry envelopes, read without I/O (develop.sentry.dev, Envelopes).

    header \\n (item header \\n payload \\n)*

A header is a line of JSON. An item with a `length` is so many bytes long; one without ends with its line. A broken
envelope header refuses the whole; a broken item ends with its line, and the rest is read on.
"""

from collections import Counter
from typing import Any

import msgspec

from exai.error_tracking.ingestion.bodies import ReportRefused, ReportTooLarge, decoded

__all__ = ["Envelope", "Item", "read_envelope"]

LONGEST_HEADER = 8 * 2**10
LARGEST_ITEM = 2**20
MOST_KEPT = 100
"""Items of one envelope that are more than counted; an SDK sends a few."""

KEPT = frozenset({"event", "client_report"})
"""Kinds of items that are read; every other kind is accepted and counted as not kept."""


class Item(msgspec.Struct, frozen=True):
    """One item that is read."""

    kind: str
    payload: Any
    """Decoded JSON."""


class Envelope(msgspec.Struct, frozen=True):
    """What an envelope brought."""

    header: dict[str, Any]
    items: list[Item]
    not_kept: Counter[str]
    """Items that nobody reads here, by their kind as far as that is a word."""
    broken: Counter[str]
    """Items that could not be read, by the reason."""


def read_envelope(body: bytes) -> Envelope:
    """Read an envelope, unpacked.

    Raises:
        ReportRefused: its header is none.
        ReportTooLarge: an item is nested too deep.
    """
    lines = _Lines(body)
    header = _header(lines.line())
    if header is None:
        raise ReportRefused(
            "Line 1 of the envelope is no JSON object of at most 8 KiB. Send its header first."
        )
    envelope = Envelope(header, [], Counter(), Counter())
    while not lines.at_end:
        _read_item(lines, envelope)
    return envelope


def _read_item(lines: "_Lines", envelope: Envelope) -> None:
    line = lines.line()
    if not line.strip():
        return
    about = _header(line)
    if about is None:
        envelope.broken["item header"] += 1
        return
    kind, length = about.get("type"), about.get("length")
    if not isinstance(kind, str):
        kind = ""
    if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 0):
        envelope.broken["length"] += 1
        return
    payload = lines.line() if length is None else lines.take(length)
    if payload is None:
        envelope.broken["length"] += 1
    elif len(payload) > LARGEST_ITEM:
        envelope.broken["too large"] += 1
    elif kind not in KEPT:
        word = kind if kind.isidentifier() and len(kind) <= 40 else "other"
        envelope.not_kept[word] += 1
    elif len(envelope.items) >= MOST_KEPT:
        envelope.broken["too many"] += 1
    else:
        _keep(kind, payload, envelope)


def _keep(kind: str, payload: bytes, envelope: Envelope) -> None:
    try:
        value = decoded(payload)
    except ReportTooLarge:
        raise
    except ValueError:
        envelope.broken["payload"] += 1
        return
    if isinstance(value, dict):
        envelope.items.append(Item(kind, value))
    else:
        envelope.broken["payload"] += 1


def _header(line: bytes) -> dict[str, Any] | None:
    if len(line) > LONGEST_HEADER:
        return None
    try:
        value = decoded(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class _Lines:
    """Takes a body apart from its beginning."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._body)

    def line(self) -> bytes:
        """Take up to the end of the line, without it."""
        end = self._body.find(b"\n", self._at)
        end = len(self._body) if end < 0 else end
        line, self._at = self._body[self._at : end], end + 1
        return line

    def take(self, length: int) -> bytes | None:
        """Take so many bytes and the end of their line; `None` where there are fewer, of which none is left then."""
        end = self._at + length
        if end > len(self._body):
            self._at = len(self._body)
            return None
        taken, self._at = self._body[self._at : end], end
        if self._body[self._at : self._at + 1] == b"\n":
            self._at += 1
        return taken
