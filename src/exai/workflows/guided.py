"""The guided form: the caller investigates and reports step by step; the last report has the stages run on all of them.

    report 1 ─► report 2 ─► … ─► last report ─► stages ─► answer
                   ▲      │
                   └──────┘ backtrack_from_step: that report and those behind it are dropped

A report that comes again replaces what it said. The caller's confidence chooses what it is told to do next, and nothing
else.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from exai.errors import BadArguments
from exai.storage.workflows.runs import Step

__all__ = [
    "Confidence",
    "GuidedReport",
    "combined_question",
    "expected_step",
    "files_of",
    "further_arguments",
    "next_call",
    "reports_of",
]

Confidence = Literal["exploring", "low", "medium", "high", "very_high", "almost_certain", "certain"]

REPORT = "report "
"""What the names of steps that are reports begin with."""


class GuidedReport(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the caller reports of one step."""

    step: str
    number: int
    total: int
    is_last: bool
    findings: str = ""
    files_checked: tuple[str, ...] = ()
    relevant_files: tuple[str, ...] = ()
    relevant_context: tuple[str, ...] = ()
    issues_found: tuple[dict[str, Any], ...] = ()
    hypothesis: str = ""
    confidence: Confidence = "exploring"
    backtrack_from: int | None = None
    further: dict[str, Any] = {}
    """Arguments of the tool that the call has beside the form's own: they hold for the steps that follow too."""

    @property
    def name(self) -> str:
        """The name of its step."""
        return f"{REPORT}{self.number}"


def reports_of(steps: Mapping[str, Step]) -> list[GuidedReport]:
    """Return the reports of a run that count, in their order."""
    reports = [
        msgspec.json.decode(step.output or "", type=GuidedReport)
        for step in steps.values()
        if step.kind == "report" and step.state == "ended"
    ]
    return sorted(reports, key=lambda report: report.number)


def further_arguments(reports: Iterable[GuidedReport]) -> dict[str, Any]:
    """Return the tool's arguments that hold after these reports; what a later one says counts."""
    return {name: value for report in reports for name, value in report.further.items()}


def files_of(reports: Iterable[GuidedReport]) -> list[str]:
    """List the files that matter, as they were named first."""
    return list(dict.fromkeys(path for report in reports for path in report.relevant_files))


def expected_step(reports: Sequence[GuidedReport], report: GuidedReport) -> None:
    """Check that a report follows those that are there.

    Raises:
        BadArguments: with the step that is expected.
    """
    last = reports[-1].number if reports else 0
    if report.backtrack_from is not None:
        if not 1 <= report.backtrack_from <= last:
            raise BadArguments(
                f"Argument 'backtrack_from_step': this run has the steps 1 to {last}, and this is "
                f"{report.backtrack_from}."
            )
        if report.number != report.backtrack_from:
            raise BadArguments(
                f"Argument 'step_number': behind backtrack_from_step={report.backtrack_from} comes step "
                f"{report.backtrack_from}, and this is {report.number}."
            )
    elif report.number > last + 1:
        raise BadArguments(
            f"Argument 'step_number': this run goes on with step {last + 1}, and this is {report.number}."
        )


def next_call(report: GuidedReport, continuation_id: str) -> dict[str, Any]:
    """Return the arguments of the next step."""
    number = report.number + 1
    total = max(report.total, number)
    call: dict[str, Any] = {
        "continuation_id": continuation_id,
        "step": "…",
        "step_number": number,
        "total_steps": total,
        "next_step_required": number < total,
        "findings": "…",
        "confidence": report.confidence,
    }
    return {**call, "hypothesis": report.hypothesis} if report.hypothesis else call


def combined_question(reports: Sequence[GuidedReport]) -> str:
    """Write all reports as one question: the problem, what was found, and what the caller believes now."""
    lines = [reports[0].step.strip(), "", "What I found so far:"]
    for report in reports:
        lines.append(f"Step {report.number}: {report.step.strip() if report.number > 1 else ''}".rstrip(": "))
        lines += [f"- {report.findings.strip()}"] if report.findings.strip() else []
        lines += [
            f"- issue ({issue.get('severity', 'unrated')}): {issue.get('description', '')}"
            for issue in report.issues_found
        ]
    last = reports[-1]
    context = list(dict.fromkeys(name for report in reports for name in report.relevant_context))
    checked = list(dict.fromkeys(path for report in reports for path in report.files_checked))
    if checked:
        lines += ["", f"Files I looked at: {', '.join(checked)}"]
    if context:
        lines += ["", f"Functions that matter: {', '.join(context)}"]
    if last.hypothesis:
        lines += [
            "",
            f"My present hypothesis (confidence: {last.confidence.replace('_', ' ')}): {last.hypothesis}",
        ]
    return "\n".join(lines)
