"""Another party that issues tokens and publishes its keys on loopback, as Keycloak and Supabase Auth do."""

import hmac
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from support.forged_tokens import PrivateKey, Signer, base64url, public_spellings, signature_by

__all__ = ["FakeIssuer", "jwk_of", "make_key", "running_issuer", "shared_signer"]

AUDIENCE = "exai-team"


def make_key(algorithm: str) -> PrivateKey:
    """A key of that kind."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65_537, 2_048)
    return (
        ed25519.Ed25519PrivateKey.generate()
        if algorithm == "EdDSA"
        else ec.generate_private_key(ec.SECP256R1())
    )


def jwk_of(key: PrivateKey, kid: str) -> dict[str, Any]:
    """Its public half as JWKS has it."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        parts = {"n": _number(numbers.n), "e": _number(numbers.e)}
        return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, **parts}
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64url(public.public_bytes_raw())}
    point = public.public_numbers()
    x, y = (base64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y}


@dataclass
class FakeIssuer:
    """What it publishes, and how often it was asked."""

    url: str = ""
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def publish(self, *jwks: Any) -> None:
        """From now on these keys."""
        self.body = json.dumps({"keys": list(jwks)}).encode()

    def settings(self, **changed: object) -> dict[str, object]:
        """As a section of `auth.issuers`."""
        return {
            "issuer": "https://login.example.org/realms/team",
            "audience": AUDIENCE,
            "jwks_url": f"{self.url}/keys",
            "algorithms": ["ES256", "RS256", "EdDSA"],
            **changed,
        }

    def signer(self, key: PrivateKey, kid: str, *, now: float | None = None, **claims: Any) -> Signer:
        """Signs tokens that are good from now on for an hour."""
        issued_at = int(time.time() if now is None else now)
        kinds: dict[type, str] = {rsa.RSAPrivateKey: "RS256", ed25519.Ed25519PrivateKey: "EdDSA"}
        algorithm = next((name for kind, name in kinds.items() if isinstance(key, kind)), "ES256")
        return Signer(
            header={"alg": algorithm, "typ": "JWT", "kid": kid},
            claims={
                "iss": "https://login.example.org/realms/team",
                "aud": [AUDIENCE, "account"],
                "sub": "alice",
                "iat": issued_at,
                "exp": issued_at + 3_600,
                "jti": str(uuid.uuid4()),
                "scope": "openid tools:models profile",
                **claims,
            },
            sign=signature_by(key),
            public=public_spellings(key),
            is_own=False,
        )


def shared_signer(secret: str, *, now: float, **claims: Any) -> Signer:
    """Whoever shares a secret with EXAI."""
    issued_at = int(now)
    return Signer(
        header={"alg": "HS256", "typ": "JWT"},
        claims={
            "iss": "shared",
            "aud": "exai",
            "sub": "alice",
            "iat": issued_at,
            "exp": issued_at + 3_600,
            "jti": "a",
            **claims,
        },
        sign=lambda signed: hmac.digest(secret.encode(), signed, "sha256"),
        is_own=False,
    )


@asynccontextmanager
async def running_issuer(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeIssuer]:
    """Serves until the scope ends."""
    issuer = FakeIssuer()

    async def answer(request: web.Request) -> web.Response:
        issuer.requests.append(request.path)
        return web.Response(body=issuer.body, status=issuer.status, headers=issuer.headers)

    app = web.Application()
    app.router.add_get("/{anything:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    issuer.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield issuer
    finally:
        await runner.cleanup()


def _number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))
