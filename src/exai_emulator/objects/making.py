"""Making values by a schema: one that fits it, and one that breaks it."""

import math
from collections.abc import Mapping
from typing import Any

from exai_emulator.objects.schemas import Schema, allows_text, list_at, mapping_at, number_at, resolved

__all__ = ["broken", "made", "marked"]

_DEEPEST = 5
"""How deep objects and lists go that the schema does not demand."""
_DEEPEST_OF_ALL = 40
_MOST_MADE = 50
_LONGEST_MADE = 10_000


def made(schema: Schema, said: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An object by `schema`: `fields` as they are, and the rest made. The first free text is `said`.

    Of an enumeration and of alternatives comes the first that is not null, of numbers the least from 0 on,
    of lists the least number of entries but one; texts are their property's name.
    """
    return _Making(schema, said).object_of(resolved(schema, schema), dict(fields or {}), 0)


def marked(value: dict[str, Any], schema: Schema, model: str) -> dict[str, Any]:
    """The same object, known as emulated: by its first key, or where none may be added, by its first free text."""
    top = resolved(schema, schema)
    if allows_text(top, schema):
        return {"emulated": model, **value}
    mark = f"[emulated {model}] "
    for name, part in value.items():
        rule = resolved(mapping_at(mapping_at(top, "properties"), name), schema)
        longest = number_at(rule, "maxLength")
        is_free = isinstance(part, str) and "enum" not in rule and "const" not in rule
        if is_free and (longest is None or len(mark) + len(part) <= longest):
            return {**value, name: mark + part}
    return value


def broken(value: dict[str, Any], schema: Schema, model: str) -> Any:
    """The object, known as emulated, without its last required property that does not say so; else in a list."""
    known = marked(value, schema, model)
    for name in reversed(list_at(resolved(schema, schema), "required")):
        if name in value and known[name] == value[name]:
            return {other: part for other, part in known.items() if other != name}
    return [known]


class _Making:
    def __init__(self, root: Schema, said: str) -> None:
        self._root = root
        self._said: str | None = said

    def _value(self, schema: Schema, name: str, depth: int) -> Any:
        schema = resolved(schema, self._root)
        if "const" in schema:
            return schema["const"]
        if enumerated := list_at(schema, "enum"):
            return next((each for each in enumerated if each is not None), None)
        if depth < _DEEPEST_OF_ALL and (branches := list_at(schema, "anyOf")):
            return self._value(self._branch(branches, depth), name, depth + 1)
        return self._of_kind(_kind(schema), schema, name, depth + 1)

    def _of_kind(self, kind: Any, schema: Schema, name: str, depth: int) -> Any:
        if kind == "object" and depth < _DEEPEST_OF_ALL:
            return self.object_of(schema, {}, depth)
        if kind == "array" and depth < _DEEPEST_OF_ALL:
            return self._list(schema, name, depth)
        if kind in ("number", "integer"):
            return _number(schema, whole=kind == "integer")
        if kind == "boolean":
            return False
        return self._text(schema, name) if kind in ("string", None) else None

    def _branch(self, branches: list[Any], depth: int) -> Schema:
        """The first that is no null; in the depth, the one that ends soonest."""
        rows = [resolved(branch, self._root) for branch in branches if isinstance(branch, dict)]
        nothing = [row for row in rows if row.get("type") == "null"]
        others = [row for row in rows if row.get("type") != "null"]
        plain = [row for row in others if row.get("type") not in ("object", "array")]
        return next(iter((*nothing, *plain, *others) if depth > _DEEPEST else (*others, *nothing)), {})

    def object_of(self, schema: Schema, fields: dict[str, Any], depth: int) -> dict[str, Any]:
        """An object of a schema, with some fields that are given."""
        required = list_at(schema, "required")
        value = {}
        for name, rule in mapping_at(schema, "properties").items():
            if name in fields:
                value[name] = fields[name]
            elif name in required or depth <= _DEEPEST:
                value[name] = self._value(rule if isinstance(rule, dict) else {}, name, depth)
        return value | fields

    def _list(self, schema: Schema, name: str, depth: int) -> list[Any]:
        least, most = number_at(schema, "minItems") or 0, number_at(schema, "maxItems")
        wanted = 1 if depth <= _DEEPEST and (most is None or most >= 1) else 0
        count = min(int(max(least, wanted)), _MOST_MADE)
        items = mapping_at(schema, "items")
        return [self._value(items, name, depth) for _ in range(count)]

    def _text(self, schema: Schema, name: str) -> str:
        text, self._said = (name.replace("_", " ") if self._said is None else self._said), None
        least, most = number_at(schema, "minLength") or 0, number_at(schema, "maxLength")
        text = text.ljust(min(int(least), _LONGEST_MADE), ".")
        return text if most is None else text[: max(0, int(most))]


def _kind(schema: Schema) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((each for each in kind if each != "null"), "null")
    return "object" if kind is None and "properties" in schema else kind


def _number(schema: Schema, *, whole: bool) -> float:
    low, high = number_at(schema, "minimum"), number_at(schema, "maximum")
    value = 0 if low is None or low <= 0 else low
    value = high if high is not None and value > high else value
    return math.ceil(value) if whole else value
