"""Findings of the checks, as text and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

__all__ = ["Finding", "State", "as_document", "as_text", "is_ok", "ok", "problem", "warning"]


class State(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a check."""

    check: str
    state: State
    message: str
    """A sentence without its full stop."""

    fix: str | None = None
    """What to do about it, as a sentence."""


def ok(check: str, message: str) -> Finding:
    """Make a finding about something that is in order."""
    return Finding(check, State.OK, message)


def warning(check: str, message: str, fix: str | None = None) -> Finding:
    """Make a finding about something that works but may surprise."""
    return Finding(check, State.WARNING, message, fix)


def problem(check: str, message: str, fix: str) -> Finding:
    """Make a finding about something that does not work."""
    return Finding(check, State.PROBLEM, message, fix)


def is_ok(findings: Sequence[Finding]) -> bool:
    """Return whether there is no problem among them."""
    return all(finding.state is not State.PROBLEM for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """Format the findings for people: a line for each, with its fix below, and the counts."""
    width = max(len(finding.check) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.state.value:<7}  {finding.check:<{width}}  {finding.message}.")
        if finding.fix is not None:
            lines.append(f"{'':<7}  {'':<{width}}  -> {finding.fix}")
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    total = ", ".join(f"{state.value}: {counts[state]}" for state in reversed(State))
    return "\n".join([*lines, "", total])


def as_document(findings: Sequence[Finding]) -> str:
    """Format the findings as JSON."""
    document = {"ok": is_ok(findings), "findings": [asdict(finding) for finding in findings]}
    return json.dumps(document, indent=2)
