"""Tokens and keys over HTTP: what `exai token` and `exai keys` do, for whoever has a token with the scope `admin`.

A token is needed in every mode: in local mode a program of the machine could otherwise make itself one that goes on to
be good when the mode changes. The cookie of a browser opens none of this.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
import structlog
from starlette.responses import JSONResponse, Response

from exai.auth.authority import Authority, IssuedTokens
from exai.auth.scopes import ADMIN
from exai.config.auth import OWN_ISSUER
from exai.dashboard.routes import Answer, Entry, Visit

__all__ = ["Administration"]

_log = structlog.get_logger(__name__)

ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Minutes = Annotated[float, msgspec.Meta(gt=0, le=366 * 1_440)]


class _NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subject: ShortText
    name: ShortText
    kind: Literal["token", "key"] = "token"
    scopes: Annotated[list[ShortText], msgspec.Meta(max_length=20)] | None = None
    minutes: Minutes | None = None
    """Of each access token, or of the key; the settings' where nobody says, and a key then has no end."""
    renewable: bool | None = None
    """Whether a refresh token comes with it; yes, unless `minutes` are named."""


class _OneToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token_id: ShortText
    issuer: ShortText = OWN_ISSUER


class _OneSubject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class _NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    algorithm: Literal["ES256", "EdDSA"] | None = None
    at_once: bool = False


class Administration:
    """The entries of administration."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def entries(self) -> list[Entry]:
        """For the table of the port."""

        def entry(method: Literal["GET", "POST", "DELETE"], path: str, answer: Answer) -> Entry:
            return Entry(method, path, _noted(method, path, answer), scope=ADMIN, bearer_only=True)

        return [
            entry("GET", "/api/tokens", self._list),
            entry("POST", "/api/tokens", self._create),
            entry("DELETE", "/api/tokens/{token_id}", self._delete),
            entry("POST", "/api/tokens/{token_id}/rotate", self._rotate),
            entry("POST", "/api/revocations/token", self._revoke),
            entry("POST", "/api/revocations/subject", self._revoke_subject),
            entry("GET", "/api/keys", self._keys),
            entry("POST", "/api/keys/rotate", self._rotate_keys),
        ]

    async def _list(self, _: Visit) -> Response:
        return _json({"tokens": await self._authority.listing()})

    async def _create(self, visit: Visit) -> Response:
        asked = await visit.body(_NewToken)
        lifetime = None if asked.minutes is None else timedelta(minutes=asked.minutes)
        if asked.kind == "key":
            issued = await self._authority.create_key(asked.subject, asked.name, asked.scopes, lifetime)
        else:
            issued = await self._authority.create(
                asked.subject, asked.name, asked.scopes, lifetime, renewable=asked.renewable
            )
        return _json(_shown(issued), status=201)

    async def _delete(self, visit: Visit) -> Response:
        await self._authority.revoke(visit.request.path_params["token_id"])
        return Response(status_code=204)

    async def _rotate(self, visit: Visit) -> Response:
        return _json(_shown(await self._authority.rotate(visit.request.path_params["token_id"])), status=201)

    async def _revoke(self, visit: Visit) -> Response:
        asked = await visit.body(_OneToken)
        await self._authority.revoke(asked.token_id, issuer=asked.issuer)
        return Response(status_code=204)

    async def _revoke_subject(self, visit: Visit) -> Response:
        asked = await visit.body(_OneSubject)
        return _json({"tokens_ended": await self._authority.revoke_subject(asked.subject)})

    async def _keys(self, _: Visit) -> Response:
        return _json({"keys": await self._authority.keys()})

    async def _rotate_keys(self, visit: Visit) -> Response:
        asked = await visit.body(_NewKey)
        made = await self._authority.rotate_keys(algorithm=asked.algorithm, at_once=asked.at_once)
        return _json(made, status=201)


def _noted(method: str, path: str, answer: Answer) -> Answer:
    """Who changes something, and by what, is in the log; what became of it, the authority says there."""
    if method == "GET":
        return answer

    async def answered(visit: Visit) -> Response:
        credential = visit.caller.credential
        by_id = None if credential is None else credential.token_id
        _log.info("administration", by=visit.caller.subject, by_id=by_id, method=method, path=path)
        return await answer(visit)

    return answered


def _json(told: object, *, status: int = 200) -> Response:
    return JSONResponse(msgspec.to_builtins(told), status_code=status)


def _shown(issued: IssuedTokens) -> dict[str, Any]:
    return {
        "token_id": issued.token_id,
        "kind": issued.kind,
        "name": issued.name,
        "subject": issued.subject,
        "scopes": sorted(issued.scopes),
        "access_token": issued.access_token,
        "refresh_token": issued.refresh_token,
        "expires_at": issued.expires_at,
    }
