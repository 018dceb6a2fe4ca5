"""Normalizes arguments: clients and agents write the same value in several ways on its way to a tool.

Clients in strict mode send null for all that is not given, and agents write values other than texts as texts that hold
JSON. What can mean one thing only is taken as that; anything else stays as it is, for the check of types to refuse.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["is_blank", "is_declined", "normalized"]

MAX_BRACKETS = 10_000
"""In a text that may hold JSON; such a text is no part of what a message's containers are counted by."""

_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
_SPELLED = {"true": True, "false": False, "null": None, "none": None}
"""In any case: Python writes them with a capital."""

_decode = msgspec.json.Decoder().decode


def normalized(given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as their schema spells them, without those that say nothing.

    Args:
        given: as the client sent them, under the names of the schema; unknown ones are kept.
        schema: of the arguments, an object without references.
    """
    properties, required = schema.get("properties", {}), schema.get("required", ())
    result = {}
    for name, value in given.items():
        field = properties.get(name)
        if field is None:
            result[name] = value
            continue
        fitted = _fitted(value, field)
        if fitted is not None and (name in required or not _says_nothing(fitted, field)):
            result[name] = fitted
    return result


def is_declined(value: Any, field: Mapping[str, Any]) -> bool:
    """Check whether a value for an optional argument means false, or nothing at all."""
    fitted = _fitted(value, field)
    return fitted is None or fitted is False or _says_nothing(fitted, field)


def is_blank(value: Any) -> bool:
    """Check for null and for a text without a letter."""
    return value is None or (isinstance(value, str) and not value.strip())


def _says_nothing(value: Any, field: Mapping[str, Any]) -> bool:
    """Check for a value that an optional argument can only have in place of none."""
    is_zero = isinstance(value, int | float) and not isinstance(value, bool) and value == 0
    return is_blank(value) or (is_zero and field.get("minimum", 0) > 0)


def _fitted(value: Any, field: Mapping[str, Any]) -> Any:
    kind = field.get("type")
    if isinstance(value, str) and "enum" in field:
        return _chosen(value, field["enum"])
    if isinstance(value, str) and kind in _TYPES:
        value = _read(value, kind, field)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)  # as JSON Schema has it: 3.0 is an integer
    if kind == "array" and isinstance(value, list):
        return _fitted_items(value, field.get("items", {}))
    if kind == "object" and isinstance(value, dict):
        return normalized(value, field)
    return value


def _chosen(text: str, choices: Sequence[Any]) -> Any:
    """Return the one of some choices that a text is in another case or with blanks around it, else the text."""
    folded = text.strip().casefold()
    return next((each for each in choices if isinstance(each, str) and each.casefold() == folded), text)


def _fitted_items(items: list[Any], field: Mapping[str, Any]) -> list[Any] | None:
    """Fit the items of a list; one that holds nothing but blanks is none."""
    fitted = [_fitted(item, field) for item in items if not is_blank(item)]
    return fitted if fitted or not items else None


def _read(text: str, kind: str, field: Mapping[str, Any]) -> Any:
    """Return the value of the wanted kind that a text holds; a list of texts may be one text by itself."""
    bare = text.strip()
    if len(bare) <= 5 and bare.casefold() in _SPELLED:
        value = _SPELLED[bare.casefold()]
        return value if value is None or kind == "boolean" else text
    if bare.count("{") + bare.count("[") <= MAX_BRACKETS:
        try:
            value = _decode(bare)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            pass
        else:
            if isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "boolean"):
                return value
    is_one_item = kind == "array" and field.get("items", {}).get("type") == "string" and bool(bare)
    return [text] if is_one_item else text
