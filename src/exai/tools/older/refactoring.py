"""The older name of the tool that looked for what to restructure, step by step."""

from collections.abc import Mapping
from typing import Any

from exai.errors import BadArguments
from exai.tools.aliases import Alias, without_lone_step
from exai.tools.normalizing import is_blank

__all__ = ["REFACTORERS"]

WORDS = {
    "codesmells": "Look for what makes the code hard to change.",
    "decompose": "Look for parts that are to be divided, the largest first.",
    "modernize": "Look for what the language has better ways for by now.",
    "organization": "Look for what stands in the wrong place.",
}


CONFIDENCE = {"incomplete": "low", "partial": "medium", "complete": "certain"}


def _as_question(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a question of what is looked for, and paths of the examples of style; steps stay steps."""
    names = ("refactor_type", "focus_areas", "style_guide_examples")
    rest = {name: value for name, value in without_lone_step(given).items() if name not in names}
    kind = str(given.get("refactor_type") or "").strip().casefold()
    step = given.get("step")
    parts = [step.strip()] if isinstance(step, str) and "step" not in rest else []
    parts += [WORDS[kind]] if kind in WORDS else []
    if focus := _listed(given, "focus_areas"):
        parts.append(f"Look above all at: {', '.join(focus)}.")
    if examples := _listed(given, "style_guide_examples"):
        rest["paths"] = [*_listed(given, "paths"), *examples]
    if parts and is_blank(given.get("question")):
        rest["question"] = "\n\n".join(parts)
    confidence = rest.get("confidence")
    if isinstance(confidence, str):
        rest["confidence"] = CONFIDENCE.get(confidence.strip().casefold(), confidence)
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
        ignored=frozenset({"images", "use_websearch"}),
        rewrite=_as_question,
    ),
)
"""They become `analyze`; their steps are those of its guided form."""
