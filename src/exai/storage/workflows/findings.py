"""Rows of findings that reviews showed, and of what became of them. Every query names the owner."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Select, and_, case, func, select

from exai.storage.database import Database
from exai.storage.dialects import upsert
from exai.storage.schema import findings, verdicts
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = [
    "FindingTables",
    "KnownFinding",
    "ShownFinding",
    "Verdict",
    "VerdictCount",
    "VerdictName",
    "VerdictsOfModels",
]

VerdictName = Literal["accepted", "dismissed", "fixed", "wrong"]
"""`dismissed`: true, and nobody minds. `wrong`: not true. `fixed`: its lines are gone."""


class ShownFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that a review of a repository showed, as it was last."""

    finding_id: str
    owner: str
    repository: str
    fingerprint: str
    category: str
    severity: str
    path: str
    symbol: str
    quote: str
    models: str
    """Who named it, with commas."""
    kind: str
    """Of the review."""
    month: str
    """As `2026-11`."""
    shown_at: datetime


class Verdict(msgspec.Struct, frozen=True):
    """What became of a finding."""

    owner: str
    repository: str
    fingerprint: str
    verdict: VerdictName
    reason: str
    at: datetime


class KnownFinding(msgspec.Struct, frozen=True):
    """A finding, with its verdict if it has one."""

    finding: ShownFinding
    verdict: VerdictName | None
    reason: str = ""
    """Of the verdict, as its owner said it."""


class VerdictCount(msgspec.Struct, frozen=True):
    """How many findings of one kind have one verdict."""

    month: str
    kind: str
    models: str
    verdict: str
    """`none` while nobody gave one."""
    findings: int


class VerdictsOfModels(msgspec.Struct, frozen=True):
    """How many findings that the same models named were judged, and how many of them to be no defects."""

    models: str
    judged: int
    wrong: int


class FindingTables:
    """Finds and changes findings and their verdicts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, owner: str, finding_id: str) -> ShownFinding | None:
        """Find the owner's finding; `None` for an unknown one and for another owner's alike.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = select(*_SHOWN).where(findings.c.owner == owner, findings.c.finding_id == finding_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else _finding(row)

    async def of_repository(self, owner: str, repository: str) -> list[KnownFinding]:
        """List the findings of a repository with their verdicts, the newest first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = (
            _with_verdicts(*_SHOWN, verdicts.c.verdict, verdicts.c.reason)
            .where(findings.c.owner == owner, findings.c.repository == repository)
            .order_by(findings.c.shown_at.desc(), findings.c.finding_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [KnownFinding(_finding(row[:-2]), row[-2], row[-1] or "") for row in rows]

    async def counts(self, owner: str) -> list[VerdictCount]:
        """Count the owner's findings by month, kind of review, models and verdict, the newest month first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        columns = (findings.c.month, findings.c.kind, findings.c.models, verdicts.c.verdict)
        count = func.count()
        query = (
            _with_verdicts(*columns, count)
            .where(findings.c.owner == owner)
            .group_by(*columns)
            .order_by(findings.c.month.desc(), count.desc(), findings.c.kind, findings.c.models)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            VerdictCount(month, kind, models, verdict or "none", found)
            for month, kind, models, verdict, found in rows
        ]

    async def judged(self, owner: str, kind: str) -> list[VerdictsOfModels]:
        """Count what became of the owner's findings in reviews of a kind, by the models that named them.

        Raises:
            StoreFailed: the database is out of reach.
        """
        is_wrong = case((verdicts.c.verdict == "wrong", 1), else_=0)
        query = (
            _with_verdicts(findings.c.models, func.count(), func.sum(is_wrong))
            .where(findings.c.owner == owner, findings.c.kind == kind, verdicts.c.verdict.is_not(None))
            .group_by(findings.c.models)
            .order_by(findings.c.models)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [VerdictsOfModels(models, judged, int(wrong)) for models, judged, wrong in rows]

    async def show(self, shown: Sequence[ShownFinding]) -> None:
        """Keep findings that are shown; what is known of one already is replaced.

        Raises:
            StoreFailed: none was kept.
        """
        if shown:
            await self._database.write(_show, tuple(shown))

    async def judge(self, verdict: Verdict) -> None:
        """Keep a verdict, in the place of an earlier one.

        Raises:
            StoreFailed: it was not kept.
        """
        await self._database.write(_judge, verdict)


_FIELDS = ShownFinding.__struct_fields__
_SHOWN = tuple(findings.c[name] for name in _FIELDS)


def _finding(row: Sequence[Any]) -> ShownFinding:
    return ShownFinding(**dict(zip(_FIELDS, row, strict=True)))


def _with_verdicts(*columns: Any) -> Select[Any]:
    its = and_(
        verdicts.c.owner == findings.c.owner,
        verdicts.c.repository == findings.c.repository,
        verdicts.c.fingerprint == findings.c.fingerprint,
    )
    return select(*columns).select_from(findings.outerjoin(verdicts, its))


_KEY = ("owner", "repository", "fingerprint")
_PUT_FINDING = upsert(findings, [name for name in _FIELDS if name not in _KEY])
_PUT_VERDICT = upsert(verdicts, ["verdict", "reason", "at"])


@row_by_row(LockGroup.WORKFLOWS)
def _show(connection: Connection, shown: tuple[ShownFinding, ...]) -> None:
    for finding in sorted(shown, key=lambda each: each.fingerprint):
        _PUT_FINDING.execute(connection, msgspec.structs.asdict(finding))


@row_by_row(LockGroup.WORKFLOWS)
def _judge(connection: Connection, verdict: Verdict) -> None:
    _PUT_VERDICT.execute(connection, msgspec.structs.asdict(verdict))
