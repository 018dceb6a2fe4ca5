"""The search box: terms that all have to hold, or an id that leads to what it names.

    tool:chat outcome:failed model:glm* caller:alice took:>5s cost:>0.1 error:circuit_open,overloaded -door:stdio

`*` stands for anything, a comma for or, a minus before a term for not; a value with spaces stands in quotes. A word
without a colon is a tool, a model, a caller, an error or an outcome.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Literal, cast, get_args

import msgspec

from exai.callers import Door
from exai.errors import BadArguments
from exai.storage.dashboard.call_search import Condition, Field

__all__ = ["CLOSED", "Jump", "Search", "read_search"]

LONGEST = 500
MOST_TERMS = 20
CLOSED: Mapping[str, tuple[str, ...]] = {
    "outcome": ("ok", "failed", "timed_out", "cancelled", "lost", "running"),
    "door": tuple(Door),
    "emulated": ("yes", "no"),
}
"""Terms of which all values are known, so that a slip is told and does not find nothing."""
NUMERIC = frozenset({"took", "first", "cost", "tokens", "requests"})
FIELDS = tuple(name for name in get_args(Field) if name != "word")
LISTED = "Terms are `tool:`, `outcome:`, `model:`, `provider:`, `caller:`, `client:`, `door:`, `error:`, \
`conversation:`, `token:`, `took:>5s`, `first:>2s`, `cost:>0.1`, `tokens:>1000`, `requests:>1`, `emulated:yes`; \
`*` stands for anything, a comma for or, a minus before a term for not."

_TERM = re.compile(r'(-?)([a-z]+):("(?:[^"\\]|\\.)*"|[^\s"]+)|(-?)("(?:[^"\\]|\\.)*"|[^\s"]+)')
_NUMBER = re.compile(r"(<=|>=|<|>|=)?\$?(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|h|k)?")
_FACTORS = {"ms": 1.0, "s": 1_000.0, "m": 60_000.0, "h": 3_600_000.0}
_GROUP = re.compile(r"[Ee]-\d{1,9}")
_ID = re.compile(r"(call|inc|conv)_[A-Za-z0-9_-]{1,200}")


class Jump(msgspec.Struct, frozen=True):
    """An id in place of terms."""

    kind: Literal["call", "error", "incident"]
    id: str


class Search(msgspec.Struct, frozen=True):
    """What somebody looks for."""

    conditions: tuple[Condition, ...] = ()
    jump: Jump | None = None


def read_search(text: str) -> Search:
    """Read what stands in the search box.

    Raises:
        BadArguments: it is no search; the sentence lists the terms.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise BadArguments(f"q: A search has at most {LONGEST} characters.")
    if (jump := _jump(text)) is not None:
        return Search(jump=jump)
    conditions = tuple(_conditions(text))
    if len(conditions) > MOST_TERMS:
        raise BadArguments(f"q: A search has at most {MOST_TERMS} terms.")
    return Search(conditions)


def _jump(text: str) -> Jump | None:
    if _GROUP.fullmatch(text):
        return Jump("error", text.upper())
    found = _ID.fullmatch(text)
    if found is None or found[1] == "conv":
        return None
    return Jump("call" if found[1] == "call" else "incident", text)


def _conditions(text: str) -> Iterator[Condition]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TERM.match(text, at)
        if found is None or (found.end() < len(text) and not text[found.end()].isspace()):
            raise BadArguments(f"q: {text[at : at + 40]!a} is no term. {LISTED}")
        at = found.end()
        if found[2] is not None:
            yield _condition(found[2], _unquoted(found[3]), negated=bool(found[1]))
        else:
            if ":" in found[5] and not found[5].startswith('"'):
                raise BadArguments(f"q: {found[5][:40]!a} lacks its value, or its quotes. {LISTED}")
            yield _word(_unquoted(found[5]), negated=bool(found[4]))


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _word(word: str, *, negated: bool) -> Condition:
    field: Field = "conversation" if word.startswith("conv_") else "word"
    return Condition(field, values=(word,), negated=negated)


def _condition(field: str, value: str, *, negated: bool) -> Condition:
    if field not in FIELDS:
        raise BadArguments(f"q: There is no term `{field}:`. {LISTED}")
    if field in NUMERIC:
        return _number(field, value, negated=negated)
    values = tuple(each for each in value.split(",") if each)
    if not values:
        raise BadArguments(f"q: `{field}:` lacks its value. {LISTED}")
    if field in CLOSED:
        _check_values(field, values)
    if field == "emulated":
        if len(values) > 1 or "*" in values[0]:
            raise BadArguments("q: Write `emulated:yes` or `emulated:no`; without the term both are found.")
        return Condition("emulated", ">=" if values == ("yes",) else "<", number=1.0, negated=negated)
    return Condition(cast("Field", field), values=values, negated=negated)


def _check_values(field: str, values: tuple[str, ...]) -> None:
    known = CLOSED[field]
    for value in values:
        if not any(fnmatchcase(each, value.replace("[", "[[]").replace("?", "[?]")) for each in known):
            named = ", ".join(f"`{field}:{each}`" for each in known)
            raise BadArguments(f"q: There is no `{field}:{ascii(value)[1:-1][:40]}`. There are {named}.")


def _number(field: str, value: str, *, negated: bool) -> Condition:
    found = _NUMBER.fullmatch(value)
    unit = None if found is None else found[3]
    is_time = field in {"took", "first"}
    if found is None or (unit is not None and (unit in _FACTORS) is not is_time):
        example = f"{field}:>5s" if is_time else f"{field}:>0.1"
        raise BadArguments(f"q: {value!a} is nothing to compare `{field}:` with. Write it as `{example}`.")
    factor = _FACTORS[unit or "s"] if is_time else 1_000.0 if unit == "k" else 1.0
    op = cast("Literal['is', '<', '<=', '>', '>=']", found[1] if found[1] in {"<", "<=", ">", ">="} else "is")
    return Condition(cast("Field", field), op, number=float(found[2]) * factor, negated=negated)
