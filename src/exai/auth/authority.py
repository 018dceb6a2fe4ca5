"""Issues and revokes tokens. Works on the database alone, so that the command line needs no daemon.

An access token is short-lived and is renewed with a refresh token, which is exchanged for a new one each time. The
states of both are described in `exai.storage.identity.tables`.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from exai.auth.opaque import OpaqueToken, new_id
from exai.auth.scopes import DEFAULT_SCOPES, SCOPES
from exai.auth.signing_keys import SigningKeys
from exai.auth.summaries import KeySummary, TokenSummary, summarize_key, summarize_token
from exai.auth.verifier import ACCESS_TOKEN, LONGEST_LIFE_S
from exai.auth.verifying_key import OwnAlgorithm
from exai.config import Auth
from exai.config.auth import OWN_ISSUER
from exai.errors import InvalidGrant, StoreFailed, TokenRefused, UnknownToken
from exai.runtime.clock import Clock
from exai.runtime.start.later import LaterModule
from exai.storage.identity.rows import Presented, RefreshRow, Renewal, TokenRow
from exai.storage.identity.tables import IdentityTables

if TYPE_CHECKING:
    from exai.auth import keys as pairs
else:
    pairs = LaterModule("exai.auth.keys")

__all__ = ["Authority", "IssuedTokens"]

LONGEST_LIFE = timedelta(days=366)
LONGEST_NAME = 200
KEEP_ENDED = timedelta(days=30)
"""How long tokens stay in the listing after they have expired or were revoked."""

_log = structlog.get_logger(__name__)


async def _no_listener() -> None:
    """Do nothing: nobody in this process holds a snapshot of what was changed."""


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What the client gets. The secrets are in no table, so nobody can read them again."""

    token_id: str
    """What the listing shows and `revoke` takes."""
    kind: str
    """`token`, `renewable` or `key`."""
    name: str
    subject: str
    scopes: frozenset[str]
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: float | None
    """Of the access token, in seconds since 1970; `None` for a key without end."""


@dataclass(frozen=True, slots=True)
class _Minted:
    """A new token: the rows to keep, and what the client gets once they are kept."""

    token: TokenRow
    refresh: RefreshRow | None
    issued: IssuedTokens


