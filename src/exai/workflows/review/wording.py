"""Findings in words: the list that an answer shows, and the file that has all of them."""

from collections.abc import Iterator, Mapping, Sequence

from exai.workflows.review.findings import Finding
from exai.workflows.review.noise import Reason, Sifted, Withheld

__all__ = ["counted", "everything", "listed", "summary"]

_COUNTED: Mapping[Reason, tuple[str, str]] = {
    "unverified": ("with a quotation that was not found", "with quotations that were not found"),
    "outside": ("outside the change", "outside the change"),
    "style": ("of style", "of style"),
    "duplicate": ("duplicate", "duplicates"),
    "dismissed": ("dismissed before", "dismissed before"),
    "unconfirmed": ("unconfirmed", "unconfirmed"),
    "low": ("of low severity", "of low severity"),
    "beyond": ("beyond the most that are shown", "beyond the most that are shown"),
}
GRAVE = frozenset({"critical", "high"})
LONGEST_PLACE = 120
MOST_NAMED = 3
"""Withheld findings of weight that a summary names."""
_NO_WEIGHT = frozenset({"duplicate", "dismissed"})
"""Reasons of which nothing needs to be named: it is shown already, or was looked at."""


def summary(sifted: Sifted, looked_at: str) -> str:
    """Say in two sentences what a review found and what it withholds."""
    shown = sifted.shown
    severities = [each.severity for each in shown]
    found = ", ".join(f"{severities.count(severity)} {severity}" for severity in dict.fromkeys(severities))
    head = f"{found}." if shown else "No defect found."
    return " ".join([head, f"Looked at {looked_at}.", *counted(sifted)])


def counted(sifted: Sifted) -> Iterator[str]:
    """Say how many findings are withheld, and name those of weight."""
    if not sifted.withheld:
        return
    parts = [f"{count} {_COUNTED[reason][count > 1]}" for reason, count in sifted.counts.items()]
    yield f"{len(sifted.withheld)} withheld: {', '.join(parts)}."
    grave = [
        each for each in sifted.withheld if each.finding.severity in GRAVE and each.reason not in _NO_WEIGHT
    ]
    if grave:
        names = list(dict.fromkeys(map(_named, grave)))
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        yield f"Of weight among them: {'; '.join(names[:MOST_NAMED])}{more}."


def _named(withheld: Withheld) -> str:
    """Name a withheld finding, whose place may be whatever a model wrote."""
    place = withheld.finding.place
    shown = place if len(place) <= LONGEST_PLACE else f"{place[:LONGEST_PLACE]}…"
    return f"{shown} {withheld.finding.category} ({withheld.reason})"


def listed(findings: Sequence[Finding]) -> str:
    """Write findings out for a reader of text."""
    return "\n\n".join("\n".join(_lines(number, each)) for number, each in enumerate(findings, start=1))


def everything(sifted: Sifted) -> str:
    """Write all findings out as Markdown, those that are withheld by their reasons."""
    parts = ["# Findings", listed(sifted.shown) or "None is shown."]
    for reason in sifted.counts:
        its = [each.finding for each in sifted.withheld if each.reason == reason]
        parts += [f"# Withheld: {reason}", listed(its)]
    return "\n\n".join(parts) + "\n"


def _lines(number: int, finding: Finding) -> Iterator[str]:
    weakness = f", {finding.cwe}" if finding.cwe else ""
    votes = "1 vote" if finding.votes == 1 else f"{finding.votes} votes"
    yield (
        f"{number}. [{finding.severity}] {finding.category}{weakness} {finding.place} "
        f"({finding.id}, confidence {finding.confidence:.2f}, {votes}, {finding.citation.replace('_', ' ')})"
    )
    yield f"   {_flat(finding.message)}"
    check = finding.check
    rows = [
        ("quote", finding.quote),
        ("when", finding.when),
        ("fix", finding.fix),
        ("check", check.command),
        ("expected", check.expected),
        ("actual", check.actual),
        *(("remark", remark) for remark in finding.remarks),
    ]
    for label, value in rows:
        if value:
            yield f"   {label}: {_flat(value)}"


def _flat(text: str) -> str:
    """Keep a text of a model on its line, so that none begins a line of ours."""
    return " ".join(text.split())
