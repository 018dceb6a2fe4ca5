"""Where clients renew their tokens (RFC 6749, 6) and others find the keys that verify them (RFC 7517).

EXAI is no OAuth server: the first tokens of a client are made by its operator, here they are only renewed.
"""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse

from exai.auth.attempts import Attempts
from exai.auth.authority import IssuedTokens
from exai.errors import ExaiError, InvalidGrant, StoreFailed, TooManyAttempts
from exai.runtime.clock import Clock
from exai.web.bodies import WholeBody
from exai.web.faults import BodyRefused
from exai.web.requests import AuthorizedRequest

__all__ = ["FORM_BODY", "Issues", "KeySet", "TokenEndpoint"]

FORM_BODY = WholeBody(max_bytes=16_384, within_s=10.0)
MOST_FIELDS = 16
FORM = b"application/x-www-form-urlencoded"
FRESH_S = 5.0
"""How long an answer with the keys is given again, so that requests without a token cannot keep the database busy."""


class Issues(Protocol):
    """What these endpoints need of the authority."""

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        """Exchange a refresh token for new tokens.

        Raises:
            InvalidGrant: it is not accepted.
            StoreFailed: the database is out of reach; it stays good.
        """
        ...

    async def jwks(self) -> Mapping[str, Any]:
        """List the public halves of the keys that verify."""
        ...


class _BadForm(Exception):
    """The form is none that is answered here; `args` are code and sentence of RFC 6749, 5.2."""


class TokenEndpoint:
    """Answers `/auth/token`."""

    def __init__(self, authority: Issues, attempts: Attempts, clock: Clock) -> None:
        self._authority = authority
        self._attempts = attempts
        self._clock = clock

    async def __call__(self, request: AuthorizedRequest) -> JSONResponse:
        answer = await self._answer(request)
        answer.headers["cache-control"] = "no-store"
        return answer

    async def _answer(self, request: AuthorizedRequest) -> JSONResponse:
        try:
            issued = await self._authority.refresh(await _refresh_token(request))
        except _BadForm as bad:
            code, sentence = bad.args
            return _refused(400, code, sentence)
        except InvalidGrant as fault:
            return self._refusal(fault, request.address)
        except StoreFailed as fault:
            return _refused(fault.http_status, "temporarily_unavailable", str(fault), retry_after_s=1)
        answer: dict[str, Any] = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "refresh_token": issued.refresh_token,
            "scope": " ".join(sorted(issued.scopes)),
        }
        if issued.expires_at is not None:
            answer["expires_in"] = max(0, int(issued.expires_at - self._clock.wall()))
        return JSONResponse(answer)

    def _refusal(self, fault: InvalidGrant, address: str) -> JSONResponse:
        """Answer a token that is not accepted, and count it as a guess unless it was good once."""
        try:
            if not fault.genuine:
                self._attempts.refused(address)
        except TooManyAttempts as limit:
            wait_s = max(1, round(limit.retry_after_s))
            return _refused(limit.http_status, limit.code, str(limit), retry_after_s=wait_s)
        return _refused(400, "invalid_grant", str(fault))


class KeySet:
    """Answers `/.well-known/jwks.json`."""

    def __init__(self, authority: Issues, clock: Clock) -> None:
        self._authority = authority
        self._clock = clock
        self._keys: Mapping[str, Any] = {}
        self._stale_from = clock.monotonic()

    async def __call__(self, _: AuthorizedRequest) -> JSONResponse:
        try:
            keys = await self._fresh()
        except ExaiError as fault:
            return _refused(fault.http_status, "temporarily_unavailable", str(fault), retry_after_s=1)
        return JSONResponse(keys, headers={"cache-control": "max-age=60"})

    async def _fresh(self) -> Mapping[str, Any]:
        if self._clock.monotonic() >= self._stale_from:
            self._keys = await self._authority.jwks()
            self._stale_from = self._clock.monotonic() + FRESH_S
        return self._keys


async def _refresh_token(request: AuthorizedRequest) -> str:
    """Read the refresh token from a form.

    Raises:
        _BadForm: there is none that could be one.
    """
    kinds = [value for name, value in request.headers if name == b"content-type"]
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != FORM:
        raise _BadForm("invalid_request", f"Send a form: Content-Type {FORM.decode()}.")
    try:
        body = await request.whole_body()
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except (BodyRefused, ValueError):
        fields = []
    form = dict(fields)
    if not form or len(form) != len(fields):
        raise _BadForm("invalid_request", "Send `grant_type` and `refresh_token`, each once.")
    if form.get("grant_type") != "refresh_token":
        raise _BadForm("unsupported_grant_type", "Only `grant_type=refresh_token` is answered here.")
    if not form.get("refresh_token"):
        raise _BadForm("invalid_request", "Send the `refresh_token`.")
    return form["refresh_token"]


def _refused(status: int, error: str, sentence: str, *, retry_after_s: int | None = None) -> JSONResponse:
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    body = {"error": error, "error_description": sentence}
    return JSONResponse(body, status_code=status, headers=headers)
