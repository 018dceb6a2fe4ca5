"""Statements on tokens and the refresh tokens of their families; the states are described in `tables`."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from exai.storage.identity.revocations import end_tokens, raise_revision, read_epoch
from exai.storage.identity.rows import Added, Presented, RefreshRow, Renewal, TokenRow
from exai.storage.schema import refresh_tokens, revocations, signing_keys, tokens
from exai.storage.write_operations import LockGroup, all_at_once, row_by_row

__all__ = [
    "MOST_SUCCESSORS",
    "add_token",
    "note_use",
    "prune_identity",
    "read_presented",
    "read_token",
    "read_tokens",
    "renew_token",
]

MOST_SUCCESSORS = 32
"""Of one refresh token, unused at once."""


def read_token(connection: Connection, token_id: str) -> TokenRow | None:
    """Read one row."""
    row = connection.execute(select(tokens).where(tokens.c.token_id == token_id)).mappings().first()
    return None if row is None else TokenRow(**row)


def read_tokens(connection: Connection) -> list[TokenRow]:
    """Read every row, the newest first."""
    query = select(tokens).order_by(tokens.c.created_at.desc(), tokens.c.token_id)
    return [TokenRow(**row) for row in connection.execute(query).mappings()]


def read_presented(connection: Connection, refresh_id: str) -> Presented | None:
    """Read a refresh token and the token that it renews."""
    refresh = _refresh(connection, refresh_id)
    token = None if refresh is None else read_token(connection, refresh.token_id)
    return None if refresh is None or token is None else Presented(refresh, token)


def _refresh(connection: Connection, refresh_id: str) -> RefreshRow | None:
    query = select(refresh_tokens).where(refresh_tokens.c.refresh_id == refresh_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else RefreshRow(**row)


@row_by_row(LockGroup.IDENTITY)
def add_token(connection: Connection, parameters: tuple[TokenRow, RefreshRow | None, str | None]) -> Added:
    """Add a token and revoke the one that it replaces. Only the latter changes anything for a client."""
    token, refresh, replaces = parameters
    epoch = read_epoch(connection, token.subject)
    if epoch is not None and token.created_at <= epoch:
        return "outdated"
    if replaces is not None:
        if not end_tokens(connection, [replaces], token.created_at):
            return "nothing to replace"
        raise_revision(connection)
    connection.execute(insert(tokens), msgspec.structs.asdict(token))
    if refresh is not None:
        connection.execute(insert(refresh_tokens), msgspec.structs.asdict(refresh))
    return "kept"


@row_by_row(LockGroup.IDENTITY)
def renew_token(connection: Connection, renewal: Renewal) -> bool:
    """Add a successor, unless the refresh token that was presented has been spent, or its token revoked, meanwhile."""
    presented = read_presented(connection, renewal.presented_id)
    if presented is None or presented.refresh.spent_at is not None or presented.token.revoked_at is not None:
        return False
    successor = renewal.successor
    # What was signed before by a clock that was ahead may live longer, and its revocation must as well.
    until = max(renewal.access_until, presented.token.access_until or renewal.access_until)
    _spend_parent_of(connection, presented.refresh, successor.created_at)
    connection.execute(insert(refresh_tokens), msgspec.structs.asdict(successor))
    _drop_surplus_successors(connection, successor)
    connection.execute(
        update(tokens)
        .where(tokens.c.token_id == successor.token_id)
        .values(expires_at=max(successor.expires_at, until), access_until=until)
    )
    return True


def _drop_surplus_successors(connection: Connection, newest: RefreshRow) -> None:
    """Bound how many rows one refresh token makes that is shown again and again, as if every answer were lost.

    The oldest go, as answers that never came; the access tokens of those are still revoked with their family.
    """
    row = refresh_tokens.c
    surplus = (
        select(row.refresh_id)
        .where(
            row.parent_id == newest.parent_id,
            row.spent_at.is_(None),
            row.refresh_id != newest.refresh_id,
        )
        .order_by(row.created_at.desc(), row.refresh_id)
        .offset(MOST_SUCCESSORS - 1)
    )
    surplus_ids = list(connection.scalars(surplus))
    if surplus_ids:
        connection.execute(delete(refresh_tokens).where(row.refresh_id.in_(surplus_ids)))


@all_at_once(LockGroup.IDENTITY)
def note_use(connection: Connection, many: list[tuple[str, str | None, datetime]]) -> None:
    """Note when tokens were used, and spend what the refresh tokens that came with them were exchanged for.

    Most of those succeed nothing; one query finds the others.
    """
    connection.execute(
        update(tokens).where(tokens.c.token_id == bindparam("of_token")).values(last_used_at=bindparam("at")),
        [{"of_token": token_id, "at": at} for token_id, _, at in many],
    )
    row = refresh_tokens.c
    succeeding = connection.scalars(
        select(row.refresh_id).where(
            row.refresh_id.in_([refresh_id for _, refresh_id, _ in many if refresh_id is not None]),
            row.parent_id.is_not(None),
            row.spent_at.is_(None),
        )
    )
    found = set(succeeding)
    for _, refresh_id, at in many:
        refresh = _refresh(connection, refresh_id) if refresh_id is not None and refresh_id in found else None
        if refresh is not None and refresh.spent_at is None:
            _spend_parent_of(connection, refresh, at)


def _spend_parent_of(connection: Connection, refresh: RefreshRow, at: datetime) -> None:
    """Spend the parent of a refresh token that is used, and its siblings, whose answers were lost on the way."""
    if refresh.parent_id is None:
        return
    row = refresh_tokens.c
    connection.execute(
        update(refresh_tokens)
        .where(
            row.spent_at.is_(None),
            row.refresh_id != refresh.refresh_id,
            or_(row.refresh_id == refresh.parent_id, row.parent_id == refresh.parent_id),
        )
        .values(spent_at=at)
    )


@row_by_row(LockGroup.IDENTITY)
def prune_identity(connection: Connection, parameters: tuple[datetime, datetime]) -> int:
    """Delete what ended before a moment, and keys that verify no more; how many tokens that were."""
    now, ended_before = parameters
    connection.execute(delete(revocations).where(revocations.c.keep_until < ended_before))
    connection.execute(delete(refresh_tokens).where(refresh_tokens.c.expires_at < ended_before))
    connection.execute(delete(signing_keys).where(signing_keys.c.verifies_until < now))
    return connection.execute(
        delete(tokens).where(or_(tokens.c.expires_at < ended_before, tokens.c.revoked_at < ended_before))
    ).rowcount
