"""Writes down what is to be told, in the transaction of the change that it tells.

A notice is one row for each webhook that wants its kind; without such a webhook none is written. The rows are new, so
any group of write operations may insert them.
"""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Connection, insert, select

from exai.config.watching.notify import NoticeKind, Notify
from exai.storage.database import Database
from exai.storage.notices.schema import deliveries
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = [
    "NOBODY",
    "Notice",
    "NoticeWriter",
    "Targets",
    "add_notice",
    "new_delivery",
    "target_of",
    "was_announced",
]


class Notice(msgspec.Struct, frozen=True):
    """What is told of a change. It has names and numbers of EXAI's own, and no text from outside."""

    kind: NoticeKind
    id: str
    """What it is looked up by, such as `E-17`."""
    title: str
    counts: Mapping[str, float]
    about: str = ""
    """What it is one with within an hour, where that is not its id."""


class Targets(msgspec.Struct, frozen=True):
    """Which webhooks want which kinds."""

    by_kind: Mapping[str, tuple[str, ...]] = {}

    @classmethod
    def of(cls, settings: Notify) -> "Targets":
        """Read them from the settings."""
        found: dict[str, tuple[str, ...]] = {}
        for webhook in settings.webhooks:
            for kind in dict.fromkeys(webhook.kinds):
                found[kind] = (*found.get(kind, ()), target_of(webhook.url.get_secret_value()))
        return cls(found)

    def want(self, kind: NoticeKind) -> bool:
        """Whether anybody is told of this kind."""
        return bool(self.by_kind.get(kind))


NOBODY = Targets()
"""Nothing is told."""


def target_of(url: str) -> str:
    """Return what a webhook is known by in rows, which do not have its address."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def add_notice(connection: Connection, targets: Targets, notice: Notice, at: datetime) -> None:
    """Write down what is to be told of a change, as part of its transaction."""
    told = {"id": notice.id, "title": notice.title, "counts": notice.counts}
    rows = [
        new_delivery(at, notice.kind, notice.about or notice.id, target, told) | {"state": "new"}
        for target in targets.by_kind.get(notice.kind, ())
    ]
    if rows:
        connection.execute(insert(deliveries), rows)


def was_announced(connection: Connection, kind: NoticeKind, about: str, since: datetime) -> bool:
    """Whether there is a notice of this kind about the same since then."""
    row = deliveries.c
    query = select(row.delivery_id).where(row.kind == kind, row.about == about, row.at > since).limit(1)
    return connection.execute(query).first() is not None


def new_delivery(
    at: datetime, kind: str, about: str, target: str, facts: Mapping[str, object]
) -> dict[str, object]:
    """Return the row of a delivery that was not tried yet, without its state."""
    return {
        "delivery_id": f"msg_{secrets.token_hex(12)}",
        "at": at,
        "kind": kind,
        "about": about,
        "target": target,
        "body": msgspec.json.encode(facts).decode(),
        "attempts": 0,
    }


class NoticeWriter:
    """Writes notices of what has no row of its own: the notice is the first of it that is kept."""

    def __init__(self, database: Database, targets: Targets) -> None:
        self._database = database
        self._targets = targets

    def write_soon(self, notice: Notice, at: datetime) -> None:
        """Queue a notice; an outage of the database delays it, and the death of the process may lose it."""
        if self._targets.want(notice.kind):
            self._database.write_soon(_write, (self._targets, notice, at), durable=True)


@row_by_row(LockGroup.DELIVERIES)
def _write(connection: Connection, written: tuple[Targets, Notice, datetime]) -> None:
    targets, notice, at = written
    add_notice(connection, targets, notice, at)
