"""The result of a review: findings that are shown, and everything else counted and kept to be read."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

import msgspec

from exai.consulting.answer import More
from exai.errors import ExaiError
from exai.evidence.pieces import CHANGE
from exai.storage.workflows.evidence import EvidenceRow
from exai.workflows.review.answers import Judgements
from exai.workflows.review.categories import Severity
from exai.workflows.review.claims import claims_in
from exai.workflows.review.findings import Candidate, Finding, Judged
from exai.workflows.review.joining import Joined, change_in
from exai.workflows.review.noise import Change, Known, Rules, Sifted, Together, Withheld, sift
from exai.workflows.review.remembering import dismissed_of, note_fixed, shown_rows
from exai.workflows.review.wording import everything, summary
from exai.workflows.stage_output import StageOutput
from exai.workflows.treatments.treated import Treated

__all__ = ["ReviewResult", "report"]

LEAST_CONFIDENCE = 0.65
LEAST_OF_ONE_PASS = 0.55
MOST_FINDINGS = 10
MOST_WITHHELD = 200
"""Withheld findings that a run keeps in its row; the file has all."""
MOST_UNSEEN = 5
"""Files that are named of those that were not looked at."""
FILE_NAME = "review.md"
NOTHING = "Nothing to review"
UNREAD = "Not reviewed: what the models answered cannot be read as findings. What the first one wrote:"
UNNAMED = "snapshot"
"""The repository of snapshots that nobody gave a name: what is gone of one may be there in another."""


class ReviewResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a review comes to."""

    findings: tuple[Finding, ...] = ()
    withheld: dict[str, int] = {}
    looked_at: str = ""
    more: tuple[More, ...] = ()
    notes: tuple[str, ...] = ()
    withheld_findings: tuple[Withheld, ...] = ()
    """All that are not shown, or as many as a reader may want to look through."""
    is_unread: bool = False
    """Whether models answered, and none of it could be read as findings."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a call says of the choice."""

    min_severity: Severity = "medium"
    min_confidence: float | None = None
    max_findings: int = MOST_FINDINGS
    repository: str = ""


async def report(work: Treated) -> StageOutput:
    """Choose what is shown of the findings that the first stage of `of` joined, by what the others say of them.

    Raises:
        ToolFault: the workspace or the database is out of reach.
    """
    source, *judges = work.of
    joined = work.value_of(source, Joined)
    if joined is None or not joined.passes:
        return _without_pass(work)
    options = msgspec.convert(dict(work.request.options), Options)
    at = work.ports.clock.utc()
    repository, dismissed, fixed = await _remembered(work, options.repository, at)
    judged = _judged(work, judges)
    is_alone = len(joined.passes) == 1 and not judged
    least = LEAST_OF_ONE_PASS if is_alone else LEAST_CONFIDENCE
    change = change_in(work.evidence)
    rules = Rules(
        passes=joined.counted,
        change=change,
        has_formatter=joined.has_formatter,
        dismissed=dismissed,
        min_confidence=least if options.min_confidence is None else options.min_confidence,
        min_severity=options.min_severity,
        max_findings=options.max_findings,
    )
    left = _with_judgements(joined.together.left, judged)
    sifted = sift(Together(left, joined.together.gone), rules, repository)
    kind = work.request.inputs.get("kind", "full")
    rows = shown_rows(sifted.shown, left, work.owner, repository, kind, joined.models, at)
    await work.ports.findings.show(rows)
    more, unkept = await _stored(work, sifted)
    looked_at = _looked_at(work.evidence)
    value = ReviewResult(
        findings=sifted.shown,
        withheld={str(reason): count for reason, count in sifted.counts.items()},
        withheld_findings=sifted.withheld[:MOST_WITHHELD],
        looked_at=looked_at,
        more=more,
        notes=(*_notes(change, work.evidence, alone=is_alone), *fixed, *unkept),
    )
    return StageOutput("", summary(sifted, looked_at), msgspec.to_builtins(value))


