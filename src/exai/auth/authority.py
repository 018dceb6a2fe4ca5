"""Makes tokens and ends them. Works on the database alone, so that the command line needs no daemon.

A token's life: an access token is short and is renewed with a refresh token, which is exchanged for a new one each
time. The old one goes on to be good until its successor, or the access token that came with it, is used: an answer
that was lost on the way costs nothing. Used after that, it was copied, and everything of that token is ended.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from exai.auth.keys import OwnAlgorithm, from_public_pem, sign, to_jwk
from exai.auth.opaque import OpaqueToken, new_id
from exai.auth.scopes import DEFAULT_SCOPES, SCOPES
from exai.auth.signing_keys import SigningKeys
from exai.auth.verifier import ACCESS_TOKEN, LONGEST_LIFE_S
from exai.config import Auth
from exai.config.auth import OWN_ISSUER
from exai.errors import InvalidGrant, StoreFailed, TokenRefused, UnknownToken
from exai.runtime.clock import Clock
from exai.storage.identity.tables import IdentityTables, KeyRow, Presented, RefreshRow, Renewal, TokenRow

__all__ = ["Authority", "IssuedTokens", "KeySummary", "TokenSummary"]

LONGEST_LIFE = timedelta(days=366)
LONGEST_NAME = 200
KEEP_ENDED = timedelta(days=30)
"""How long what is over stays in the listing."""

_log = structlog.get_logger(__name__)


async def _nobody_else() -> None:
    """Nobody in this process holds a picture of what was changed."""


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What the client gets, once; nobody can read it again."""

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


class TokenSummary(msgspec.Struct, frozen=True):
    """What may be shown of a token."""

    token_id: str
    kind: str
    name: str
    subject: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    """When nothing of it is good any more, unless it is renewed before."""
    last_used_at: datetime | None
    """Within ten minutes; `None`: never."""
    revoked_at: datetime | None
    state: str
    """`active`, `expired` or `revoked`."""


class KeySummary(msgspec.Struct, frozen=True):
    """What may be shown of a signing key."""

    kid: str
    algorithm: str
    created_at: datetime
    retired_at: datetime | None
    verifies_until: datetime | None
    state: str
    """`signs`, `verifies` or `over`."""


