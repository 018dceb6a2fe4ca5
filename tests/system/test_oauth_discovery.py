"""The official SDK's OAuth client against a daemon that believes another issuer: it finds its own way in.

EXAI says where to go (401, RFC 9728) and what more it takes (403); the rest is between the client and the issuer.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from aiohttp import web
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from support.daemons import free_port
from support.fake_issuer import FakeIssuer, jwk_of, make_key
from support.guarded_daemon import guarded_daemon
from support.session_socket import ENVELOPE

REDIRECT = "http://127.0.0.1:1/callback"


class AuthorizationServer:
    """As much of one as a public client needs: metadata, registration, codes, tokens, keys."""

    def __init__(self) -> None:
        self.url = ""
        self.key = make_key("ES256")
        self.asked_for: list[dict[str, str]] = []
        """What the user's browser was sent with, each time."""
        self._codes: dict[str, dict[str, str]] = {}

    def authorize(self, url: str) -> str:
        """What the browser does: the user agrees."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.asked_for.append(asked)
        code = secrets.token_hex(8)
        self._codes[code] = asked
        return code

    async def metadata(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "registration_endpoint": f"{self.url}/register",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def register(self, request: web.Request) -> web.Response:
        return web.json_response({**await request.json(), "client_id": "a client"}, status=201)

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self._codes.pop(str(form["code"]))
        claims: dict[str, Any] = {"iss": self.url, "aud": asked["resource"], "scope": asked["scope"]}
        token = FakeIssuer().signer(self.key, "one", **claims).token()
        told = {"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": asked["scope"]}
        return web.json_response(told)

    async def keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [jwk_of(self.key, "one")]})


@asynccontextmanager
async def authorization_server() -> AsyncIterator[AuthorizationServer]:
    server = AuthorizationServer()
    app = web.Application()
    app.router.add_get("/.well-known/oauth-authorization-server", server.metadata)
    app.router.add_get("/keys", server.keys)
    app.router.add_post("/register", server.register)
    app.router.add_post("/token", server.token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = "http://{}:{}".format(*runner.addresses[0][:2])
    try:
        yield server
    finally:
        await runner.cleanup()


class Storage:
    """Keeps what the SDK's client wants kept."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def provider(url: str, server: AuthorizationServer) -> OAuthClientProvider:
    """The SDK's client, with a user who agrees to everything."""
    answers: list[AuthorizationCodeResult] = []

    async def browse(address: str) -> None:
        code = server.authorize(address)
        answers.append(
            AuthorizationCodeResult(code=code, state=server.asked_for[-1]["state"], iss=server.url)
        )

    async def come_back() -> AuthorizationCodeResult:
        return answers.pop()

    metadata = OAuthClientMetadata.model_validate({"redirect_uris": [REDIRECT], "client_name": "a test"})
    return OAuthClientProvider(url, metadata, Storage(), browse, come_back)


def tool_call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments, "_meta": ENVELOPE}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": name,
    }
    return {
        "json": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        "headers": headers,
    }


async def test_a_client_finds_out_who_issues_tokens_and_which_scopes_it_needs(tmp_path: Path) -> None:
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    async with authorization_server() as server:
        team = "EXAI_AUTH__ISSUERS__TEAM__"
        environ = {
            "EXAI_SERVER__PORT": str(port),
            f"{team}ISSUER": server.url,
            f"{team}AUDIENCE": resource,
            f"{team}JWKS_URL": f"{server.url}/keys",
        }
        async with (
            guarded_daemon(tmp_path / "data", **environ) as guarded,
            httpx2.AsyncClient(auth=provider(resource, server), timeout=30) as client,
        ):
            assert guarded.daemon.mcp_http == resource
            answer = await client.post(resource, **tool_call("status", {}))
            assert not answer.json()["result"]["isError"]
            (first,) = server.asked_for
            assert first["resource"] == resource
            assert first["scope"] == "tools:models tools:status"
            answer = await client.post(resource, **tool_call("search", {"query": "x"}))
            assert not answer.json()["result"]["isError"]
            _, second = server.asked_for
            assert set(second["scope"].split()) == {"tools:models", "tools:search", "tools:status"}
