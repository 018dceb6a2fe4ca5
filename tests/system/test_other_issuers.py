"""A daemon that believes another issuer, over its real doors: good tokens, forged ones, and their end."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from exai.auth.scopes import ADMIN
from support.fake_issuer import AUDIENCE, FakeIssuer, jwk_of, make_key, running_issuer
from support.forged_tokens import Forged, forged
from support.guarded_daemon import bearer, guarded_daemon

METHOD_NOT_ALLOWED = 405
"""What `PUT /mcp` answers to whoever was admitted."""


def environ(issuer: FakeIssuer) -> dict[str, str]:
    team = "EXAI_AUTH__ISSUERS__TEAM__"
    return {
        f"{team}ISSUER": str(issuer.settings()["issuer"]),
        f"{team}AUDIENCE": AUDIENCE,
        f"{team}JWKS_URL": f"{issuer.url}/keys",
        f"{team}ALGORITHMS": "RS256",
        f"{team}SCOPES": "tools:status",
    }


def can_be_sent(each: Forged) -> bool:
    """As a header, without being cut off for its length."""
    return each.token.isascii() and each.token.isprintable() and len(each.token) < 12_000


async def test_another_issuers_tokens_at_real_doors(tmp_path: Path) -> None:
    key = make_key("RS256")
    async with running_issuer() as issuer:
        issuer.publish(jwk_of(key, "one"))
        async with (
            guarded_daemon(tmp_path / "data", **environ(issuer)) as guarded,
            aiohttp.ClientSession() as http,
        ):
            signer = issuer.signer(key, "one")
            good = signer.token()
            ports = (guarded.daemon.mcp_http, f"{guarded.daemon.operations}/metrics")

            async def status(url: str, token: str) -> int:
                async with http.put(url, headers=bearer(token)) as response:
                    return response.status

            assert await status(guarded.daemon.mcp_http, good) == METHOD_NOT_ALLOWED
            corpus = [each for each in forged(signer) if can_be_sent(each)]
            assert len(corpus) >= 300
            for each in corpus[::3]:
                assert await status(ports[0], each.token) in {400, 401, 431}, each.name
            for each in corpus[1::10]:
                async with http.get(ports[1], headers=bearer(each.token)) as response:
                    assert response.status in {400, 401, 431}, each.name
            assert issuer.requests == ["/keys"]

            async with connect(
                guarded.daemon.mcp_ws, subprotocols=[Subprotocol("mcp")], additional_headers=bearer(good)
            ) as socket:
                admin = (await guarded.authority.create_key("root", "admin", [ADMIN])).access_token
                async with http.post(
                    f"{guarded.daemon.operations}/api/revocations/token",
                    json={"token_id": signer.claims["jti"], "issuer": "team"},
                    headers=bearer(admin),
                ) as response:
                    assert response.status == 204
                with pytest.raises(ConnectionClosed) as closed:
                    async with asyncio.timeout(30):
                        await socket.recv()
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "revoked")
            assert await status(guarded.daemon.mcp_http, good) == 401
            other = issuer.signer(key, "one")
            assert await status(guarded.daemon.mcp_http, other.token()) == METHOD_NOT_ALLOWED

            log = guarded.daemon.log
            assert "Traceback" not in log
            assert '"by": "root"' in log
            shown = [each.name for each in corpus if len(each.token) > 40 and each.token in log]
            assert shown == []
            assert good.rpartition(".")[2] not in log
            assert admin.split("_", 2)[2] not in log
