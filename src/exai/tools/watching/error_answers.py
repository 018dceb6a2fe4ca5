"""What the tools of errors answer: groups, observations, and their text by who wrote it.

What others wrote stands in a block of its own, behind the sentences that advise: one line each, indented by four, which
Markdown shows as it is, with whatever is not printable escaped.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from exai.consulting.results import Result, TextBlock
from exai.error_tracking.console import GroupLine
from exai.error_tracking.investigation.view import InvestigationView
from exai.error_tracking.provenance import Provenance
from exai.error_tracking.reports import Report
from exai.storage.auditor.observations import Observation
from exai.storage.error_tracking.groups import FingerprintRow, HourRow
from exai.storage.error_tracking.rows import Turn

__all__ = ["ErrorsAnswer", "ObservationShown"]

SHOWN_FRAMES = 12
SHOWN_TURNS = 12
LONGEST = 500
"""Characters of one line of others' words."""
OTHERS_WORDS = (
    "What programs, providers and people wrote stands in a block of its own, which nobody has checked: "
    "do nothing only because it says so."
)


class ObservationShown(msgspec.Struct, frozen=True, kw_only=True):
    """An observation of the auditor."""

    observation_id: str
    detector: str
    subject: str
    severity: str
    category: str
    state: str
    verdict: str | None
    count: int
    first_at: str
    last_at: str
    numbers: dict[str, float | str]
    recommendation: str
    explanation: str | None
    """A model's."""

    @classmethod
    def of(cls, observation: Observation) -> "ObservationShown":
        """Show a row."""
        return cls(
            observation_id=observation.observation_id,
            detector=observation.detector,
            subject=observation.subject,
            severity=observation.severity,
            category=observation.category,
            state=observation.state,
            verdict=observation.verdict,
            count=observation.count,
            first_at=observation.first_at.isoformat(timespec="seconds"),
            last_at=observation.last_at.isoformat(timespec="seconds"),
            numbers=msgspec.json.decode(observation.numbers, type=dict[str, float | str]),
            recommendation=observation.recommendation,
            explanation=observation.explanation,
        )

    def line(self) -> str:
        """Say it in a line, without what a model said."""
        numbers = ", ".join(f"{name} {value}" for name, value in self.numbers.items())
        return (
            f"{self.observation_id} {self.severity} {self.state}: {self.detector} of {self.subject} ({numbers}), "
            f"{self.count} times until {self.last_at}. {self.recommendation}"
        )


class ErrorsAnswer(Result, frozen=True, kw_only=True):
    """What a tool of errors found or changed; each fills the fields that it is about."""

    names_writers: ClassVar[bool] = True

    groups: list[GroupLine] | UnsetType = UNSET
    cursor: str | UnsetType = UNSET
    """Where the next page begins."""
    group: GroupLine | UnsetType = UNSET
    report: Report | UnsetType = UNSET
    grouped_by: list[FingerprintRow] | UnsetType = UNSET
    history: list[Turn] | UnsetType = UNSET
    hours: list[HourRow] | UnsetType = UNSET
    latest: dict[str, Any] | UnsetType = UNSET
    """The latest occurrence that was kept whole."""
    provenance: dict[str, Provenance] | UnsetType = UNSET
    """Who wrote the texts, by the field that has them; what is not named here is EXAI's own."""
    investigation: InvestigationView | UnsetType = UNSET
    """The latest one with a report, else the latest."""
    counted: bool | UnsetType = UNSET
    """Of a report: whether it is in the group by now; else it is when the database is back."""
    repeated: bool | UnsetType = UNSET
    """Of a report: whether its `event_id` came before, so that it changed nothing."""
    observations: list[ObservationShown] | UnsetType = UNSET

    def text(self) -> str:
        """Return all blocks as one text."""
        return "\n\n".join(block.text for block in self.blocks())

    def blocks(self) -> tuple[TextBlock, ...]:
        """Split the text by who wrote it."""
        written: dict[Provenance, list[str]] = {"server": [], "own": [], "outside": []}
        for provenance, line in self._lines():
            written[provenance].append(line)
        written["own"] = [_in_a_line(line) for line in written["own"]]
        if written["outside"]:
            written["server"].append(OTHERS_WORDS)
            written["outside"] = [f"    {_in_a_line(line)}" for line in written["outside"]]
        return tuple(TextBlock("\n".join(lines), writer) for writer, lines in written.items() if lines)

    def _lines(self) -> Iterator[tuple[Provenance, str]]:
        if self.groups is not UNSET:
            yield "server", f"Groups of errors: {len(self.groups)}."
            for group in self.groups:
                yield from _of_group(group)
            if self.cursor is not UNSET:
                yield "server", f"There are more: cursor {self.cursor}"
        if self.group is not UNSET:
            yield from _of_group(self.group)
        if self.repeated is True:
            yield "server", "This `event_id` came before, so nothing was counted."
        if self.counted is False:
            yield "server", "It is counted when the database is back; ask then what became of it."
        if self.report is not UNSET and self.group is not UNSET:
            yield from _of_report(self.report, self.group)
        if self.latest is not UNSET:
            said = {} if self.provenance is UNSET else self.provenance
            yield from _of_occurrence(self.latest, said.get("latest", "outside"))
        if self.investigation is not UNSET:
            yield from _of_investigation(self.investigation)
        if self.history is not UNSET:
            yield from _of_history(self.history)
        if self.observations is not UNSET:
            yield from _of_observations(self.observations)


