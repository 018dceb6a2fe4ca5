"""An authenticator whose tokens a test hands out, lets expire and revokes as it likes."""

from collections.abc import Callable
from dataclasses import replace

from exai.auth.attempts import Attempts
from exai.auth.authority import IssuedTokens
from exai.auth.revocation_state import EndReason
from exai.callers import ALL_SCOPES, Caller, Credential, Door, RawHeaders
from exai.errors import InvalidGrant, StoreFailed, TooManyAttempts, Unauthenticated
from exai.runtime.clock import SystemClock

__all__ = ["ScriptedAuthenticator", "ScriptedAuthority"]


class ScriptedAuthenticator:
    """Without tokens it is in local mode; from the first one on nobody comes in without."""

    def __init__(self) -> None:
        self.attempts = Attempts(3, SystemClock())
        self.endings: dict[str, EndReason] = {}
        """By token."""
        self.endings_of_subjects: dict[str, EndReason] = {}
        self.throttled = False
        self._callers: dict[str, Caller] = {}
        self._watchers: list[Callable[[], None]] = []

    def issue(self, token: str, subject: str, *scopes: str) -> dict[str, str]:
        """The headers of a request with a new token."""
        credential = Credential("exai", token, issued_at=0.0, expires_at=None)
        self._callers[token] = Caller(
            subject, Door.HTTP, scopes=frozenset(scopes or {ALL_SCOPES}), credential=credential
        )
        return {"Authorization": f"Bearer {token}"}

    def end(self, token: str, ending: EndReason) -> None:
        """Let a token expire, or revoke it."""
        self.endings[token] = ending
        self._tell()

    def end_subject(self, subject: str, ending: EndReason) -> None:
        """Revoke all that a subject has."""
        self.endings_of_subjects[subject] = ending
        self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()

    async def authenticate(self, headers: RawHeaders, *, door: Door, address: str) -> Caller:
        assert address == "127.0.0.1"
        if self.throttled:
            raise TooManyAttempts("Too many tokens were refused. Try again later.", retry_after_s=12.4)
        given = [value for name, value in headers if name == b"authorization"]
        if not given and not self._callers:
            return Caller.local(door)
        token = given[0].decode().removeprefix("Bearer ") if given else ""
        if token not in self._callers or token in self.endings:
            raise Unauthenticated('This needs a token: "Bearer".', presented=bool(given))
        return replace(self._callers[token], door=door)

    def end_of(self, caller: Caller) -> EndReason | None:
        if caller.credential is None:
            return None
        return self.endings_of_subjects.get(caller.subject) or self.endings.get(caller.credential.token_id)

    def watch(self, on_change: Callable[[], None]) -> None:
        self._watchers.append(on_change)


class ScriptedAuthority:
    """Knows one refresh token, `good`, and one that was, `spent`; with its store away it knows nothing."""

    def __init__(self) -> None:
        self.store_is_away = False
        self.asked: list[str] = []

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        self.asked.append(refresh_token)
        if self.store_is_away:
            raise StoreFailed("The database is out of reach.")
        if refresh_token != "good":
            raise InvalidGrant("The refresh token is not accepted.", genuine=refresh_token == "spent")
        return IssuedTokens(
            token_id="t",
            kind="renewable",
            name="test",
            subject="alice",
            scopes=frozenset({"tools:status", "tools:models"}),
            access_token="a",
            refresh_token="r",
            expires_at=SystemClock().wall() + 100,
        )

    async def jwks(self) -> dict[str, list[dict[str, str]]]:
        self.asked.append("jwks")
        if self.store_is_away:
            raise StoreFailed("The database is out of reach.")
        return {"keys": [{"kid": "one"}]}