class Authority:
    """Creates, renews, lists, revokes and rotates."""

    def __init__(
        self,
        settings: Auth,
        tables: IdentityTables,
        data_dir: Path,
        clock: Clock,
        changed: Callable[[], Awaitable[None]] = _no_listener,
    ) -> None:
        """`changed` is awaited after every change: this process' authenticator need not wait for its next read."""
        self._settings = settings
        self._tables = tables
        self._keys = SigningKeys(tables, data_dir / "keys")
        self._clock = clock
        self._changed = changed

    async def create(
        self,
        subject: str,
        name: str,
        scopes: Collection[str] | None = None,
        lifetime: timedelta | None = None,
        *,
        renewable: bool | None = None,
    ) -> IssuedTokens:
        """Issue an access token, with a refresh token unless a lifetime was chosen (or as `renewable` says).

        Args:
            scopes: what it may do; `None` for the default scopes.
            lifetime: of each access token; `None` for that of the settings.

        Raises:
            TokenRefused: subject, name, scopes or lifetime cannot be.
            StoreFailed: it was not kept.
        """
        access = _lifetime(lifetime) or timedelta(minutes=self._settings.access_minutes)
        is_renewable = lifetime is None if renewable is None else renewable
        row = TokenRow(
            token_id=new_id(),
            kind="renewable" if is_renewable else "token",
            name=_name(name),
            subject=_subject(subject),
            scopes=_scopes(scopes),
            access_s=access.total_seconds(),
            secret_sha256=None,
            created_at=self._clock.utc(),
            expires_at=None,
            access_until=None,
        )
        return await self._issue(row)

    async def create_key(
        self,
        subject: str,
        name: str,
        scopes: Collection[str] | None = None,
        lifetime: timedelta | None = None,
    ) -> IssuedTokens:
        """Issue a random API key, good until it is revoked or its lifetime is over.

        Raises:
            TokenRefused: subject, name, scopes or lifetime cannot be.
            StoreFailed: it was not kept.
        """
        chosen = _lifetime(lifetime)
        row = TokenRow(
            token_id=new_id(),
            kind="key",
            name=_name(name),
            subject=_subject(subject),
            scopes=_scopes(scopes),
            access_s=None if chosen is None else chosen.total_seconds(),
            secret_sha256=None,
            created_at=self._clock.utc(),
            expires_at=None,
            access_until=None,
        )
        return await self._issue(row)

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        """Exchange a refresh token for new tokens (RFC 6749, 6).

        Raises:
            InvalidGrant: it is unknown, expired, revoked, or was used after a successor of it.
            StoreFailed: the database is out of reach; the refresh token stays good.
        """
        shown = OpaqueToken.read(refresh_token, "exr")
        presented = None if shown is None else await self._tables.presented(shown.id)
        if shown is None or presented is None or not shown.is_kept_as(presented.refresh.secret_sha256):
            raise _invalid_grant(genuine=False)
        issued = await self._renew(presented)
        if issued is None:  # spent or revoked between reading and writing: its new state decides
            presented = await self._tables.presented(shown.id)
            issued = None if presented is None else await self._renew(presented)
        if issued is None:
            raise _invalid_grant(genuine=True)
        return issued

    async def listing(self) -> list[TokenSummary]:
        """List every token and key that is good, or was within the last month; the newest first."""
        now = self._clock.utc()
        return [summarize_token(row, now) for row in await self._tables.tokens()]

    async def id_of(self, named: str) -> str:
        """Find the id of a token or key of our own by its id, or by its name where only one that is active has it.

        Raises:
            UnknownToken: none has it.
            TokenRefused: several have that name.
        """
        rows = await self.listing()
        own_id = named.partition(".")[0]
        if any(row.token_id == own_id for row in rows):
            return own_id
        found = [row.token_id for row in rows if row.name == named and row.state == "active"]
        if len(found) > 1:
            raise TokenRefused(f"Several tokens have that name; say which by its id: {', '.join(found)}.")
        if not found:
            raise UnknownToken("No token of that id or name is active; `exai token list` shows them.")
        return found[0]

    async def revoke(self, token_id: str, *, issuer: str = OWN_ISSUER) -> None:
        """Revoke a token: of our own by the id of the listing (or a whole `jti`), of another issuer by its `jti`.

        Raises:
            UnknownToken: there is none of our own that is not revoked.
            TokenRefused: there is no such issuer.
            StoreFailed: it may not be revoked.
        """
        now = self._clock.utc()
        if issuer not in self._settings.issuer_names:
            raise TokenRefused(
                "There is no issuer of that name: it is the name under `auth.issuers`, or `shared`."
            )
        if issuer != OWN_ISSUER:
            keep_until = now + timedelta(seconds=LONGEST_LIFE_S + 2 * self._settings.leeway_s)
            await self._tables.revoke_foreign(issuer, token_id, now, keep_until)
        elif not await self._tables.revoke(token_id.partition(".")[0], now):
            raise UnknownToken("No token of that id is active; `exai token list` shows them.")
        _log.info("a token was revoked", id=token_id, issuer=issuer)
        await self._announce()

    async def revoke_subject(self, subject: str) -> int:
        """Revoke whatever any issuer issued to a principal up to now; how many tokens of our own that were."""
        ended = await self._tables.revoke_subject(subject, self._clock.utc())
        _log.info("a principal's tokens were revoked", subject=subject, own=ended)
        await self._announce()
        return ended

    async def rotate(self, token_id: str) -> IssuedTokens:
        """Replace a token or key by one of the same kind, name, subject and scopes; the old one is revoked with it.

        Raises:
            UnknownToken: there is none, or it is revoked.
            StoreFailed: it was not kept.
        """
        old = await self._tables.token(token_id)
        if old is None or old.revoked_at is not None:
            raise UnknownToken("No token of that id is active; `exai token list` shows them.")
        row = msgspec.structs.replace(
            old,
            token_id=new_id(),
            secret_sha256=None,
            created_at=self._clock.utc(),
            expires_at=None,
            access_until=None,
            last_used_at=None,
        )
        return await self._issue(row, replaces=old.token_id)

    async def rotate_keys(
        self, *, algorithm: OwnAlgorithm | None = None, at_once: bool = False
    ) -> KeySummary:
        """Sign with a new key from now on; the old ones verify until what they signed has expired, or end `at_once`.

        Raises:
            StoreFailed: it was not kept.
        """
        now = self._clock.utc()
        least = timedelta(minutes=self._settings.access_minutes)
        key = await self._keys.replace(
            algorithm or self._settings.algorithm, now, at_once=at_once, least=least
        )
        _log.info("the signing keys were rotated", kid=key.kid, at_once=at_once)
        await self._announce()
        return next(summary for summary in await self.keys() if summary.kid == key.kid)

    async def keys(self) -> list[KeySummary]:
        """List the signing keys, the newest first."""
        now = self._clock.utc()
        return [summarize_key(row, now) for row in await self._tables.keys()]

    async def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Publish the public halves of the keys that verify, for others that check our tokens (RFC 7517)."""
        now = self._clock.utc()
        rows = [row for row in await self._tables.keys() if summarize_key(row, now).state != "over"]
        good = [row for row in rows if pairs.from_public_pem(row.public_key) is not None]
        return {"keys": [pairs.to_jwk(row.kid, row.public_key) for row in good]}

    async def prune(self) -> int:
        """Delete tokens that have been over for a month; returns how many there were."""
        now = self._clock.utc()
        return await self._tables.prune(now, now - KEEP_ENDED)

    async def delete_retired_keys(self) -> None:
        """Delete the private halves, in this process's data folder, of keys that sign no more."""
        await self._keys.forget(self._clock.utc())

    async def _issue(self, row: TokenRow, *, replaces: str | None = None) -> IssuedTokens:
        """Mint what `row` describes and keep it; once more, as long as its principal is revoked in between."""
        minted = await self._mint(row)
        while (
            added := await self._tables.add(minted.token, minted.refresh, replaces=replaces)
        ) == "outdated":
            minted = await self._mint(row)
        if added == "nothing to replace":
            raise UnknownToken("The token is revoked already; nothing was made in its place.")
        _log.info(
            "a token was made",
            id=row.token_id,
            kind=row.kind,
            name=row.name,
            subject=row.subject,
            scopes=row.scopes,
            replaces=replaces,
        )
        await self._announce()
        return minted.issued

    async def _mint(self, row: TokenRow) -> _Minted:
        """Make the secrets of a new token; nothing is kept yet."""
        row = msgspec.structs.replace(row, created_at=await self._issue_moment(row.subject))
        return _minted_key(row) if row.kind == "key" else await self._mint_signed(row)

    async def _mint_signed(self, row: TokenRow) -> _Minted:
        """Sign the first access token, and make the refresh token of a renewable one."""
        refresh_id = new_id()
        access_token, access_until = await self._access_token(row, refresh_id, row.created_at)
        refresh, secret, expires_at = None, None, access_until
        if row.kind == "renewable":
            refresh, secret = self._refresh_token(row, refresh_id, None, row.created_at)
            expires_at = max(access_until, refresh.expires_at)
        row = msgspec.structs.replace(row, access_until=access_until, expires_at=expires_at)
        return _Minted(row, refresh, _issued(row, access_token, secret, access_until))

    async def _renew(self, presented: Presented) -> IssuedTokens | None:
        """Exchange a refresh token; `None` where it was spent, or its token revoked, since `presented` was read."""
        refresh, row = presented.refresh, presented.token
        now = await self._issue_moment(row.subject)
        if row.revoked_at is not None or refresh.expires_at <= now:
            raise _invalid_grant(genuine=True)
        if refresh.spent_at is not None:
            await self._revoke_family(row, now)
            raise _invalid_grant(genuine=True)
        successor_id = new_id()
        access_token, access_until = await self._access_token(row, successor_id, now)
        successor, secret = self._refresh_token(row, successor_id, refresh.refresh_id, now)
        if not await self._tables.renew(Renewal(refresh.refresh_id, successor, access_until)):
            return None
        await self._announce()
        return _issued(row, access_token, secret, access_until)

    async def _revoke_family(self, row: TokenRow, now: datetime) -> None:
        """Revoke a token of which a spent refresh token was presented: somebody has a copy."""
        if await self._tables.revoke(row.token_id, now):
            _log.warning(
                "a refresh token was used again after its successor: the token is revoked",
                id=row.token_id,
                name=row.name,
                subject=row.subject,
            )
            await self._announce()

    async def _access_token(
        self, row: TokenRow, refresh_id: str, issued_at: datetime
    ) -> tuple[str, datetime]:
        """Sign an access token; it and when it expires."""
        key = await self._keys.current(self._settings.algorithm, issued_at)
        expires_at = issued_at + timedelta(seconds=row.access_s or 0.0)
        claims = {
            "iss": OWN_ISSUER,
            "aud": self._settings.audience,
            "sub": row.subject,
            "iat": issued_at.timestamp(),
            "exp": expires_at.timestamp(),
            "jti": f"{row.token_id}.{refresh_id}",
            "scope": row.scopes,
        }
        return pairs.sign(key.private, key.kid, ACCESS_TOKEN, claims), expires_at

    def _refresh_token(
        self, row: TokenRow, refresh_id: str, parent_id: str | None, now: datetime
    ) -> tuple[RefreshRow, str]:
        """Make a refresh token; its row, and the text that the client gets."""
        token = OpaqueToken.new("exr", refresh_id)
        kept = RefreshRow(
            refresh_id=refresh_id,
            token_id=row.token_id,
            parent_id=parent_id,
            secret_sha256=token.sha256,
            created_at=now,
            expires_at=now + timedelta(days=self._settings.refresh_days),
        )
        return kept, token.text

    async def _issue_moment(self, subject: str) -> datetime:
        """Return now, or the first moment after the principal's epoch: what was issued up to that is revoked."""
        epoch = await self._tables.epoch(subject)
        return (
            self._clock.utc() if epoch is None else max(self._clock.utc(), epoch + timedelta(milliseconds=1))
        )

    async def _announce(self) -> None:
        """Tell this process' authenticator. If that fails it learns of the change a moment later, like all others."""
        with suppress(StoreFailed):
            await self._changed()


