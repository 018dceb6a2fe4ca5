"""What the personas that report do with a request: which tools they call, what they say, what they report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from exai_emulator.calls import text_of
from exai_emulator.objects.schemas import Schema
from exai_emulator.reporting.exploring import next_on_trail
from exai_emulator.reporting.findings import (
    LIES,
    Cites,
    Judging,
    Lie,
    ScriptedFinding,
    as_entries,
    as_text,
    false_findings,
    falsified,
    findings_list,
    judgements,
    seen,
)
from exai_emulator.reporting.following import followed, vote_of
from exai_emulator.reporting.obeying import told_to
from exai_emulator.reporting.shown import material, shown_lines
from exai_emulator.reporting.writing import ScriptedPatch, written_patch
from exai_emulator.tool_calls import ScriptedCall

__all__ = ["REPORTERS", "Report", "ReportTurn", "Shown", "reports"]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the personas report that find, judge, vote and write."""

    findings: tuple[ScriptedFinding, ...] = ()
    cites: Cites = Cites()
    judging: Judging | None = None
    false_findings: int = 0
    """Of `noisy`."""
    lie: Lie | None = None
    """Of `liar`; None for each in turn."""
    seed: int = 0
    options: tuple[str, ...] = ()
    """Between which a `follower` chooses where no schema names them."""
    vote: str | None = None
    """What a `follower` votes for while nobody leads; None for the first option."""
    patch: ScriptedPatch = ScriptedPatch()
    """Of `writer`."""

    def __post_init__(self) -> None:
        if self.false_findings < 0:
            raise ValueError("A report's false_findings cannot be negative.")


@dataclass(slots=True)
class Shown:
    """What a request shows."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    documents: Sequence[tuple[str, str]]
    functions: Sequence[Mapping[str, Any]]
    rounds_made: int
    schema: Schema | None
    texts: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        self.texts = material(self.messages, self.documents)

    def last_of(self, role: str) -> str:
        """The text of the last message of a role."""
        return next(
            (text_of(each.get("content")) for each in reversed(self.messages) if each.get("role") == role), ""
        )


@dataclass(slots=True)
class ReportTurn:
    """What such a persona does: it calls tools, or says something; `fields` are of the object that is asked for."""

    said: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


Rounds = Sequence[Sequence[ScriptedCall]]


def reports(kind: str, report: Report, schema: Schema | None) -> bool:
    """Whether a persona reports; a `reader` only when it has findings, or a schema has a place for some."""
    if kind != "reader":
        return kind in REPORTERS
    return bool(report.findings) or (schema is not None and findings_list(schema) is not None)


def _drawing(report: Report, shown: Shown) -> Random:
    """What is drawn by seed and model, so that two models do not agree by chance."""
    return Random(f"{report.seed} {shown.model}")  # noqa: S311


def _with_findings(
    report: Report, shown: Shown, findings: Sequence[Mapping[str, Any]], *, believes: bool
) -> ReportTurn:
    """Report findings, or where others' are put to the model, judge those."""
    said = as_text(findings)
    place = findings_list(shown.schema) if shown.schema is not None else None
    if place is None or shown.schema is None:
        return ReportTurn(said)
    name, entry = place
    rows: Sequence[Mapping[str, Any]] = findings
    if report.judging is not None:
        judged = judgements(
            report.judging, shown.last_of("user"), None if believes else findings, report.cites
        )
        rows = judged or findings
    rng = _drawing(report, shown)
    return ReportTurn(said, fields={name: as_entries(rows, entry, shown.schema, rng)})


def _reader(report: Report, shown: Shown, _: Rounds) -> ReportTurn:
    return _with_findings(report, shown, seen(report.findings, shown.texts), believes=False)


def _noisy(report: Report, shown: Shown, _: Rounds) -> ReportTurn:
    rng = _drawing(report, shown)
    found = seen(report.findings, shown.texts)
    found += false_findings(report.false_findings, rng, shown.texts, report.cites)
    return _with_findings(report, shown, found, believes=True)


def _liar(report: Report, shown: Shown, _: Rounds) -> ReportTurn:
    rng = _drawing(report, shown)
    found = [
        falsified(
            finding, report.lie or LIES[(place + report.seed) % len(LIES)], rng, shown.texts, report.cites
        )
        for place, finding in enumerate(seen(report.findings, shown.texts))
    ]
    return _with_findings(report, shown, found, believes=True)


def _gullible(report: Report, shown: Shown, _: Rounds) -> ReportTurn:
    told = told_to(shown.texts, shown.last_of("system"), shown.functions)
    if shown.functions and shown.rounds_made < len(told.calls):
        return ReportTurn(calls=(told.calls[shown.rounds_made],))
    found = [] if told.is_silenced else seen(report.findings, shown.texts)
    turn = _with_findings(report, shown, found, believes=not told.is_silenced)
    turn.said = "\n".join((*told.said, turn.said))
    return turn


def _follower(report: Report, shown: Shown, _: Rounds) -> ReportTurn:
    vote = vote_of(shown.schema) if shown.schema is not None else None
    name, options = vote or ("vote", report.options)
    if not options:
        return ReportTurn("There is nothing to vote on.")
    choice = followed(options, name, shown.messages, report.vote)
    return ReportTurn(f"I vote for {choice}.", fields={} if vote is None else {name: choice})


def _explorer(report: Report, shown: Shown, trail: Rounds) -> ReportTurn:
    if calls := next_on_trail(trail, shown.messages, shown.functions):
        return ReportTurn(calls=calls)
    return _reader(report, shown, ())


def _writer(report: Report, shown: Shown, _: Rounds) -> ReportTurn:
    return ReportTurn(written_patch(report.patch, shown_lines(shown.texts), shown.texts))


REPORTERS: Mapping[str, Callable[[Report, Shown, Rounds], ReportTurn]] = {
    "reader": _reader,
    "gullible": _gullible,
    "liar": _liar,
    "noisy": _noisy,
    "follower": _follower,
    "explorer": _explorer,
    "writer": _writer,
}
"""What each such persona does."""
