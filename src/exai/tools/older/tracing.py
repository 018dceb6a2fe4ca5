"""The older name of the tool that traces calls."""

import re
from collections.abc import Mapping
from typing import Any

from exai.errors import BadArguments
from exai.tools.aliases import STEPWISE, Alias
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
    kind = KINDS.get(str(given.get("trace_mode")).strip().casefold())
    if kind is None:
        raise BadArguments(NO_MODE)
    described = given.get("target_description")
    if is_blank(described):
        described = given.get("step")
    if not isinstance(described, str) or is_blank(described):
        raise BadArguments(NO_TARGET)
    rest = {name: value for name, value in given.items() if name not in {"trace_mode", "target_description"}}
    target = given.get("target")
    return {
        **rest,
        "kind": kind,
        "question": described,
        "target": _named(described) if is_blank(target) else target,
    }


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
        ignored=STEPWISE | {"step", "relevant_files", "use_assistant_model"},
        rewrite=_as_question,
    ),
)
"""They become `analyze`, which finds by itself what the steps of an older call report."""
