"""The older name of the tool that traces calls."""

import re
from collections.abc import Mapping
from typing import Any

from exai.errors import BadArguments
from exai.tools.aliases import Alias, without_lone_step
from exai.tools.normalizing import is_blank

__all__ = ["TRACERS"]

KINDS = {"precision": "trace", "dependencies": "dependencies"}
QUOTED = re.compile(r"`([^`\s]+?)(?:\(\))?`")
NAME = re.compile(
    r"(?<![\w./:-])([\w./-]*\w(?:(?:\.|::|:|/|_)\w+)+|[A-Za-z_]\w*(?=\(\))|[A-Za-z]+[a-z0-9][A-Z]\w*)"
)
"""A path or name by its form: with a dot, a colon, a slash, an underscore, an inner capital, or called."""

NO_MODE = (
    "Argument 'trace_mode': give `precision` for what a part calls and who calls it, or `dependencies` for who depends "
    "on it. Ask your user where you cannot tell."
)
NO_TARGET = (
    "Argument 'target_description': name the part where the trace begins, as a path, `Class.method` or path:name, "
    "in backticks."
)


def _as_question(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the kind from the mode, and the target from its description."""
    rest = without_lone_step(given)
    mode, described = rest.pop("trace_mode", None), rest.pop("target_description", None)
    is_later = _is_later(given.get("step_number"))
    if is_blank(mode) and is_later:
        return rest
    kind = KINDS.get(str(mode).strip().casefold())
    if kind is None:
        raise BadArguments(NO_MODE)
    if is_blank(described):
        if is_later:
            return {**rest, "kind": kind}
        described = given.get("step")
    if not isinstance(described, str) or is_blank(described):
        raise BadArguments(NO_TARGET)
    target = given.get("target")
    return {
        **rest,
        "kind": kind,
        "question": described,
        "target": _named(described) if is_blank(target) else target,
    }


def _is_later(step_number: Any) -> bool:
    """Whether a step goes on with an investigation whose first one has the target."""
    return str(step_number or 1).strip() not in {"1", "1.0"}


def _named(described: str) -> str:
    """Return the first name in a description.

    Raises:
        BadArguments: there is none.
    """
    words = described.split()
    if len(words) == 1:
        return words[0].strip("`").removesuffix("()")
    found = QUOTED.search(described) or NAME.search(described)
    if found is None:
        raise BadArguments(NO_TARGET)
    return found[1]


TRACERS = (
    Alias(
        "tracer",
        ignored=frozenset({"images", "use_websearch"}),
        rewrite=_as_question,
    ),
)
"""They become `analyze`; their steps are those of its guided form."""
