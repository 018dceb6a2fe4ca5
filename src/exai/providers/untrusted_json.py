"""Reads JSON from outside: whatever is wrong with it is one error, or one odd value in an otherwise good document.

The strict decoder comes first. Where it refuses, another reads what servers are known to send although no standard
allows it: half a surrogate pair, bytes that are no UTF-8, `NaN`, numbers beyond every range.
"""

import json
import math
from typing import Any

import msgspec

__all__ = ["MAX_DIGITS", "UnreadableJsonError", "as_count", "read_json", "well_formed"]

MAX_DIGITS = 18
"""Of an integer: what every database keeps in 64 bits."""


class UnreadableJsonError(Exception):
    """The bytes are no JSON, or are nested too deeply to be read."""


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _fraction(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _no_number(_name: str) -> None:
    return None


_strict = msgspec.json.Decoder()
_loose = json.JSONDecoder(parse_int=_integer, parse_float=_fraction, parse_constant=_no_number)


def read_json(body: bytes) -> Any:
    """Decode `body`. A number that cannot be read is `None`, and a text may hold half a surrogate pair.

    Raises:
        UnreadableJsonError: it is no JSON, or nested too deeply.
    """
    try:
        return _strict.decode(body)
    except RecursionError:
        raise UnreadableJsonError from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return _loose.decode(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise UnreadableJsonError from None


def well_formed(text: str) -> str:
    """Join the halves of surrogate pairs, and put U+FFFD in the place of a half that is alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def as_count(value: Any, most: int) -> int | None:
    """Return a whole number from 0 to `most`, also one that is spelled as a fraction; `None` for anything else."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= most else None
