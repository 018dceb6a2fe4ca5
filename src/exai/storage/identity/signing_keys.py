"""Statements on signing keys."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from exai.storage.identity.revocations import raise_revision
from exai.storage.identity.rows import KeyRow
from exai.storage.schema import signing_keys, tokens
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["add_key", "read_keys", "replace_keys"]

_SLACK = timedelta(seconds=60)
"""By how much a retired key outlives the tokens that it signed."""


def read_keys(connection: Connection) -> list[KeyRow]:
    """Read every key, the newest first."""
    query = select(signing_keys).order_by(signing_keys.c.created_at.desc(), signing_keys.c.kid)
    return [KeyRow(**row) for row in connection.execute(query).mappings()]


@row_by_row(LockGroup.IDENTITY)
def add_key(connection: Connection, key: KeyRow) -> None:
    """Let a key sign and verify."""
    raise_revision(connection)
    connection.execute(insert(signing_keys), msgspec.structs.asdict(key))


@row_by_row(LockGroup.IDENTITY)
def replace_keys(connection: Connection, parameters: tuple[KeyRow, bool, timedelta]) -> None:
    """Let a key sign in place of all others, which verify for as long as tokens of theirs live, or end at once."""
    key, at_once, least = parameters
    raise_revision(connection)
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
