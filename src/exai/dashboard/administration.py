"""Tokens and keys over HTTP: what `exai token` and `exai keys` do, for callers with a token of the scope `admin`.

A token is needed in every mode: in local mode a program of the machine could otherwise make itself one that goes on to
be good when the mode changes. The cookie of a browser opens none of this.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
import structlog
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from exai.auth.authority import Authority, IssuedTokens
from exai.auth.scopes import ADMIN
from exai.config.auth import OWN_ISSUER
from exai.dashboard.json_bodies import SMALL
from exai.web.bodies import WholeBody
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Handler, Route

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
    """Of each access token, or of the key; where it is left out the settings', and a key then has no end."""
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
    """The routes of administration."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""

        def route(
            methods: tuple[str, ...], path: str, handler: Handler, body: WholeBody | None = None
        ) -> Route:
            logged = handler if methods == READ else _logged(methods[0], path, handler)
            return Route(methods, path, logged, scope=ADMIN, needs_token=True, body=body)

        return [
            route(READ, "/api/tokens", self._list),
            route(("POST",), "/api/tokens", self._create, SMALL),
            route(("DELETE",), "/api/tokens/{token_id}", self._delete),
            route(("POST",), "/api/tokens/{token_id}/rotate", self._rotate),
            route(("POST",), "/api/revocations/token", self._revoke, SMALL),
            route(("POST",), "/api/revocations/subject", self._revoke_subject, SMALL),
            route(READ, "/api/keys", self._keys),
            route(("POST",), "/api/keys/rotate", self._rotate_keys, SMALL),
        ]

    async def _list(self, _: AuthorizedRequest) -> Response:
        return _json({"tokens": await self._authority.listing()})

    async def _create(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(_NewToken)
        lifetime = None if asked.minutes is None else timedelta(minutes=asked.minutes)
        if asked.kind == "key":
            issued = await self._authority.create_key(asked.subject, asked.name, asked.scopes, lifetime)
        else:
            issued = await self._authority.create(
                asked.subject, asked.name, asked.scopes, lifetime, renewable=asked.renewable
            )
        return _json(_shown(issued), status=201)

    async def _delete(self, request: AuthorizedRequest) -> Response:
        await self._authority.revoke(request.params["token_id"])
        return Response(status_code=204)

    async def _rotate(self, request: AuthorizedRequest) -> Response:
        return _json(_shown(await self._authority.rotate(request.params["token_id"])), status=201)

    async def _revoke(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(_OneToken)
        await self._authority.revoke(asked.token_id, issuer=asked.issuer)
        return Response(status_code=204)

    async def _revoke_subject(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(_OneSubject)
        return _json({"tokens_ended": await self._authority.revoke_subject(asked.subject)})

    async def _keys(self, _: AuthorizedRequest) -> Response:
        return _json({"keys": await self._authority.keys()})

    async def _rotate_keys(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(_NewKey)
        made = await self._authority.rotate_keys(algorithm=asked.algorithm, at_once=asked.at_once)
        return _json(made, status=201)


def _logged(method: str, path: str, handler: Handler) -> Handler:
    """Log who changes something; the authority logs what became of it."""

    async def answer(request: AuthorizedRequest) -> ASGIApp:
        credential = request.caller.credential
        by_id = None if credential is None else credential.token_id
        _log.info("administration", by=request.caller.subject, by_id=by_id, method=method, path=path)
        return await handler(request)

    return answer


def _json(body: object, *, status: int = 200) -> Response:
    return JSONResponse(msgspec.to_builtins(body), status_code=status)


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
