"""Rows of identity: signing keys, tokens, and what ended them.

Whatever changes who may come in raises the one revision in the same transaction, so that every process on the
database learns of it by reading one number.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Literal, TypeVar

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from exai.config.auth import OWN_ISSUER
from exai.storage.database import Database
from exai.storage.schema import auth_revision, principals, refresh_tokens, revocations, signing_keys, tokens

__all__ = ["Added", "IdentityTables", "KeyRow", "Picture", "Presented", "RefreshRow", "Renewal", "TokenRow"]

P = TypeVar("P")
R = TypeVar("R")

Added = Literal["kept", "nothing to replace", "outdated"]
"""What became of a token that was made; "outdated": meanwhile its principal's were ended, and it with them."""

MOST_SUCCESSORS = 32
"""Of one refresh token, unused at once."""

_SLACK = timedelta(seconds=60)
"""By how much a retired key outlives the tokens that it signed."""

_KEEP_REVOCATION_OF_KEY = timedelta(days=1)
"""An API key is looked up whenever a process meets it; until then each has let go of what it knew of it."""


class KeyRow(msgspec.Struct, frozen=True):
    """A signing key's public half."""

    kid: str
    algorithm: str
    public_key: str
    created_at: datetime
    retired_at: datetime | None = None
    verifies_until: datetime | None = None


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was given to one client: an API key, or access tokens and the refresh tokens that renew them."""

    token_id: str
    kind: str
    name: str
    subject: str
    scopes: str
    access_s: float | None
    secret_sha256: str | None
    created_at: datetime
    expires_at: datetime | None
    access_until: datetime | None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class RefreshRow(msgspec.Struct, frozen=True, kw_only=True):
    """One refresh token."""

    refresh_id: str
    token_id: str
    parent_id: str | None
    secret_sha256: str
    created_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None


class Presented(msgspec.Struct, frozen=True):
    """A refresh token that a client shows, with the token it renews."""

    refresh: RefreshRow
    token: TokenRow


class Renewal(msgspec.Struct, frozen=True):
    """What takes the place of a refresh token."""

    presented_id: str
    successor: RefreshRow
    access_until: datetime


class Picture(msgspec.Struct, frozen=True):
    """Everything that verifying needs, as of one revision."""

    revision: int
    keys: list[KeyRow]
    revoked: list[tuple[str, str]]
    epochs: dict[str, datetime]


class IdentityTables:
    """Reads and writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revision(self) -> int:
        """The number that every change raises.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._database.read(_revision)

    async def picture(self, now: datetime) -> Picture:
        """The keys that verify, and what is revoked: all that is kept, for a clock may be set back."""
        return await self._database.read(lambda connection: _picture(connection, now))

    async def keys(self) -> list[KeyRow]:
        """Every signing key, the newest first."""
        return await self._database.read(_keys)

    async def add_key(self, key: KeyRow) -> None:
        """Let a key verify from now on.

        Raises:
            StoreFailed: it was not kept.
        """
        await self._database.write(_add_key, key)

    async def replace_keys(self, key: KeyRow, *, at_once: bool, least: timedelta) -> None:
        """Let a key sign and verify, and every other sign no more.

        Each of those goes on to verify until the last access token is over that may be signed with it, for `least` in
        any case, unless it is to end `at_once`.

        Raises:
            StoreFailed: everything is as it was.
        """
        await self._database.write(_replace_keys, (key, at_once, least))

    async def add(self, token: TokenRow, refresh: RefreshRow | None, *, replaces: str | None = None) -> Added:
        """Keep what was made, and end what it replaces."""
        return await self._database.write(_add, (token, refresh, replaces))

    async def token(self, token_id: str) -> TokenRow | None:
        """One row."""
        return await self._database.read(lambda connection: _token(connection, token_id))

    async def tokens(self) -> list[TokenRow]:
        """Every row, the newest first."""
        query = select(tokens).order_by(tokens.c.created_at.desc(), tokens.c.token_id)
        return await self._database.read(
            lambda connection: [TokenRow(**row) for row in connection.execute(query).mappings()]
        )

    async def presented(self, refresh_id: str) -> Presented | None:
        """A refresh token by its id."""
        return await self._database.read(lambda connection: _presented(connection, refresh_id))

    async def renew(self, renewal: Renewal) -> bool:
        """Keep a successor, unless what it succeeds is spent by now or its token over: then `False`."""
        return await self._database.write(_renew, renewal)

    def used_soon(self, token_id: str, refresh_id: str | None, at: datetime) -> None:
        """A client shows a token, or what it got with that refresh token: what this was exchanged for is spent now."""
        self._database.write_soon(_use, (token_id, refresh_id, at))

    async def epoch(self, subject: str) -> datetime | None:
        """Until when everything issued to a principal is over."""
        return await self._database.read(lambda connection: _epoch(connection, subject))

    async def revoke(self, token_id: str, now: datetime) -> bool:
        """End a token of our own; whether there was one that was not over."""
        return await self._database.write(_revoke_own, (token_id, now))

    async def revoke_foreign(self, issuer: str, token_id: str, now: datetime, keep_until: datetime) -> None:
        """End another issuer's token, known or not."""
        await self._database.write(_revoke_foreign, (issuer, token_id, now, keep_until))

    async def revoke_subject(self, subject: str, now: datetime) -> int:
        """End whatever was issued to a principal up to now; how many tokens of our own that were."""
        return await self._database.write(_revoke_subject, (subject, now))

    async def prune(self, now: datetime, ended_before: datetime) -> int:
        """Drop what has been over since `ended_before`; how many tokens that were."""
        return await self._database.write(_prune, (now, ended_before))