class Authority:
    """Creates, renews, lists, revokes and rotates."""

    def __init__(
        self,
        settings: Auth,
        tables: IdentityTables,
        data_dir: Path,
        clock: Clock,
        changed: Callable[[], Awaitable[None]] = _nobody_else,
    ) -> None:
        """`changed` is awaited after every change: this process' authenticator need not wait for its next look."""
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
        """An access token, with a refresh token unless a lifetime was chosen (or as `renewable` says).

        Args:
            scopes: what it may do; the least where nobody says.
            lifetime: of each access token; that of the settings where nobody says.

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
        return await self._make(row)

    async def create_key(
        self,
        subject: str,
        name: str,
        scopes: Collection[str] | None = None,
        lifetime: timedelta | None = None,
    ) -> IssuedTokens:
        """A random API key, good until it is revoked or its lifetime is over.

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
        return await self._make(row)

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        """New tokens for a refresh token (RFC 6749, 6).

        Raises:
            InvalidGrant: it is none, is over, or was used after its successor had been.
            StoreFailed: the database is out of reach; the refresh token stays good.
        """
        shown = OpaqueToken.read(refresh_token, "exr")
        presented = None if shown is None else await self._tables.presented(shown.id)
        if shown is None or presented is None or not shown.is_kept_as(presented.refresh.secret_sha256):
            raise _invalid_grant(genuine=False)
        issued = await self._renewed(presented)
        if issued is None:
            # Between reading and writing it was spent or revoked: as it stands now decides.
            presented = await self._tables.presented(shown.id)
            issued = None if presented is None else await self._renewed(presented)
        if issued is None:
            raise _invalid_grant(genuine=True)
        return issued

    async def listing(self) -> list[TokenSummary]:
        """Every token and key that is good, or was within the last month; the newest first."""
        now = self._clock.utc()
        return [_summary(row, now) for row in await self._tables.tokens()]

    async def revoke(self, token_id: str, *, issuer: str = OWN_ISSUER) -> None:
        """End a token: of our own by the id of the listing (or a whole `jti`), of another issuer by its `jti`.

        Raises:
            UnknownToken: there is none of our own that is not over.
            TokenRefused: there is no such issuer.
            StoreFailed: it is not known to be ended.
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
        """End whatever was issued to a principal up to now, by whomever; how many tokens of our own that were."""
        ended = await self._tables.revoke_subject(subject, self._clock.utc())
        _log.info("a principal's tokens were revoked", subject=subject, own=ended)
        await self._announce()
        return ended

    async def rotate(self, token_id: str) -> IssuedTokens:
        """A new token or key of the same kind, name, subject and scopes; the old one is over in the same moment.

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
        return await self._make(row, replaces=old.token_id)

    async def rotate_keys(
        self, *, algorithm: OwnAlgorithm | None = None, at_once: bool = False
    ) -> KeySummary:
        """Sign with a new key from now on; the old ones verify until what they signed is over, or end `at_once`.

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
        """The signing keys, the newest first."""
        now = self._clock.utc()
        return [_key_summary(row, now) for row in await self._tables.keys()]

    async def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public halves of the keys that verify, for whoever else checks our tokens (RFC 7517)."""
        now = self._clock.utc()
        rows = [row for row in await self._tables.keys() if _key_summary(row, now).state != "over"]
        good = [row for row in rows if from_public_pem(row.public_key) is not None]
        return {"keys": [to_jwk(row.kid, row.public_key) for row in good]}

    async def prune(self) -> int:
        """Delete tokens that have been over for a month; returns how many there were."""
        now = self._clock.utc()
        return await self._tables.prune(now, now - KEEP_ENDED)

    async def delete_retired_keys(self) -> None:
        """Delete the private halves, in this process's data folder, of keys that sign no more."""
        await self._keys.forget(self._clock.utc())

    async def _make(self, row: TokenRow, *, replaces: str | None = None) -> IssuedTokens:
        made = await self._made(row, replaces)
        while made is None:  # its principal was ended in between: this one is made after that
            made = await self._made(row, replaces)
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
        return made

    async def _made(self, row: TokenRow, replaces: str | None) -> IssuedTokens | None:
        """What was kept; `None` where its principal was ended since the moment that it says it was made."""
        row = msgspec.structs.replace(row, created_at=await self._issue_moment(row.subject))
        if row.kind == "key":
            key = OpaqueToken.new("exk", row.token_id)
            expires_at = None if row.access_s is None else row.created_at + timedelta(seconds=row.access_s)
            row = msgspec.structs.replace(row, secret_sha256=key.sha256, expires_at=expires_at)
            issued, refresh = _issued(row, key.text, None, expires_at), None
        else:
            refresh_id = new_id()
            access_token, expires_at = await self._access_token(row, refresh_id, row.created_at)
            refresh, secret = None, None
            if row.kind == "renewable":
                refresh, secret = self._refresh_token(row, refresh_id, None, row.created_at)
            row = msgspec.structs.replace(
                row,
                access_until=expires_at,
                expires_at=expires_at if refresh is None else max(expires_at, refresh.expires_at),
            )
            issued = _issued(row, access_token, secret, expires_at)
        added = await self._tables.add(row, refresh, replaces=replaces)
        if added == "nothing to replace":
            raise UnknownToken("The token is revoked already; nothing was made in its place.")
        return issued if added == "kept" else None

    async def _renewed(self, presented: Presented) -> IssuedTokens | None:
        """New tokens; `None` where the database has moved on since `presented` was read."""
        refresh, row = presented.refresh, presented.token
        now = await self._issue_moment(row.subject)
        if row.revoked_at is not None or refresh.expires_at <= now:
            raise _invalid_grant(genuine=True)
        if refresh.spent_at is not None:
            if await self._tables.revoke(row.token_id, now):
                _log.warning(
                    "a refresh token was used again after its successor: the token is revoked",
                    id=row.token_id,
                    name=row.name,
                    subject=row.subject,
                )
                await self._announce()
            raise _invalid_grant(genuine=True)
        successor_id = new_id()
        access_token, expires_at = await self._access_token(row, successor_id, now)
        successor, secret = self._refresh_token(row, successor_id, refresh.refresh_id, now)
        if not await self._tables.renew(Renewal(refresh.refresh_id, successor, expires_at)):
            return None
        await self._announce()
        return _issued(row, access_token, secret, expires_at)

    async def _access_token(
        self, row: TokenRow, refresh_id: str, issued_at: datetime
    ) -> tuple[str, datetime]:
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
        return sign(key.private, key.kid, ACCESS_TOKEN, claims), expires_at

    def _refresh_token(
        self, row: TokenRow, refresh_id: str, parent_id: str | None, now: datetime
    ) -> tuple[RefreshRow, str]:
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
        """Now, and in any case after the moment up to which everything of that principal is over."""
        epoch = await self._tables.epoch(subject)
        return (
            self._clock.utc() if epoch is None else max(self._clock.utc(), epoch + timedelta(milliseconds=1))
        )

    async def _announce(self) -> None:
        """What is committed is done, also where this process learns of it a little later, like all others."""
        with suppress(StoreFailed):
            await self._changed()


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


def _summary(row: TokenRow, now: datetime) -> TokenSummary:
    over = row.expires_at is not None and row.expires_at <= now
    return TokenSummary(
        token_id=row.token_id,
        kind=row.kind,
        name=row.name,
        subject=row.subject,
        scopes=row.scopes.split(),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        state="revoked" if row.revoked_at is not None else "expired" if over else "active",
    )


def _key_summary(row: KeyRow, now: datetime) -> KeySummary:
    if row.retired_at is None:
        state = "signs"
    else:
        state = "verifies" if row.verifies_until is None or row.verifies_until > now else "over"
    return KeySummary(row.kid, row.algorithm, row.created_at, row.retired_at, row.verifies_until, state)


def _subject(subject: str) -> str:
    """A colon marks another issuer's principal, whom we cannot vouch for."""
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