async def _remembered(work: Treated, named: str, at: datetime) -> tuple[str, tuple[Known, ...], list[str]]:
    """Return what the repository is known as, what was dismissed there, and what is fixed by now."""
    tables = work.ports.findings
    async with work.ports.workspaces.open(work.owner, work.request.workspace) as workspace:
        repository = named or workspace.folder or UNNAMED
        known = await tables.of_repository(work.owner, repository)
        fixed = 0
        if known and repository != UNNAMED:
            fixed = await note_fixed(tables, known, workspace, at)
    notes = [f"Fixed since an earlier review, as their lines are gone: {fixed}."] if fixed else []
    return repository, dismissed_of(known), notes


def _judged(work: Treated, judges: Sequence[str]) -> dict[int, tuple[Judged, str]]:
    """Return what was said of findings that were put to somebody, by their numbers."""
    said = {}
    for stage in judges:
        answer = work.value_of(stage, Judgements)
        for each in answer.judgements if answer is not None else ():
            number = each.id.strip().upper().removeprefix("R")
            if number.isdecimal():
                said[int(number)] = (each.verdict, each.reason)
    return said


def _with_judgements(
    candidates: Sequence[Candidate], judged: Mapping[int, tuple[Judged, str]]
) -> tuple[Candidate, ...]:
    return tuple(
        msgspec.structs.replace(each, judged=judged[number][0], reason=judged[number][1])
        if number in judged
        else each
        for number, each in enumerate(candidates, start=1)
    )


async def _stored(work: Treated, sifted: Sifted) -> tuple[tuple[More, ...], list[str]]:
    """Keep all findings as a file of the caller's, where some are withheld."""
    if not sifted.withheld:
        return (), []
    content = everything(sifted).encode(errors="replace")

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    try:
        row = await work.ports.shelf.put(work.owner, FILE_NAME, len(content), pieces())
    except ExaiError as fault:
        return (), [f"The withheld findings could not be kept as a file: {fault}"]
    return (More(row.file_id, 1),), []


def _without_pass(work: Treated) -> StageOutput:
    """Say that there was nothing to read, that nobody answered, or what was answered where none of it is findings."""
    texts = [output.text for output in work.outputs.values() if output.model and output.text]
    if texts:
        said = "\n".join(f"│{line}" for line in texts[0].splitlines())
        unread = ReviewResult(looked_at=_looked_at(work.evidence), is_unread=True)
        return StageOutput("", f"{UNREAD}\n\n{said}", msgspec.to_builtins(unread))
    why = (
        "no pass was answered"
        if work.has_failed
        else "the change is empty, or none of its files can be shown"
    )
    nothing = msgspec.to_builtins(ReviewResult(looked_at="0 of 0 files"))
    return StageOutput("", f"{NOTHING}: {why}.", nothing)


def _looked_at(rows: Sequence[EvidenceRow]) -> str:
    """Say how many of the files were shown that change, or else that were named."""
    source = CHANGE if any(row.source == CHANGE for row in rows) else "named_paths"
    its = [row for row in rows if row.source == source]
    shown = {row.path for row in its if row.left_out is None}
    return f"{len(shown)} of {len({row.path for row in its})} files"


def _notes(change: Change | None, rows: Sequence[EvidenceRow], *, alone: bool) -> list[str]:
    notes = []
    if alone:
        notes.append("One pass alone was made, so its findings are unconfirmed.")
    if change is not None and (claims := claims_in(change.text)):
        notes.append("Comments of the change claim a check, which is no proof: " + "; ".join(claims))
    missing = {row.path for row in rows if row.source == CHANGE and row.left_out is not None}
    shown = {row.path for row in rows if row.source == CHANGE and row.left_out is None}
    if unseen := sorted(missing - shown):
        more = f" and {len(unseen) - MOST_UNSEEN} more" if len(unseen) > MOST_UNSEEN else ""
        notes.append(f"Not looked at, for want of room: {', '.join(unseen[:MOST_UNSEEN])}{more}.")
    return notes