_Operation = Callable[[Connection, list[P]], list[R]]

_THE_REVISION = select(auth_revision.c.revision).where(auth_revision.c.id == 1)
_RAISE = update(auth_revision).where(auth_revision.c.id == 1).values(revision=auth_revision.c.revision + 1)


def _in_turn(operation: Callable[[Connection, P], R]) -> _Operation[P, R]:
    """Changes take the revision's row first: they wait for one another there, and never in a circle."""

    @wraps(operation)
    def run(connection: Connection, many: list[P]) -> list[R]:
        connection.execute(_THE_REVISION.with_for_update())
        return [operation(connection, parameters) for parameters in many]

    return run


def _raising(operation: Callable[[Connection, P], R]) -> _Operation[P, R]:
    """In turn, and every process learns of it."""

    @wraps(operation)
    def run(connection: Connection, many: list[P]) -> list[R]:
        connection.execute(_RAISE)
        return [operation(connection, parameters) for parameters in many]

    return run


def _revision(connection: Connection) -> int:
    revision: int = connection.execute(_THE_REVISION).scalar_one()
    return revision


def _keys(connection: Connection) -> list[KeyRow]:
    query = select(signing_keys).order_by(signing_keys.c.created_at.desc(), signing_keys.c.kid)
    return [KeyRow(**row) for row in connection.execute(query).mappings()]


def _picture(connection: Connection, now: datetime) -> Picture:
    """One statement's snapshot each, the revision first: what is newer than it is read once more."""
    revision = _revision(connection)
    revoked = connection.execute(select(revocations.c.issuer, revocations.c.token_id))
    epochs = connection.execute(select(principals.c.subject, principals.c.epoch_at))
    keys = [key for key in _keys(connection) if key.verifies_until is None or key.verifies_until > now]
    return Picture(
        revision=revision,
        keys=keys,
        revoked=[(issuer, token_id) for issuer, token_id in revoked],
        epochs={row.subject: row.epoch_at for row in epochs},
    )


def _token(connection: Connection, token_id: str) -> TokenRow | None:
    row = connection.execute(select(tokens).where(tokens.c.token_id == token_id)).mappings().first()
    return None if row is None else TokenRow(**row)


def _epoch(connection: Connection, subject: str) -> datetime | None:
    return connection.scalar(select(principals.c.epoch_at).where(principals.c.subject == subject))


