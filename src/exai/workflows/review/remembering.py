"""What is remembered of a repository: findings that were shown, and what became of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from exai.errors import BadArguments, FileRefused
from exai.evidence.workspace import Workspace
from exai.storage.workflows.findings import FindingTables, KnownFinding, ShownFinding, Verdict
from exai.workflows.review.findings import Candidate, Finding
from exai.workflows.review.fingerprints import squeezed
from exai.workflows.review.noise import Known

__all__ = ["dismissed_of", "note_fixed", "shown_rows"]

MOST_COMPARED = 200
"""Earlier findings whose lines are looked for."""
DISMISSED = frozenset({"dismissed", "wrong"})


def dismissed_of(known: Iterable[KnownFinding]) -> tuple[Known, ...]:
    """Return the findings that somebody dismissed, or called wrong."""
    return tuple(
        Known(row.fingerprint, row.category, row.path, row.symbol, row.quote, reason)
        for row, reason in ((each.finding, each.reason) for each in known if each.verdict in DISMISSED)
    )


async def note_fixed(
    tables: FindingTables, known: Sequence[KnownFinding], workspace: Workspace, at: datetime
) -> int:
    """Call those findings fixed whose quoted lines are gone; return how many there are.

    Raises:
        StoreFailed: a verdict was not kept.
    """
    texts: dict[str, str] = {}
    fixed = 0
    for each in [each for each in known if each.verdict in {None, "accepted"}][:MOST_COMPARED]:
        row = each.finding
        if row.path not in texts:
            texts[row.path] = squeezed(await _text_of(workspace, row.path))
        if squeezed(row.quote) not in texts[row.path]:
            reason = "its lines are gone"
            await tables.judge(Verdict(row.owner, row.repository, row.fingerprint, "fixed", reason, at))
            fixed += 1
    return fixed


def shown_rows(
    findings: Iterable[Finding],
    symbols: Sequence[Candidate],
    owner: str,
    repository: str,
    kind: str,
    models: Sequence[str],
    at: datetime,
) -> list[ShownFinding]:
    """Make rows of the findings that a review shows."""
    named = {each.fingerprint: each for each in symbols}
    return [
        ShownFinding(
            finding_id=finding.id,
            owner=owner,
            repository=repository,
            fingerprint=finding.fingerprint,
            category=finding.category,
            severity=finding.severity,
            path=finding.path,
            symbol=named[finding.fingerprint].symbol,
            quote=finding.quote,
            models=", ".join(models),
            kind=kind,
            month=at.strftime("%Y-%m"),
            shown_at=at,
        )
        for finding in findings
    ]


async def _text_of(workspace: Workspace, path: str) -> str:
    """Return the text of a file as it is; empty: it is gone."""
    lines: list[str] = []
    try:
        read = await workspace.read_lines(path)
        lines += read.lines
        while len(lines) < read.total:
            lines += (await workspace.read_lines(path, len(lines) + 1)).lines
    except (BadArguments, FileRefused):
        pass  # it is gone, or has fewer lines by now
    return "\n".join(lines)