def _minted_key(row: TokenRow) -> _Minted:
    """Make the secret of an API key."""
    key = OpaqueToken.new("exk", row.token_id)
    expires_at = None if row.access_s is None else row.created_at + timedelta(seconds=row.access_s)
    row = msgspec.structs.replace(row, secret_sha256=key.sha256, expires_at=expires_at)
    return _Minted(row, None, _issued(row, key.text, None, expires_at))


def _issued(
    row: TokenRow, access_token: str, refresh_token: str | None, expires_at: datetime | None
) -> IssuedTokens:
    return IssuedTokens(
        token_id=row.token_id,
        kind=row.kind,
        name=row.name,
        subject=row.subject,
        scopes=frozenset(row.scopes.split()),
        access_token=access_token,
        refresh_token=refresh_token,
        expires_at=None if expires_at is None else expires_at.timestamp(),
    )


def _subject(subject: str) -> str:
    """Check a subject. A colon marks another issuer's principal, whom we cannot vouch for."""
    if not _is_name(subject) or ":" in subject:
        raise TokenRefused(
            f"A subject is 1 to {LONGEST_NAME} printable characters without a colon and without white space "
            "around them: it owns what is stored on the client's behalf."
        )
    return subject


def _name(name: str) -> str:
    if not _is_name(name):
        raise TokenRefused(
            f"A name is 1 to {LONGEST_NAME} printable characters without white space around them."
        )
    return name


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()


def _scopes(scopes: Collection[str] | None) -> str:
    chosen = DEFAULT_SCOPES if scopes is None else frozenset(scopes)
    if unknown := sorted(chosen - SCOPES.keys()):
        raise TokenRefused(f"There is no scope `{unknown[0][:40]}`; there are {', '.join(SCOPES)}.")
    if not chosen:
        raise TokenRefused(f"A token needs at least one scope of {', '.join(SCOPES)}.")
    return " ".join(sorted(chosen))


def _lifetime(lifetime: timedelta | None) -> timedelta | None:
    if lifetime is not None and not timedelta(0) < lifetime <= LONGEST_LIFE:
        raise TokenRefused(f"A lifetime is longer than nothing and at most {LONGEST_LIFE.days} days.")
    return lifetime


def _invalid_grant(*, genuine: bool) -> InvalidGrant:
    return InvalidGrant(
        "The refresh token is not accepted: it has expired, was used, or was revoked. "
        "Have a new token made with `exai token create`.",
        genuine=genuine,
    )
