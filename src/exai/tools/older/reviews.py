"""Older names of tools that review code."""

from collections.abc import Mapping
from typing import Any

from exai.tools.aliases import Alias, without_lone_step
from exai.tools.normalizing import is_blank

__all__ = ["REVIEWS"]

NOT_NEEDED = frozenset({"images", "use_websearch"})
"""A review shows no pictures and searches no web."""

SEVERITIES = {"all": "low"}


def _in_current_words(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say severities, depth and change as `review` does."""
    rest = without_lone_step(given)
    severity = rest.pop("severity_filter", None)
    if not is_blank(severity):
        rest.setdefault("min_severity", SEVERITIES.get(str(severity).strip().casefold(), severity))
    for name in ("review_validation_type", "precommit_type"):
        if str(rest.pop(name, "")).strip().casefold() == "internal":
            rest.setdefault("depth", "quick")
    return rest


def _change_of(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make one change of a ref, or of what is staged and what is not."""
    rest = dict(_in_current_words(given))
    reference = rest.pop("compare_to", None)
    staged, unstaged = (_is_wanted(rest.pop(name, True)) for name in ("include_staged", "include_unstaged"))
    if not is_blank(rest.get("change")):
        return rest
    if not is_blank(reference):
        return {**rest, "change": reference}
    if staged == unstaged:
        return {**rest, "change": "all"}
    return {**rest, "change": "staged" if staged else "unstaged"}


def _is_wanted(value: Any) -> bool:
    return str(value).strip().casefold() not in {"false", "0", "no"}


def _of_security(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put what an audit is about into its focus."""
    rest = dict(_in_current_words(given))
    parts = []
    for name, label in (
        ("focus", ""),
        ("security_scope", "Scope: "),
        ("threat_level", "Threat level: "),
        ("audit_focus", "Look at: "),
        ("compliance_requirements", "To comply with: "),
    ):
        value = rest.pop(name, None)
        if not is_blank(value):
            spelled = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            parts.append(f"{label}{spelled}")
    return {**rest, "focus": "\n".join(parts)} if parts else rest


REVIEWS = (
    Alias(
        "codereview",
        renames={
            "review_type": "kind",
            "focus_on": "focus",
            "standards": "rules",
            "path": "workspace",
        },
        ignored=NOT_NEEDED,
        rewrite=_in_current_words,
    ),
    Alias(
        "precommit",
        renames={"path": "workspace", "focus_on": "focus"},
        ignored=NOT_NEEDED | {"relevant_files"},
        rewrite=_change_of,
    ),
    Alias(
        "secaudit",
        renames={"path": "workspace"},
        presets={"kind": "security"},
        ignored=NOT_NEEDED,
        rewrite=_of_security,
    ),
)
"""They become `review`; their steps are those of its guided form. The files of `precommit` are those of the change."""
