"""Authenticates a request: from its headers to a `Caller`, the same way for every door.

A token that was good a moment ago costs a hash and three look-ups: no signature is checked and no database asked.
What may have changed since is one number in the database, read twice a second.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from exai.auth.attempts import Attempts
from exai.auth.issuers import Issuers
from exai.auth.jws import LONGEST_TOKEN, InvalidToken
from exai.auth.opaque import OpaqueToken
from exai.auth.revocation_state import EndReason, RevocationState
from exai.auth.scopes import ADMIN, DASHBOARD, ERRORS, OPERATE, SCOPES, known_scopes
from exai.auth.verifier import Proof, Verifier
from exai.auth.verifying_key import VerifyingKey
from exai.callers import LOCAL_SUBJECT, Caller, Credential, Door, RawHeaders
from exai.config import Auth
from exai.config.auth import OWN_ISSUER
from exai.errors import Unauthenticated
from exai.runtime.clock import Clock
from exai.storage.identity.tables import IdentityTables

__all__ = ["Authenticator"]

MOST_KNOWN = 10_000
"""Genuine tokens remembered; the longest unused is forgotten first."""
KNOWN_FOR_S = 600.0
"""Then a token is looked at once more, so that a key its issuer has taken back is noticed."""

WITHOUT_TOKEN = frozenset(SCOPES) - {ADMIN, DASHBOARD, ERRORS, OPERATE}
"""What a caller without a token may do up to the day on which tokens are required."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """A genuine token, good or over."""

    proof: Proof
    since: float
    end_is_logged: bool = False


class Authenticator:
    """Verifies tokens, and remembers the genuine ones. One per process."""

    def __init__(self, settings: Auth, tables: IdentityTables, clock: Clock) -> None:
        self._settings = settings
        self._tables = tables
        self._clock = clock
        self._revocations = RevocationState()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._watchers: list[Callable[[], None]] = []
        self._required_from = _required_from(settings.mode)
        self._is_required = False
        self._was_required = self.tokens_required
        self.attempts = Attempts(settings.failures_per_minute, clock)
        """Refusals by address; the door that renews tokens counts here as well."""
        self._issuers = Issuers(settings, self._own_key, clock)
        self._verifier = Verifier(self._issuers.rules)

    @classmethod
    async def open(cls, settings: Auth, tables: IdentityTables, clock: Clock) -> "Authenticator":
        """Read keys and revocations from the database.

        Raises:
            StoreFailed: the database is out of reach.
            StartFault: an issuer is to give scopes that there are not.
        """
        made = cls(settings, tables, clock)
        await made.refresh()
        return made

    @property
    def tokens_required(self) -> bool:
        """Whether a token is required. Once it is, it stays so, even if the clock is set back."""
        if self._required_from is not None and self._clock.wall() >= self._required_from:
            self._is_required = True
        return self._is_required

    async def authenticate(self, headers: RawHeaders, *, door: Door, address: str) -> Caller:
        """Return the caller of a request with these headers; only `Authorization: Bearer` counts.

        Raises:
            Unauthenticated: no token where one is required, or an invalid one, in any mode.
            TooManyAttempts: the same, where too many from `address` were refused already; a good one always passes.
            StoreFailed: the database, which has to be asked about the token, is out of reach.
            KeysUnavailable: the same of the keys of another issuer.
        """
        fields = [value for name, value in headers if name.lower() == b"authorization"]
        if not fields:
            return self._without_token(door)
        now = self._clock.wall()
        try:
            known = await self._recall_or_verify(_bearer(fields), now)
        except InvalidToken as reason:
            self.attempts.refused(address)
            _log.info("a token was refused", reason=str(reason), door=door, address=address)
            raise _refused() from None
        proof = known.proof
        if (end := self._end(proof.subject, proof.credential, now)) is not None:
            if not known.end_is_logged:  # a client that goes on with it does not fill the log
                known.end_is_logged = True
                _log.info("a token was refused", reason=end, door=door, address=address)
            raise _refused()
        return Caller(subject=proof.subject, door=door, scopes=proof.scopes, credential=proof.credential)

    async def close(self) -> None:
        """Cancel fetches of issuers' keys."""
        await self._issuers.close()

    def end_of(self, caller: Caller) -> EndReason | None:
        """Say whether an admitted caller's credential has expired or was revoked; `None` while it is good."""
        if caller.credential is None:
            return "expired" if self.tokens_required else None
        return self._end(caller.subject, caller.credential, self._clock.wall())

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever `end_of` may have changed for other reasons than time."""
        self._watchers.append(on_change)

    async def follow(self) -> None:
        """Check whether tokens are required from now on, and what other processes have revoked.

        Raises:
            StoreFailed: the database is out of reach.
        """
        if self._was_required != self.tokens_required:
            self._was_required = self.tokens_required
            self._notify_watchers()
        await self.refresh()

    async def refresh(self) -> None:
        """Read keys and revocations again, if the database's revision has changed.

        Raises:
            StoreFailed: the database is out of reach.
        """
        if await self._tables.revision() == self._revocations.revision:
            return
        now = self._clock.utc()
        state = RevocationState.of(await self._tables.snapshot(now))
        if state.revision <= self._revocations.revision:
            return
        self._revocations = state
        self._notify_watchers()

    async def _own_key(self, kid: str | None) -> VerifyingKey | None:
        """Find a key of our own; one that is unknown may have been made by another process a moment ago."""
        if kid is None:
            return None
        now = self._clock.wall()
        key = self._revocations.key(kid, now)
        if key is None:
            await self.refresh()
            key = self._revocations.key(kid, now)
        return key

    async def _recall_or_verify(self, token: str | None, now: float) -> _Known:
        """Verify a token, or recall what an earlier verification found."""
        if token is None:
            raise InvalidToken("form")
        digest = hashlib.sha256(token.encode("ascii")).digest()
        if (known := self._remembered(digest)) is not None:
            return known
        proof = await self._verified(token, now)
        is_good = self._end(proof.subject, proof.credential, now) is None
        if is_good and proof.credential.issuer == OWN_ISSUER:
            moment = datetime.fromtimestamp(now, UTC)
            self._tables.used_soon(proof.credential.token_id, proof.refresh_id, moment)
        return self._remember(digest, proof)

    async def _verified(self, token: str, now: float) -> Proof:
        key = OpaqueToken.read(token, "exk")
        if key is not None:
            return await self._verified_key(key)
        return await self._verifier.verify(token, now)

    async def _verified_key(self, key: OpaqueToken) -> Proof:
        row = await self._tables.token(key.id)
        if row is None or row.kind != "key" or not key.is_kept_as(row.secret_sha256):
            raise InvalidToken("key")
        ends = [moment.timestamp() for moment in (row.expires_at, row.revoked_at) if moment is not None]
        return Proof(
            subject=row.subject,
            scopes=known_scopes(row.scopes.split()),
            credential=Credential(
                issuer=OWN_ISSUER,
                token_id=row.token_id,
                issued_at=row.created_at.timestamp(),
                expires_at=min(ends, default=None),
            ),
        )

    def _without_token(self, door: Door) -> Caller:
        if self.tokens_required:
            raise Unauthenticated(
                "A token is required: send `Authorization: Bearer <token>`. "
                "Whoever runs this EXAI makes one with `exai token create`.",
                presented=False,
            )
        if self._required_from is None:
            return Caller.local(door)
        return Caller(subject=LOCAL_SUBJECT, door=door, scopes=WITHOUT_TOKEN)

    def _end(self, subject: str, credential: Credential, now: float) -> EndReason | None:
        return self._revocations.end_of(subject, credential, now, self._settings.leeway_s)

    def _remembered(self, digest: bytes) -> _Known | None:
        known = self._known.get(digest)
        if known is None:
            return None
        if self._clock.monotonic() - known.since > KNOWN_FOR_S:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return known

    def _remember(self, digest: bytes, proof: Proof) -> _Known:
        known = self._known[digest] = _Known(proof, self._clock.monotonic())
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return known

    def _notify_watchers(self) -> None:
        for watcher in self._watchers:
            try:
                watcher()
            except Exception:  # noqa: BLE001 - one watcher's fault must not hide a revocation from the others
                _log.exception("a watcher of revocations failed")


def _required_from(mode: str) -> float | None:
    """From which moment on tokens are required; `None`: never."""
    if mode == "local":
        return None
    day = mode.partition(" ")[2]
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() if day else 0.0


def _bearer(fields: list[bytes]) -> str | None:
    """The token of the one `Authorization` field; `None` for what is none."""
    if len(fields) != 1 or len(fields[0]) > LONGEST_TOKEN + len("Bearer "):
        return None
    scheme, _, token = fields[0].partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() != b"bearer" or not token or not token.isascii():
        return None
    return token.decode("ascii")


def _refused() -> Unauthenticated:
    return Unauthenticated(
        "The token is not accepted: it has expired, was revoked, or is not for this EXAI. "
        "Renew it, or have a new one made with `exai token create`.",
        presented=True,
    )
