"""Rows of extracted texts: which text was read from which content, by which method.

A text is a content of its own, which the extract refers to until the content that it was read from is deleted. It
belongs to nobody: who has a file of the document may read it.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, select

from exai.storage.database import Database
from exai.storage.dialects import upsert
from exai.storage.files.rows import (
    DELETING,
    LIVE,
    condemn_unless_referred_to,
    refer,
    release_claims,
    set_state,
)
from exai.storage.schema import blobs, extracts, file_references, file_uploads
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["NOBODY", "ExtractRow", "ExtractTable", "forget_extracts"]

BY_EXTRACT = "extract"
NOBODY = ""
"""The owner of extracted texts; no caller has this name."""


class ExtractRow(msgspec.Struct, frozen=True):
    """What was read from a content."""

    sha256: str
    """Of the content."""
    method: str
    version: int
    """Of the method: another one reads the content again."""
    at: datetime
    text_sha256: str | None = None
    text_bytes: int = 0
    pages: int = 0
    cut: str | None = None
    """Why the text is not all of it."""
    refused: str | None = None
    """Why there is no text, by a word."""


class ExtractTable:
    """Finds and keeps rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, sha256: str, method: str, version: int) -> ExtractRow | None:
        """Find what was read from a content."""
        query = select(extracts).where(
            extracts.c.sha256 == sha256, extracts.c.method == method, extracts.c.version == version
        )
        row = await self._database.read(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else ExtractRow(**row)

    async def keep(self, row: ExtractRow, upload_id: str | None = None) -> bool:
        """Keep a row, whose text an upload has put to its place; `False` if its content is gone meanwhile.

        Raises:
            StoreFailed: that is not sure.
        """
        return await self._database.write(_keep, (row, upload_id))

    async def forget(self, sha256: str, at: datetime) -> None:
        """Forget all that was read from a content, so that it is read again.

        Raises:
            StoreFailed: it was not forgotten.
        """
        await self._database.write(_forget, (sha256, at))


_UPSERT = upsert(extracts, ("text_sha256", "text_bytes", "pages", "cut", "refused", "at"))


@row_by_row(LockGroup.FILES)
def _keep(connection: Connection, write: tuple[ExtractRow, str | None]) -> bool:
    row, upload_id = write
    state = connection.scalar(select(blobs.c.state).where(blobs.c.sha256 == row.sha256))
    if state is None or state == DELETING:
        return False
    connection.execute(
        delete(extracts).where(
            extracts.c.sha256 == row.sha256,
            extracts.c.method == row.method,
            extracts.c.version != row.version,
        )
    )
    _UPSERT.execute(connection, msgspec.structs.asdict(row))
    if row.text_sha256 is not None:
        set_state(connection, row.text_sha256, LIVE, row.at)
        _let_go(connection, row.sha256, row.method, row.at, but=row.text_sha256)
        if not _is_held(connection, row):
            refer(connection, row.text_sha256, NOBODY, BY_EXTRACT, _subject(row.sha256, row.method), row.at)
    if upload_id is not None:
        release_claims(connection, upload_id, row.at)
        connection.execute(delete(file_uploads).where(file_uploads.c.upload_id == upload_id))
    return True


@row_by_row(LockGroup.FILES)
def _forget(connection: Connection, write: tuple[str, datetime]) -> None:
    sha256, at = write
    forget_extracts(connection, [sha256], at)


def forget_extracts(connection: Connection, digests: Sequence[str], at: datetime) -> None:
    """Forget what was read from contents; texts that nobody else needs are condemned."""
    rows = connection.execute(
        select(extracts.c.sha256, extracts.c.method).where(extracts.c.sha256.in_(digests)).distinct()
    ).all()
    for sha256, method in rows:
        _let_go(connection, sha256, method, at)
    connection.execute(delete(extracts).where(extracts.c.sha256.in_(digests)))


def _subject(sha256: str, method: str) -> str:
    return f"{sha256}:{method}"


def _is_held(connection: Connection, row: ExtractRow) -> bool:
    held = connection.scalar(
        select(file_references.c.at).where(
            file_references.c.sha256 == row.text_sha256,
            file_references.c.owner == NOBODY,
            file_references.c.reason == BY_EXTRACT,
            file_references.c.subject == _subject(row.sha256, row.method),
        )
    )
    return held is not None


def _let_go(
    connection: Connection, sha256: str, method: str, at: datetime, *, but: str | None = None
) -> None:
    """Give up the texts that were read from a content by a method; `but` is kept."""
    of_extract = (file_references.c.reason == BY_EXTRACT) & (
        file_references.c.subject == _subject(sha256, method)
    )
    texts = connection.scalars(select(file_references.c.sha256).where(of_extract)).all()
    for text in texts:
        if text != but:
            connection.execute(delete(file_references).where(of_extract, file_references.c.sha256 == text))
            condemn_unless_referred_to(connection, text, at)
