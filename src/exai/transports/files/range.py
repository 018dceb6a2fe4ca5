"""Which bytes of a file a request asks for (RFC 9110, 14)."""

import re

__all__ = ["Unsatisfiable", "range_of"]

MOST_DIGITS = 18
_ONE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII)


class Unsatisfiable(Exception):
    """The range begins behind the end."""


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one behind the last; `None` where the whole file is to be sent.

    A header that names several ranges, or cannot be read, counts for nothing, as the RFC allows.

    Raises:
        Unsatisfiable: nothing of the file is in the range.
    """
    one = _ONE.fullmatch(header) if header is not None else None
    if one is None or one.group(1, 2) == ("", ""):
        return None
    first, last = one.groups()
    if not first:
        suffix = _position(last)
        if not suffix or not size:
            raise Unsatisfiable
        return max(0, size - suffix), size
    start = _position(first)
    if last and _position(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(size, _position(last) + 1) if last else size


def _position(digits: str) -> int:
    """Read a number of a header; one that no file reaches is as good as any other such."""
    return int(digits) if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS
