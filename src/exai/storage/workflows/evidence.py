"""Rows of what was gathered for runs of workflows. They are written with the run that they are of, at its revision."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select

from exai.storage.database import Database
from exai.storage.schema import workflow_evidence, workflows

__all__ = ["EvidenceRow", "EvidenceRows", "put_evidence", "read_evidence"]


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a workspace, with whether and why a model was shown it."""

    number: int
    """From 1; an answer cites it as `E` and this."""
    stage: str
    """That gathered it."""
    source: str
    path: str
    first: int
    last: int
    total: int
    rev: str
    sha256: str
    tokens: int
    why: str
    left_out: str | None
    """Why no model was shown it; `None`: one was."""
    text: str
    """Empty of what was left out."""


class EvidenceRows(msgspec.Struct, frozen=True):
    """Rows that follow a number; they take the place of all that followed it before."""

    after: int
    rows: tuple[EvidenceRow, ...]


_COLUMNS = EvidenceRow.__struct_fields__


async def read_evidence(database: Database, owner: str, workflow_id: str) -> list[EvidenceRow]:
    """List the evidence of an owner's run by its numbers.

    Raises:
        StoreFailed: the database is out of reach.
    """
    query = (
        select(*(workflow_evidence.c[name] for name in _COLUMNS))
        .join(workflows, workflows.c.workflow_id == workflow_evidence.c.workflow_id)
        .where(workflows.c.owner == owner, workflow_evidence.c.workflow_id == workflow_id)
        .order_by(workflow_evidence.c.number)
    )
    rows = await database.read(lambda connection: connection.execute(query).all())
    return [EvidenceRow(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def put_evidence(connection: Connection, workflow_id: str, evidence: EvidenceRows) -> None:
    """Put rows in the place of all that followed their number."""
    connection.execute(
        delete(workflow_evidence).where(
            workflow_evidence.c.workflow_id == workflow_id, workflow_evidence.c.number > evidence.after
        )
    )
    values: Sequence[dict[str, object]] = [
        {"workflow_id": workflow_id, **msgspec.structs.asdict(row)} for row in evidence.rows
    ]
    if values:
        connection.execute(insert(workflow_evidence), values)
