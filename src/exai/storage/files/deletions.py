"""Rows of what was to be deleted: files, copies at providers, contents; and how it was confirmed.

A row has been confirmed when its `confirmed_at` is set. They are written inside the transactions that decide and end
deletions, and are forgotten after `files.keep_proof_days`.
"""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, delete, update

from exai.storage.dialects import upsert
from exai.storage.schema import deletions

__all__ = [
    "STORE",
    "NewDeletion",
    "What",
    "confirm_deletions",
    "forget_deletions",
    "note_deletion",
    "note_given_up",
]

STORE = "store"
"""The place of files and contents; copies have their provider's name."""


class What(StrEnum):
    """What is deleted."""

    FILE = "file"
    COPY = "copy"
    BLOB = "blob"


_NOTE = upsert(deletions, ("asked_at", "confirmed_at", "confirmed_by", "error_code"))


class NewDeletion(msgspec.Struct, frozen=True):
    """Something that is to be deleted, or is already."""

    what: What
    subject: str
    owner: str | None
    sha256: str | None
    place: str
    asked_at: datetime
    confirmed_at: datetime | None = None
    confirmed_by: str | None = None


def note_deletion(connection: Connection, deletion: NewDeletion) -> None:
    """Note a deletion; an earlier one of the same is replaced."""
    _NOTE.execute(connection, {**msgspec.structs.asdict(deletion), "error_code": None})


def confirm_deletions(
    connection: Connection, copy_ids: Collection[str], confirmed_by: str, at: datetime
) -> None:
    """Note that copies are gone."""
    connection.execute(
        update(deletions)
        .where(deletions.c.what == What.COPY, deletions.c.subject.in_(copy_ids))
        .values(confirmed_at=at, confirmed_by=confirmed_by, error_code=None)
    )


def note_given_up(connection: Connection, copy_ids: Collection[str], error_code: str) -> None:
    """Note that copies could not be deleted."""
    connection.execute(
        update(deletions)
        .where(deletions.c.what == What.COPY, deletions.c.subject.in_(copy_ids))
        .values(error_code=error_code)
    )


def forget_deletions(connection: Connection, before: datetime) -> None:
    """Forget what was confirmed before then."""
    connection.execute(
        delete(deletions).where(deletions.c.confirmed_at.is_not(None), deletions.c.confirmed_at < before)
    )