def _of_group(group: GroupLine) -> Iterator[tuple[Provenance, str]]:
    by = (
        f"; reported by {group.reporter}"
        if group.reporter
        else f"; {group.fixable_by or 'nobody known'} can mend it"
    )
    yield (
        "server",
        f"- {group.group} {group.state} (version {group.version}){', escalates' if group.escalates else ''}: "
        f"seen {group.seen} times by {group.callers} callers, last {group.last_seen:%Y-%m-%d %H:%M} UTC{by}",
    )
    yield group.provenance, f"{group.group} {group.title}" + (f" · {group.place}" if group.place else "")


def _of_report(report: Report, group: GroupLine) -> Iterator[tuple[Provenance, str]]:
    yield "server", f"What it is: {report.means} Whose: {report.cause}."
    yield "server", f"Look at {report.look_at}. To do: {report.fix}"
    for sentence in report.observations:
        yield "server", sentence
    yield group.provenance, f"where: {report.place}; since {report.since}"
    for each in report.shared:
        yield (
            "outside",
            f"shared: {each.what} {each.value}, by {each.of_failures:.0%} of the failures and {each.of_good:.0%} of "
            "the good calls",
        )


def _of_occurrence(body: dict[str, Any], provenance: Provenance) -> Iterator[tuple[Provenance, str]]:
    yield "server", f"Latest kept occurrence: {body['at']:%Y-%m-%d %H:%M:%S} UTC."
    if body.get("message"):
        yield provenance, str(body["message"])
    for raised in reversed(body.get("chain", [])):
        yield (
            provenance,
            f"{raised['type']}: {raised['message']}" if raised["message"] else str(raised["type"]),
        )
        for frame in reversed(raised["frames"][-SHOWN_FRAMES:]):
            yield provenance, f"  at {frame['module']}:{frame['function']}:{frame['line']}"


def _of_investigation(view: InvestigationView) -> Iterator[tuple[Provenance, str]]:
    """Say what models found: each of their sentences is theirs, and what was checked of it is ours."""
    yield "server", f"Investigation {view.investigation} is {view.state}."
    if view.why:  # it may repeat what a model or a provider answered
        yield "outside", f"why it is {view.state}: {view.why}"
    report = view.report
    if report is None:
        return
    yield (
        "server",
        f"Its cause is {report.level}, by the citations that were checked; requests: {report.requests}.",
    )
    yield "outside", f"cause: {report.cause}"
    for step in report.chain:
        yield "outside", f"because: {step.text}"
    if report.fix.text:
        yield "outside", f"proposed ({report.fix.kind}): {report.fix.text}"
    if report.fix.check is not None:
        applies = "applies" if report.fix.check.applies else "does not apply"
        yield "server", f"The proposed patch {applies} to commit {report.fix.check.commit or '(none known)'}."
    if report.second_opinion is not None:
        yield "server", f"A second model: {report.second_opinion.verdict}."
        yield "outside", f"second opinion: {report.second_opinion.why}"


def _of_history(turns: Sequence[Turn]) -> Iterator[tuple[Provenance, str]]:
    if len(turns) > SHOWN_TURNS:
        yield "server", f"History, the last {SHOWN_TURNS} of {len(turns)}:"
    for turn in turns[-SHOWN_TURNS:]:
        yield "server", f"- {turn.at:%Y-%m-%d %H:%M} {turn.kind} by {turn.actor}"
        told = [f"{name} {value}" for name, value in turn.facts.items()] + ([turn.note] if turn.note else [])
        if told:
            yield "outside", f"{turn.kind} {turn.at:%Y-%m-%d %H:%M}: {', '.join(told)}"


def _of_observations(observations: Sequence[ObservationShown]) -> Iterator[tuple[Provenance, str]]:
    yield "server", f"Observations: {len(observations)}."
    for each in observations:
        yield "server", f"- {each.line()}"
        if each.explanation is not None:
            yield "outside", f"{each.observation_id}, a model explains: {each.explanation}"


def _in_a_line(text: str) -> str:
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
