"""Statements that revoke: tokens of our own, those of other issuers, and everything of a principal."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from exai.config.auth import OWN_ISSUER
from exai.storage.dialects import insert_if_absent, upsert
from exai.storage.schema import auth_revision, principals, revocations, tokens
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = [
    "end_tokens",
    "raise_revision",
    "read_epoch",
    "read_revision",
    "revoke_foreign",
    "revoke_own",
    "revoke_subject",
]

_KEEP_REVOCATION_OF_KEY = timedelta(days=1)
"""API keys are looked up in the database; by then every process has dropped what it remembered of one."""

_REVISION = select(auth_revision.c.revision).where(auth_revision.c.id == 1)
_RAISE = update(auth_revision).where(auth_revision.c.id == 1).values(revision=auth_revision.c.revision + 1)
_ADD = insert_if_absent(revocations)
_END_PRINCIPAL = upsert(principals, ("epoch_at",), only_if_greater="epoch_at")
"""A clock that is behind gives nothing back."""


def read_revision(connection: Connection) -> int:
    """Read the number that every change raises."""
    revision: int = connection.execute(_REVISION).scalar_one()
    return revision


def raise_revision(connection: Connection) -> None:
    """Let every process learn that the tables of identity have changed."""
    connection.execute(_RAISE)


def read_epoch(connection: Connection, subject: str) -> datetime | None:
    """Read up to when everything that was issued to a principal is revoked."""
    return connection.scalar(select(principals.c.epoch_at).where(principals.c.subject == subject))


@row_by_row(LockGroup.IDENTITY)
def revoke_own(connection: Connection, parameters: tuple[str, datetime]) -> bool:
    """Revoke a token of our own; whether it was not revoked before."""
    token_id, now = parameters
    raise_revision(connection)
    return end_tokens(connection, [token_id], now) == 1


@row_by_row(LockGroup.IDENTITY)
def revoke_foreign(connection: Connection, parameters: tuple[str, str, datetime, datetime]) -> None:
    """Revoke another issuer's token until the moment at which it expires anyway."""
    issuer, token_id, now, keep_until = parameters
    raise_revision(connection)
    _add_revocation(connection, issuer, token_id, now, keep_until)


@row_by_row(LockGroup.IDENTITY)
def revoke_subject(connection: Connection, parameters: tuple[str, datetime]) -> int:
    """Revoke everything that was issued to a principal up to now; how many tokens of our own that were."""
    subject, now = parameters
    raise_revision(connection)
    _END_PRINCIPAL.execute(connection, {"subject": subject, "epoch_at": now})
    living = select(tokens.c.token_id).where(tokens.c.subject == subject, tokens.c.revoked_at.is_(None))
    return end_tokens(connection, list(connection.scalars(living)), now)


def end_tokens(connection: Connection, token_ids: Iterable[str], now: datetime) -> int:
    """Revoke tokens of our own; how many of them had not been."""
    ended = 0
    for token_id in token_ids:
        this = tokens.c.token_id == token_id
        living = tokens.c.revoked_at.is_(None)
        if connection.execute(update(tokens).where(this, living).values(revoked_at=now)).rowcount:
            ended += 1
            until: datetime | None = connection.scalar(select(tokens.c.access_until).where(this))
            _add_revocation(connection, OWN_ISSUER, token_id, now, until or now + _KEEP_REVOCATION_OF_KEY)
    return ended


def _add_revocation(
    connection: Connection, issuer: str, token_id: str, now: datetime, keep_until: datetime
) -> None:
    row = {"issuer": issuer, "token_id": token_id, "revoked_at": now, "keep_until": keep_until}
    _ADD.execute(connection, row)
