"""The corpus of forged tokens against the verifier, for every way of signing: none is believed."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exai.callers import Door
from exai.errors import Unauthenticated
from support.fake_issuer import FakeIssuer, jwk_of, make_key, running_issuer, shared_signer
from support.forged_tokens import Signer, forged, own_signer
from support.gates import Gate, OpenGate

pytestmark = pytest.mark.sqlite

NO_LIMIT = 1_000_000


@pytest.fixture
async def issuer() -> AsyncIterator[FakeIssuer]:
    async with running_issuer() as issuer:
        yield issuer


async def none_is_believed(gate: Gate, signer: Signer) -> None:
    assert (await gate.admit(signer.token())).credential is not None
    corpus = forged(signer)
    assert len(corpus) >= 300
    for each in corpus:
        headers = [(b"authorization", b"Bearer " + each.token.encode("utf-8", "surrogatepass"))]
        with pytest.raises(Unauthenticated):
            await gate.authenticator.authenticate(headers, door=Door.HTTP, address="::1")
    assert (await gate.admit(signer.token())).credential is not None


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_forged_tokens_of_our_own(open_gate: OpenGate, tmp_path: Path, algorithm: str) -> None:
    gate = await open_gate(algorithm=algorithm, failures_per_minute=NO_LIMIT)
    issued = await gate.authority.create("alice", "laptop")
    await none_is_believed(gate, own_signer(issued.access_token, tmp_path))


async def test_forged_tokens_of_the_shared_secret(open_gate: OpenGate) -> None:
    secret = secrets.token_hex(32)
    gate = await open_gate(shared_secret=secret, failures_per_minute=NO_LIMIT)
    signer = shared_signer(secret, now=gate.clock.wall())
    assert (await gate.admit(signer.token())).subject == "shared:alice"
    await none_is_believed(gate, signer)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_forged_tokens_of_another_issuer(
    open_gate: OpenGate, issuer: FakeIssuer, algorithm: str
) -> None:
    key = make_key(algorithm)
    issuer.publish(jwk_of(key, "one"))
    gate = await open_gate(issuers={"team": issuer.settings()}, failures_per_minute=NO_LIMIT)
    await none_is_believed(gate, issuer.signer(key, "one", now=gate.clock.wall()))
    assert len(issuer.requests) == 1
