"""Investigations as text: a report that reads well in a terminal, with what was checked of it."""

import textwrap
from collections.abc import Iterator, Sequence

from exai.cli.errors.printable import printable
from exai.error_tracking.investigation.citations import CheckedCitation
from exai.error_tracking.investigation.report import CheckedFix, InvestigationReport, Opinion
from exai.error_tracking.investigation.view import InvestigationView

__all__ = ["investigation_lines", "stage_of"]

_MEANINGS = {
    "likely": "every citation holds, and another model could not refute it",
    "possible": "a citation holds, and it is not refuted",
    "disputed": "another model refutes it, with evidence that holds",
    "unknown": "nothing that was said could be verified",
}
_VERDICTS = {"confirms": "confirms it", "refutes": "refutes it", "unsure": "is unsure"}


def stage_of(view: InvestigationView) -> str:
    """Say in a line how an investigation stands."""
    if view.state == "running":
        return f"{view.investigation} {view.stage}"
    return f"{view.investigation} is {view.state}" + (f": {printable(view.why)}" if view.why else "")


def investigation_lines(view: InvestigationView, width: int) -> Iterator[str]:
    """Write an investigation, the cause first."""
    report = view.report
    if report is None:
        yield from textwrap.wrap(f"investigation  {stage_of(view)}", width)
        return
    yield f"cause, {report.level}: {_MEANINGS[report.level]}"
    for note in report.notes:
        yield from _indented(note, width, "  ! ")
    yield from _indented(report.cause, width, "  ")
    for number, step in enumerate(report.chain, 1):
        yield from _indented(f"{step.who}: {step.text}", width, f"  {number}. ")
        yield from _citations(step.citations, width)
    for each in report.rejected:
        yield from _indented(f"not: {each.cause} ({each.why_not})", width, "  ")
    yield from _fix(report.fix, width)
    yield from _opinion(report.second_opinion, report.no_second_opinion, width)
    told = (
        ("reproduce", report.reproduction),
        ("reach", report.reach),
        ("would decide", report.would_decide),
        ("not looked at", report.not_looked_at),
        ("not shown", "; ".join(f"{each.kind} {each.place} ({each.reason})" for each in report.left_out)),
    )
    for name, text in told:
        if text:
            yield from _indented(f"{name}: {text}", width, "  ")
    yield from _indented(_cost(report, view), width, "  ")


def _citations(citations: Sequence[CheckedCitation], width: int) -> Iterator[str]:
    for each in citations:
        mark = "✓" if each.is_verified else "✗"
        place = f" {each.citation.place}" if each.citation.place else ""
        why = "" if each.is_verified else f" ({each.verdict}; does not count)"
        quote = " ".join(each.citation.quote.split())
        yield from _indented(f"{each.citation.evidence}{place} “{quote}”{why}", width, f"     {mark} ")


def _fix(fix: CheckedFix, width: int) -> Iterator[str]:
    yield from _indented(f"fix, {fix.kind}: {fix.text}", width, "  ")
    if fix.check is not None:
        told = "applies" if fix.check.applies else "does not apply"
        parses = {True: ", parses", False: ", does not parse", None: ""}[fix.check.parses]
        at = f" at commit {fix.check.commit[:12]}" if fix.check.commit else ""
        yield from _indented(f"the patch {told}{parses}{at}; nothing was written", width, "    ")
        for problem in fix.check.problems:
            yield from _indented(problem, width, "    - ")
    for line in fix.patch.splitlines():
        yield f"    {printable(line)}"


def _opinion(opinion: Opinion | None, why_none: str, width: int) -> Iterator[str]:
    if opinion is None:
        yield from _indented(f"no second opinion: {why_none}", width, "  ")
        return
    yield from _indented(f"a second model {_VERDICTS[opinion.verdict]}: {opinion.why}", width, "  ")
    yield from _citations(opinion.citations, width)


def _cost(report: InvestigationReport, view: InvestigationView) -> str:
    models = ", ".join(
        f"{each.name} ({each.role}{', emulated' if each.emulated else ''})" for each in report.models
    )
    cost = "cost not known" if report.cost_usd is None else f"{report.cost_usd:.4f} USD"
    requests = f"{report.requests} requests, {report.tokens:,} tokens, {cost}, {report.seconds:.1f} s"
    return f"{models}: {requests}, at {report.release}; {view.investigation}"


def _indented(text: str, width: int, lead: str) -> list[str]:
    blank = " " * len(lead)
    return textwrap.wrap(printable(text), width, initial_indent=lead, subsequent_indent=blank) or [lead]
