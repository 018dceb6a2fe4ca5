"""The public pages of the MCP port: what is here, and how to get a token (RFC 9728).

A client that was answered 401 looks for an authorization server by itself, at the addresses of RFC 8414, OpenID Connect
Discovery and RFC 7591, and at those of OAuth as MCP had them before (2025-03-26, authorization, 2.3). EXAI is none;
who asks there is a program, which shows its user the `error_description` of JSON (RFC 6749, 5.2), not a text.
"""

from starlette.responses import JSONResponse, PlainTextResponse, Response

from exai.transports.protected_resource import ProtectedResource
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Handler

__all__ = [
    "AUTHORIZATION_SERVER_ROUTES",
    "GREETING",
    "greets",
    "no_authorization_server",
    "resource_metadata",
]

AUTHORIZATION_SERVER_ROUTES = (
    (READ, "/.well-known/{name}"),
    (READ, "/.well-known/{name}/{path}"),
    (READ, "/mcp/.well-known/{name}"),
    (READ, "/authorize"),
    (("POST",), "/register"),
    (("POST",), "/token"),
)
"""Where clients look for one, in every mode."""

GREETING = """This is EXAI, an MCP server for GLM and Kimi models.

Streamable HTTP   POST /mcp
WebSocket         / or /mcp, subprotocol `mcp`
"""
NO_TOKENS = "This EXAI asks nobody for a token: connect without one."
BY_HAND = (
    "EXAI registers no clients and lets nobody sign in: whoever runs it makes a token with `exai token create`. "
    "Have the client send it as `Authorization: Bearer <token>`."
)
BY_ISSUER = (
    "EXAI is no authorization server. Its tokens come from those that /.well-known/oauth-protected-resource/mcp names, "
    "or from `exai token create` of whoever runs it; send one as `Authorization: Bearer <token>`."
)


def greets(text: str) -> Handler:
    """Make the handler of `/`, for people."""

    async def answer(_: AuthorizedRequest) -> Response:
        return PlainTextResponse(text)

    return answer


def resource_metadata(resource: ProtectedResource) -> Handler:
    """Make the handler of the metadata; where no tokens are asked for there is nothing to find."""

    async def answer(request: AuthorizedRequest) -> Response:
        if not resource.is_announced:
            return _nothing(NO_TOKENS)
        return JSONResponse(resource.metadata(request.scope), headers={"cache-control": "max-age=3600"})

    return answer


def no_authorization_server(resource: ProtectedResource) -> Handler:
    """Make the handler that tells a client where tokens come from, as EXAI gives none."""
    sentence = NO_TOKENS if not resource.is_announced else BY_ISSUER if resource.has_issuers else BY_HAND

    async def answer(_: AuthorizedRequest) -> Response:
        return _nothing(sentence)

    return answer


def _nothing(sentence: str) -> JSONResponse:
    """Answer that nothing is here, as an error of OAuth; this code makes no client try again or drop what it has."""
    return JSONResponse({"error": "access_denied", "error_description": sentence}, status_code=404)
