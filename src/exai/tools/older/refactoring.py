"""The older name of the tool that looked for what to restructure, step by step."""

from collections.abc import Mapping
from typing import Any

from exai.errors import BadArguments
from exai.tools.aliases import Alias
from exai.tools.normalizing import is_blank

__all__ = ["REFACTORERS"]

WORDS = {
    "codesmells": "Look for what makes the code hard to change.",
    "decompose": "Look for parts that are to be divided, the largest first.",
    "modernize": "Look for what the language has better ways for by now.",
    "organization": "Look for what stands in the wrong place.",
}


def _as_question(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a question of what is looked for, and paths of all files that are named."""
    names = ("step", "refactor_type", "focus_areas", "relevant_files", "style_guide_examples")
    rest = {name: value for name, value in given.items() if name not in names}
    kind = str(given.get("refactor_type") or "").strip().casefold()
    step = given.get("step")
    parts = [step.strip()] if isinstance(step, str) else []
    parts += [WORDS[kind]] if kind in WORDS else []
    if focus := _listed(given, "focus_areas"):
        parts.append(f"Look above all at: {', '.join(focus)}.")
    paths = [*_listed(given, "relevant_files"), *_listed(given, "style_guide_examples")]
    if paths:
        rest["paths"] = [*_listed(given, "paths"), *paths]
    if parts and is_blank(given.get("question")):
        rest["question"] = "\n\n".join(parts)
    return rest


def _listed(given: Mapping[str, Any], name: str) -> list[str]:
    value = given.get(name)
    if is_blank(value):
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadArguments(f"Argument {name!r}: Expected a list of texts.")
    return value


REFACTORERS = (
    Alias(
        "refactor",
        presets={"kind": "refactor"},
        ignored=frozenset({"images", "temperature", "use_websearch", "backtrack_from_step"}),
        rewrite=_as_question,
    ),
)
"""They become `analyze`; what the steps of an older call report is taken and not needed."""
