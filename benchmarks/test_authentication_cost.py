"""What it costs to tell who is at the door: a token that is known, one that is new, one that is refused."""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exai import config
from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority, IssuedTokens
from exai.callers import Caller, Door
from exai.errors import Unauthenticated
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from support.fake_issuer import FakeIssuer, jwk_of, make_key, running_issuer
from support.forged_tokens import Signer, forged, own_signer

AT_ONCE = 100
"""Admissions per round; a round shares one run of the loop."""


class Bench:
    """An authenticator over a real database, and who signs for it."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._folder = folder
        self._secret = secrets.token_hex(32)
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self._issuing = running_issuer()
        self.issuer: FakeIssuer = await self._issuing.__aenter__()
        self.rsa = make_key("RS256")
        self.issuer.publish(jwk_of(self.rsa, "one"))
        settings = config.Auth.model_validate(
            {
                "mode": "required",
                "shared_secret": self._secret,
                "failures_per_minute": 1_000_000,
                "issuers": {"team": self.issuer.settings()},
            }
        )
        self.database = await Database.open(config.Database(), self._folder)
        tables = IdentityTables(self.database)
        self.authenticator = await Authenticator.open(settings, tables, SystemClock())
        self.authority = Authority(
            settings, tables, self._folder, SystemClock(), changed=self.authenticator.refresh
        )

    def close(self) -> None:
        self.loop.run_until_complete(self._close())
        self.loop.close()

    async def _close(self) -> None:
        await self.authenticator.close()
        await self.database.close()
        await self._issuing.__aexit__(None, None, None)

    def signer(self, algorithm: str) -> Signer:
        """Signs new tokens in that way."""
        if algorithm == "HS256":
            return self._shared()
        if algorithm == "RS256":
            return self.issuer.signer(self.rsa, "one")
        self.loop.run_until_complete(
            self.authority.rotate_keys(algorithm="EdDSA" if algorithm == "EdDSA" else "ES256")
        )
        return own_signer(self.made().access_token, self._folder)

    def made(self, *, key: bool = False) -> IssuedTokens:
        """A token or an API key."""
        create = self.authority.create_key if key else self.authority.create
        return self.loop.run_until_complete(create("alice", "benchmark"))

    def admitted(self, tokens: list[str]) -> list[Caller]:
        """Callers, one after the other."""

        async def admit() -> list[Caller]:
            return [
                await self.authenticator.authenticate(
                    [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer " + token.encode())],
                    door=Door.HTTP,
                    address="127.0.0.1",
                )
                for token in tokens
            ]

        return self.loop.run_until_complete(admit())

    def refused(self, tokens: list[str]) -> int:
        """How many are refused."""
        count = 0
        for token in tokens:
            try:
                self.admitted([token])
            except Unauthenticated:
                count += 1
        return count

    def _shared(self) -> Signer:
        pattern = self.issuer.signer(self.rsa, "one").claims
        secret = self._secret.encode()
        return Signer(
            header={"alg": "HS256", "typ": "JWT"},
            claims={**pattern, "iss": "shared", "aud": "exai"},
            sign=lambda signed: hmac.digest(secret, signed, "sha256"),
            is_own=False,
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("authentication"))
    yield made
    made.close()


def _measure(
    benchmark: Any, arm: str, work: Callable[[list[str]], Any], tokens: Callable[[], list[str]]
) -> Any:
    benchmark.group = "authentication"
    benchmark.extra_info.update(arm=arm, calls=AT_ONCE)
    return benchmark.pedantic(work, setup=lambda: ((tokens(),), {}), rounds=30, iterations=1, warmup_rounds=3)


@pytest.mark.parametrize("kind", ["token", "API key"])
def test_known(benchmark: Any, bench: Bench, kind: str) -> None:
    token = bench.made(key=kind == "API key").access_token
    bench.admitted([token])
    callers = _measure(benchmark, f"known {kind}", bench.admitted, lambda: [token] * AT_ONCE)
    assert len(callers) == AT_ONCE


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256", "HS256"])
def test_new(benchmark: Any, bench: Bench, algorithm: str) -> None:
    signer = bench.signer(algorithm)

    def tokens() -> list[str]:
        return [
            signer.token(claims={**signer.claims, "jti": f"{secrets.token_hex(8)}.{secrets.token_hex(8)}"})
            for _ in range(AT_ONCE)
        ]

    assert len(_measure(benchmark, f"new, {algorithm}", bench.admitted, tokens)) == AT_ONCE


def test_new_api_key(benchmark: Any, bench: Bench) -> None:
    created = iter([bench.made(key=True).access_token for _ in range(10 * 33)])

    def tokens() -> list[str]:
        return [next(created) for _ in range(10)]

    benchmark.group = "authentication"
    benchmark.extra_info.update(arm="new API key (asks the database)", calls=10)
    callers = benchmark.pedantic(
        bench.admitted, setup=lambda: ((tokens(),), {}), rounds=30, iterations=1, warmup_rounds=3
    )
    assert len(callers) == 10


@pytest.mark.parametrize("wrong", ["signature", "form"])
def test_refused(benchmark: Any, bench: Bench, wrong: str) -> None:
    signer = bench.signer("ES256")
    token = signer.token(sign=lambda _: bytes(64)) if wrong == "signature" else "x" * 500
    refused = _measure(benchmark, f"refused for its {wrong}", bench.refused, lambda: [token] * AT_ONCE)
    assert refused == AT_ONCE


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256", "HS256"])
def test_every_forged_token(benchmark: Any, bench: Bench, algorithm: str) -> None:
    """One refusal per round, so that the slowest is seen as the maximum."""
    corpus = [each.token for each in forged(bench.signer(algorithm))]
    sendable = [token for token in corpus if token.isascii() and token.isprintable()]
    tokens = iter(sendable)
    benchmark.group = "authentication"
    benchmark.extra_info.update(arm=f"refused, the whole corpus, {algorithm}", calls=1)
    refused = benchmark.pedantic(
        bench.refused, setup=lambda: (([next(tokens)],), {}), rounds=len(sendable), iterations=1
    )
    assert refused == 1


def test_open_socket(benchmark: Any, bench: Bench) -> None:
    [caller] = bench.admitted([bench.made().access_token])
    benchmark.group = "authentication"
    benchmark.extra_info.update(arm="a call on an open socket", calls=1)
    assert benchmark(bench.authenticator.end_of, caller) is None