def _refresh(connection: Connection, refresh_id: str) -> RefreshRow | None:
    query = select(refresh_tokens).where(refresh_tokens.c.refresh_id == refresh_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else RefreshRow(**row)


def _presented(connection: Connection, refresh_id: str) -> Presented | None:
    refresh = _refresh(connection, refresh_id)
    token = None if refresh is None else _token(connection, refresh.token_id)
    return None if refresh is None or token is None else Presented(refresh, token)


@_raising
def _add_key(connection: Connection, key: KeyRow) -> None:
    connection.execute(insert(signing_keys), msgspec.structs.asdict(key))


@_raising
def _replace_keys(connection: Connection, parameters: tuple[KeyRow, bool, timedelta]) -> None:
    key, at_once, least = parameters
    row, now = signing_keys.c, key.created_at
    signing = row.retired_at.is_(None)
    if at_once:  # from its beginning on, so that a clock that is set back does not let it verify again
        connection.execute(update(signing_keys).values(verifies_until=row.created_at))
        connection.execute(update(signing_keys).where(signing).values(retired_at=now))
    else:
        latest: datetime | None = connection.scalar(select(func.max(tokens.c.access_until)))
        until = max(now + least, (latest or now) + _SLACK)
        connection.execute(update(signing_keys).where(signing).values(retired_at=now, verifies_until=until))
    connection.execute(insert(signing_keys), msgspec.structs.asdict(key))


@_in_turn
def _add(connection: Connection, parameters: tuple[TokenRow, RefreshRow | None, str | None]) -> Added:
    """A new token changes nothing for anybody who is in; only what it replaces does."""
    token, refresh, replaces = parameters
    epoch = _epoch(connection, token.subject)
    if epoch is not None and token.created_at <= epoch:
        return "outdated"
    if replaces is not None:
        if not _end(connection, [replaces], token.created_at):
            return "nothing to replace"
        connection.execute(_RAISE)
    connection.execute(insert(tokens), msgspec.structs.asdict(token))
    if refresh is not None:
        connection.execute(insert(refresh_tokens), msgspec.structs.asdict(refresh))
    return "kept"


@_in_turn
def _renew(connection: Connection, renewal: Renewal) -> bool:
    """What was presented is read again: since then it may have been spent, or its token revoked."""
    presented = _presented(connection, renewal.presented_id)
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
    """Whoever shows one refresh token again and again, as if every answer were lost, fills no table with it.

    The oldest go, as answers that never came; what they opened goes on to be revoked with their token.
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


def _use(connection: Connection, many: list[tuple[str, str | None, datetime]]) -> list[None]:
    """In turn, as all changes; most succeed nothing, and one look tells so of all of them."""
    connection.execute(_THE_REVISION.with_for_update())
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
    return [None] * len(many)


def _spend_parent_of(connection: Connection, refresh: RefreshRow, at: datetime) -> None:
    """Once a successor is used, its parent is spent, and so are the successors that were lost on the way."""
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


@_raising
def _revoke_own(connection: Connection, parameters: tuple[str, datetime]) -> bool:
    token_id, now = parameters
    return _end(connection, [token_id], now) == 1


@_raising
def _revoke_foreign(connection: Connection, parameters: tuple[str, str, datetime, datetime]) -> None:
    issuer, token_id, now, keep_until = parameters
    _add_revocation(connection, issuer, token_id, now, keep_until)


@_raising
def _revoke_subject(connection: Connection, parameters: tuple[str, datetime]) -> int:
    subject, now = parameters
    statement = _dialect(connection).insert(principals)
    later = principals.c.epoch_at < statement.excluded.epoch_at  # a clock that is behind gives nothing back
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[principals.c.subject],
            set_={"epoch_at": statement.excluded.epoch_at},
            where=later,
        ),
        {"subject": subject, "epoch_at": now},
    )
    living = select(tokens.c.token_id).where(tokens.c.subject == subject, tokens.c.revoked_at.is_(None))
    return _end(connection, list(connection.scalars(living)), now)


def _end(connection: Connection, token_ids: Iterable[str], now: datetime) -> int:
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
    connection.execute(
        _dialect(connection).insert(revocations).on_conflict_do_nothing(),
        {"issuer": issuer, "token_id": token_id, "revoked_at": now, "keep_until": keep_until},
    )


@_in_turn
def _prune(connection: Connection, parameters: tuple[datetime, datetime]) -> int:
    now, ended_before = parameters
    connection.execute(delete(revocations).where(revocations.c.keep_until < ended_before))
    connection.execute(delete(refresh_tokens).where(refresh_tokens.c.expires_at < ended_before))
    connection.execute(delete(signing_keys).where(signing_keys.c.verifies_until < now))
    return connection.execute(
        delete(tokens).where(or_(tokens.c.expires_at < ended_before, tokens.c.revoked_at < ended_before))
    ).rowcount


def _dialect(connection: Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite
