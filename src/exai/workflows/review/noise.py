"""What of a review is shown. Everything else is withheld for one reason, counted, and kept for who wants to read it.

    in turn                                                          withheld as
    its quotation was not found in what was shown                    unverified
    it stands outside the change, and no changed line causes it      outside
    style, where the project has a formatter or linter               style
    another finding says the same                                    duplicate
    it was dismissed, or called wrong, at an earlier review          dismissed
    its confidence is below the least                                unconfirmed
    its severity is below the least                                  low
    more than are shown, by severity and then confidence             beyond

Reasons are code and not a model's: no text that a model reads can take a finding away.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, get_args

import msgspec

from exai.workflows.review.categories import Severity, is_as_severe, rank
from exai.workflows.review.findings import Candidate, Finding
from exai.workflows.review.fingerprints import is_quoted_in
from exai.workflows.review.merging import merge

__all__ = [
    "REASONS",
    "Change",
    "Gone",
    "Known",
    "Reason",
    "Rules",
    "Sifted",
    "Together",
    "Withheld",
    "confidence_of",
    "sift",
    "together",
]

Reason = Literal["unverified", "outside", "style", "duplicate", "dismissed", "unconfirmed", "low", "beyond"]
REASONS: tuple[Reason, ...] = get_args(Reason)

CONTEXT_LINES = 3
"""How far from a changed line a finding may stand: what a hunk shows around it."""
CORRECTED = frozenset({"moved", "wrong_file", "near"})
"""States of citations whose place or words were put right."""

_VOTES, _JUDGED, _CITED = 0.4, 0.4, 0.2
_OF_JUDGED: Mapping[str | None, float] = {"confirmed": 1.0, "unsure": 0.5, None: 0.5, "refuted": 0.0}


class Change(msgspec.Struct, frozen=True):
    """The lines that a change touches."""

    lines: Mapping[str, AbstractSet[int]]
    """Numbers after the change of the lines that it adds, and of those behind what it takes away, by path."""
    text: str = ""
    """What it adds and takes away, without signs."""

    def has(self, path: str, first: int, last: int) -> bool:
        """Whether lines are changed, or stand beside some that are."""
        around = range(first - CONTEXT_LINES, last + CONTEXT_LINES + 1)
        return any(number in around for number in self.lines.get(path, ()))


class Known(msgspec.Struct, frozen=True):
    """A finding of an earlier review that somebody dismissed, or called wrong."""

    fingerprint: str
    category: str
    path: str
    symbol: str
    quote: str
    why: str = ""
    """Why, in that person's words."""

    def is_of(self, candidate: Candidate) -> bool:
        """Whether it is this one: known by its fingerprint, or of the same part with more or less of it quoted."""
        told = candidate.reported
        if self.fingerprint == candidate.fingerprint:
            return True
        here = (told.category, told.path, candidate.symbol)
        return here == (self.category, self.path, self.symbol) and (
            is_quoted_in(self.quote, told.quote) or is_quoted_in(told.quote, self.quote)
        )


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """By what is chosen."""

    passes: int
    """How many times the same was read, whoever did; without the reading that has no comments."""
    change: Change | None = None
    """`None`: files are reviewed, and all of their lines count."""
    has_formatter: bool = False
    """Whether the project has a formatter or linter, which knows more of style."""
    dismissed: Sequence[Known] = ()
    min_confidence: float = 0.65
    min_severity: Severity = "medium"
    max_findings: int = 10


class Withheld(msgspec.Struct, frozen=True):
    """A finding that is not shown, and why."""

    finding: Finding
    reason: Reason


class Gone(msgspec.Struct, frozen=True):
    """A finding that is not looked at further, and why."""

    candidate: Candidate
    reason: Reason


class Together(msgspec.Struct, frozen=True):
    """What several passes found."""

    left: tuple[Candidate, ...]
    """One for each finding, with the votes of all who named it."""
    gone: tuple[Gone, ...]


class Sifted(msgspec.Struct, frozen=True):
    """All findings of a review."""

    shown: tuple[Finding, ...]
    """By severity, then confidence."""
    withheld: tuple[Withheld, ...]

    @property
    def counts(self) -> dict[Reason, int]:
        """How many are withheld, by reason, in the order in which they were looked at."""
        counted = Counter(each.reason for each in self.withheld)
        return {reason: counted[reason] for reason in REASONS if counted[reason]}


def confidence_of(candidate: Candidate, passes: int) -> float:
    """Return how sure a finding is, from 0 to 1: by votes, by what another family says, by its citation."""
    least = max(passes, 2)
    cited = 1.0 if candidate.citation == "verified" else 0.75 if candidate.citation in CORRECTED else 0.0
    votes = min(candidate.votes, least) / least
    return round(_VOTES * votes + _JUDGED * _OF_JUDGED[candidate.judged] + _CITED * cited, 3)


def together(candidates: Iterable[Candidate], rules: Rules) -> Together:
    """Leave out what is no finding for itself, and put together what is one."""
    able, gone = [], []
    for candidate in candidates:
        reason = _why_no_finding(candidate, rules)
        if reason is None:
            able.append(candidate)
        else:
            gone.append(Gone(candidate, reason))
    left, duplicates = merge(able)
    return Together(tuple(left), (*gone, *(Gone(each, "duplicate") for each in duplicates)))


def sift(findings: Together, rules: Rules, repository: str) -> Sifted:
    """Choose what is shown; `repository` is what the ids of findings are of."""
    shown: list[Finding] = []
    gone = list(findings.gone)
    for candidate in findings.left:
        reason = _why_withheld(candidate, rules)
        if reason is None:
            shown.append(Finding.of(candidate, confidence_of(candidate, rules.passes), repository))
        else:
            gone.append(Gone(_with_its_reason(candidate, rules), reason))
    shown.sort(key=lambda each: (rank(each.severity), -each.confidence))
    withheld = [
        Withheld(
            Finding.of(each.candidate, confidence_of(each.candidate, rules.passes), repository), each.reason
        )
        for each in gone
    ]
    withheld += [Withheld(finding, "beyond") for finding in shown[rules.max_findings :]]
    withheld.sort(key=lambda each: REASONS.index(each.reason))
    return Sifted(tuple(shown[: rules.max_findings]), tuple(withheld))


def _why_no_finding(candidate: Candidate, rules: Rules) -> Reason | None:
    told = candidate.reported
    if candidate.citation != "verified" and candidate.citation not in CORRECTED:
        return "unverified"
    change = rules.change
    if change is not None and not (
        change.has(told.path, told.first, told.last) or is_quoted_in(told.caused_by, change.text)
    ):
        return "outside"
    if told.category == "style" and rules.has_formatter:
        return "style"
    return None


def _with_its_reason(candidate: Candidate, rules: Rules) -> Candidate:
    """Return a finding with the reason for which it was dismissed before, if one was given."""
    why = next((known.why for known in rules.dismissed if known.why and known.is_of(candidate)), None)
    if why is None:
        return candidate
    return msgspec.structs.replace(candidate, remarks=(*candidate.remarks, f"You dismissed it: {why}"))


def _why_withheld(candidate: Candidate, rules: Rules) -> Reason | None:
    if any(known.is_of(candidate) for known in rules.dismissed):
        return "dismissed"
    if confidence_of(candidate, rules.passes) < rules.min_confidence:
        return "unconfirmed"
    if not is_as_severe(candidate.reported.severity, rules.min_severity):
        return "low"
    return None
