"""The tables of identity: principals, tokens, signing keys, and what was revoked.

Theory
------

A *principal* (`subject`) owns conversations, calls and uploads. It need not be registered: a row of `principals` exists
only once everything of a principal has been revoked, and holds the *epoch*, the moment up to which that was done.
Whatever was issued to it at or before the epoch is revoked, by whichever issuer. An epoch only grows.

A *token* (a row of `tokens`) is what `exai token list` shows: an API key, an access token, or a *family*, a renewable
token with all access and refresh tokens that were made for it. Access tokens are signed and have no rows. A family is
revoked as a whole: its `token_id` is in the id of each of its access tokens.

======== ==================================================== =============================================
token    event                                                becomes
======== ==================================================== =============================================
active   its `expires_at` passes                              expired
active   it is renewed                                        active, and expires later
active   revoked by its id, by its principal, by `rotate`,    revoked: `revoked_at`, a row of `revocations`
         or because a spent refresh token was presented       until the last access token has expired
expired  revoked                                              revoked
any      a month after it ended: `prune`                      no row
======== ==================================================== =============================================

The *refresh tokens* of a family are a tree: each is exchanged for a successor, whose `parent_id` it is. An answer may
be lost on its way to the client, which then presents the same refresh token again and gets another successor. So a
refresh token is *spent* only when one of its successors is used: presented itself, or known by the first use of the
access token that came with it. From then on only a thief, or the client that was robbed, has reason to present it.

======== ==================================================== =============================================
refresh  event                                                becomes
token
======== ==================================================== =============================================
good     it is presented                                      good; a good successor is added, and counts as
                                                              unused. Its parent and its siblings are spent
good     a successor of it is used                            spent
good     a sibling of it is used                              spent
good     its parent gets the 33rd unused successor,           no row
         and it is the oldest
spent    it is presented                                      spent; refused, and its family is revoked
good     its `expires_at` passes, or its family is revoked    refused from then on, without further effect
spent
any      a month after its `expires_at`: `prune`              no row
======== ==================================================== =============================================

`auth_revision` holds one number, the *revision*. Whatever changes who may come in raises it in the same transaction:
a signing key that is added or replaced, and everything that revokes. A new token, a renewal, a use and `prune` do not.
Each process reads the number twice a second, and all of an `IdentitySnapshot` when it has grown.

All writes are operations of the lock group `IDENTITY` (`storage.write_operations`): one transaction at a time, so that
what an operation has read is still true when it writes.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from exai.storage.database import Database
from exai.storage.identity.revocations import (
    read_epoch,
    read_revision,
    revoke_foreign,
    revoke_own,
    revoke_subject,
)
from exai.storage.identity.rows import (
    Added,
    IdentitySnapshot,
    KeyRow,
    Presented,
    RefreshRow,
    Renewal,
    TokenRow,
)
from exai.storage.identity.signing_keys import add_key, read_keys, replace_keys
from exai.storage.identity.tokens import (
    add_token,
    note_use,
    prune_identity,
    read_presented,
    read_token,
    read_tokens,
    renew_token,
)
from exai.storage.schema import principals, revocations

__all__ = ["IdentityTables"]


class IdentityTables:
    """Reads and writes the tables of identity. Every method raises `StoreFailed` when the database is out of reach."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revision(self) -> int:
        """Read the number that every change raises."""
        return await self._database.read(read_revision)

    async def snapshot(self, now: datetime) -> IdentitySnapshot:
        """Read the keys that verify, and what is revoked: all that is kept, for a clock may be set back."""
        return await self._database.read(lambda connection: _read_snapshot(connection, now))

    async def keys(self) -> list[KeyRow]:
        """Read every signing key, the newest first."""
        return await self._database.read(read_keys)

    async def add_key(self, key: KeyRow) -> None:
        """Let a key sign and verify from now on."""
        await self._database.write(add_key, key)

    async def replace_keys(self, key: KeyRow, *, at_once: bool, least: timedelta) -> None:
        """Let a key sign and verify, and every other sign no more.

        Each of those goes on to verify until the last access token is over that may be signed with it, for `least` in
        any case, unless it is to end `at_once`. If this raises, everything is as it was.
        """
        await self._database.write(replace_keys, (key, at_once, least))

    async def add(self, token: TokenRow, refresh: RefreshRow | None, *, replaces: str | None = None) -> Added:
        """Add a token, and revoke the one that it replaces."""
        return await self._database.write(add_token, (token, refresh, replaces))

    async def token(self, token_id: str) -> TokenRow | None:
        """Read one token."""
        return await self._database.read(lambda connection: read_token(connection, token_id))

    async def tokens(self) -> list[TokenRow]:
        """Read every token, the newest first."""
        return await self._database.read(read_tokens)

    async def presented(self, refresh_id: str) -> Presented | None:
        """Read a refresh token and the token that it renews."""
        return await self._database.read(lambda connection: read_presented(connection, refresh_id))

    async def renew(self, renewal: Renewal) -> bool:
        """Add a successor; `False` where what it succeeds is spent by now, or its token revoked."""
        return await self._database.write(renew_token, renewal)

    def used_soon(self, token_id: str, refresh_id: str | None, at: datetime) -> None:
        """Queue that a token was used, or the access token that came with a refresh token."""
        self._database.write_soon(note_use, (token_id, refresh_id, at))

    async def epoch(self, subject: str) -> datetime | None:
        """Read up to when everything that was issued to a principal is revoked."""
        return await self._database.read(lambda connection: read_epoch(connection, subject))

    async def revoke(self, token_id: str, now: datetime) -> bool:
        """Revoke a token of our own; whether there was one that was not revoked."""
        return await self._database.write(revoke_own, (token_id, now))

    async def revoke_foreign(self, issuer: str, token_id: str, now: datetime, keep_until: datetime) -> None:
        """Revoke another issuer's token, known or not."""
        await self._database.write(revoke_foreign, (issuer, token_id, now, keep_until))

    async def revoke_subject(self, subject: str, now: datetime) -> int:
        """Revoke whatever was issued to a principal up to now; how many tokens of our own that were."""
        return await self._database.write(revoke_subject, (subject, now))

    async def prune(self, now: datetime, ended_before: datetime) -> int:
        """Delete what ended before a moment, and keys that verify no more; how many tokens that were."""
        return await self._database.write(prune_identity, (now, ended_before))


def _read_snapshot(connection: Connection, now: datetime) -> IdentitySnapshot:
    """Read the revision first: if another statement sees more than that, the next look reads everything again."""
    revision = read_revision(connection)
    revoked = connection.execute(select(revocations.c.issuer, revocations.c.token_id))
    epochs = connection.execute(select(principals.c.subject, principals.c.epoch_at))
    keys = [key for key in read_keys(connection) if key.verifies_until is None or key.verifies_until > now]
    return IdentitySnapshot(
        revision=revision,
        keys=keys,
        revoked=[(issuer, token_id) for issuer, token_id in revoked],
        epochs={row.subject: row.epoch_at for row in epochs},
    )
