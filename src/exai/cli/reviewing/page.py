"""A review for people: on a terminal with colours and in its width, elsewhere as plain text."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import typer

from exai.cli.reviewing.review_answer import ReviewAnswer
from exai.workflows.review.categories import Severity
from exai.workflows.review.findings import Finding

__all__ = ["page_of", "safe"]

BAR = "▌"
"""Stands before each line of a finding. So none of its lines can pass for a command of a forge, as `::error` does."""
LABEL = 8
NARROWEST, WIDEST = 40, 100
MOST_QUOTED = 12
_COMMAND = re.compile(r"^\s*::")
COLOURS: Mapping[Severity, str] = MappingProxyType(
    {"critical": "bright_red", "high": "red", "medium": "yellow", "low": "blue"}
)


def page_of(review: ReviewAnswer, *, colours: bool) -> str:
    """Write a review: a paragraph for each finding, and what came of it all."""
    page = _Page(colours=colours)
    blocks = [*(page.finding(each) for each in review.findings), page.outcome(review)]
    return "\n\n".join(blocks) + "\n"


def safe(text: str) -> str:
    """Return a text of others without what a terminal obeys; its lines stay."""
    clean = text.replace("\r\n", "\n").expandtabs(4)
    return "".join(each if each == "\n" or each.isprintable() else ascii(each)[1:-1] for each in clean)


class _Page:
    def __init__(self, *, colours: bool) -> None:
        self._colours = colours
        columns = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80
        self._width = min(max(columns, NARROWEST), WIDEST)

    def finding(self, finding: Finding) -> str:
        colour = COLOURS[finding.severity]
        bar = self._styled(BAR, fg=colour)
        name = self._styled(finding.severity.upper(), fg=colour, bold=True)
        lines = [f"{name} {finding.category}  {self._styled(safe(finding.place), bold=True)}"]
        lines += self._wrapped("", finding.message)
        lines += [""] if finding.quote else []
        lines += self._quoted(finding)
        lines += [""] if finding.quote and (finding.when or finding.fix or finding.check.command) else []
        for label, text in (
            ("when", finding.when),
            ("fix", finding.fix),
            ("check", finding.check.command),
            ("expect", finding.check.expected),
            ("actual", finding.check.actual),
        ):
            lines += self._wrapped(label, text)
        for remark in finding.remarks:
            lines += self._wrapped("note", remark)
        lines += [self._styled(line, dim=True) for line in self._filled(_facts(finding), self._width - 2)]
        return "\n".join(f"{bar} {line}".rstrip() for line in lines)

    def outcome(self, review: ReviewAnswer) -> str:
        """Say what was found, looked at and left out."""
        texts = [safe(review.answer), *(f"Note: {safe(note)}" for note in review.notes)]
        # None of these lines has a bar, so one that would pass for a command of a forge is written otherwise.
        parts = [_COMMAND.sub(": :", part) for text in texts for part in text.splitlines()]
        lines = [line for part in parts for line in self._filled(part, self._width)]
        for each in review.more:
            first = f" --from {each.from_line}" if each.from_line > 1 else ""
            lines.append(f"All findings, withheld ones too: exai files read {safe(each.id)}{first}")
        facts = [safe(review.model_used), f"looked at {safe(review.looked_at)}" if review.looked_at else ""]
        emulated = " if it were real" if review.is_emulated else ""
        facts.append("" if review.cost_usd is None else f"${review.cost_usd:.4f}{emulated}")
        told = " | ".join(fact for fact in facts if fact)
        return "\n".join([*lines, self._styled(told, dim=True)] if told else lines)

    def _quoted(self, finding: Finding) -> Iterator[str]:
        lines = safe(finding.quote).splitlines()
        gutter = len(str(finding.first + len(lines)))
        room = self._width - gutter - 6
        for number, line in enumerate(
            textwrap.dedent("\n".join(lines[:MOST_QUOTED])).splitlines(), finding.first
        ):
            shown = line if len(line) <= room else f"{line[: room - 1]}…"
            yield f"  {self._styled(f'{number:>{gutter}}│', dim=True)} {shown}"
        if len(lines) > MOST_QUOTED:
            yield f"  {' ' * gutter}  … {len(lines) - MOST_QUOTED} more"

    def _wrapped(self, label: str, text: str) -> Iterator[str]:
        if not text.strip():
            return
        indent = LABEL if label else 0
        filled = [
            line for part in safe(text).splitlines() for line in self._filled(part, self._width - 2 - indent)
        ]
        for number, line in enumerate(filled):
            head = self._styled(f"{label:<{indent}}", bold=True) if label and not number else " " * indent
            yield f"{head}{line}"

    def _filled(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]

    def _styled(self, text: str, **style: str | bool) -> str:
        return typer.style(text, **style) if self._colours else text  # type: ignore[arg-type]


def _facts(finding: Finding) -> str:
    votes = "1 vote" if finding.votes == 1 else f"{finding.votes} votes"
    cited = "" if finding.citation == "verified" else f"place corrected ({safe(finding.citation)})"
    parts = (finding.id, safe(finding.cwe), f"confidence {finding.confidence:.2f}", votes, cited)
    return " | ".join(part for part in parts if part)
