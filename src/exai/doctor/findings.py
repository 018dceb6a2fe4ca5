"""What the doctor found, for people and for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

__all__ = ["Finding", "State", "as_document", "as_text", "is_well", "problem", "warning", "well"]


class State(StrEnum):
    """How it stands."""

    WELL = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    state: State
    says: str
    """A sentence without its full stop."""

    mend: str | None = None
    """What to do about it."""


def well(check: str, says: str) -> Finding:
    """Something that is as it should be."""
    return Finding(check, State.WELL, says)


def warning(check: str, says: str, mend: str | None = None) -> Finding:
    """Something that works and may surprise."""
    return Finding(check, State.WARNING, says, mend)


def problem(check: str, says: str, mend: str) -> Finding:
    """Something that does not work."""
    return Finding(check, State.PROBLEM, says, mend)


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether there is no problem among them."""
    return all(finding.state is not State.PROBLEM for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """One line for each, below it what mends it, and the sum."""
    width = max(len(finding.check) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.state.value:<7}  {finding.check:<{width}}  {finding.says}.")
        if finding.mend is not None:
            lines.append(f"{'':<7}  {'':<{width}}  -> {finding.mend}")
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    total = ", ".join(f"{state.value}: {counts[state]}" for state in reversed(State))
    return "\n".join([*lines, "", total])


def as_document(findings: Sequence[Finding]) -> str:
    """The same as JSON."""
    document = {"ok": is_well(findings), "findings": [asdict(finding) for finding in findings]}
    return json.dumps(document, indent=2)
