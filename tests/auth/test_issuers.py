"""Tokens of other issuers: how their keys are fetched, followed and mistrusted."""

import asyncio
import gzip
import secrets
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from exai import config
from exai.auth import jwks
from exai.auth.jwks import FetchFailed, IssuerKeys
from exai.auth.jws import decoded, encoded
from exai.config.values import is_loopback
from exai.errors import KeysUnavailable, StartFault
from exai.runtime.clock import ManualClock
from support.fake_issuer import FakeIssuer, jwk_of, make_key, running_issuer, shared_signer
from support.gates import OpenGate
from support.resolvers import OneAddress, SeveralAddresses

pytestmark = pytest.mark.sqlite

KEY = make_key("ES256")
OTHER = make_key("ES256")
RSA = make_key("RS256")


@pytest.fixture
async def issuer() -> AsyncIterator[FakeIssuer]:
    async with running_issuer() as issuer:
        issuer.publish(jwk_of(KEY, "one"))
        yield issuer


def keys_of(url: str, resolver: AbstractResolver | None = None, **changed: object) -> IssuerKeys:
    settings = config.Issuer.model_validate({"issuer": "i", "audience": "a", "jwks_url": url, **changed})
    return IssuerKeys("team", settings, ManualClock(), resolver=resolver, timeout_s=0.5)


async def test_a_token_as_keycloak_makes_it_is_believed(open_gate: OpenGate, issuer: FakeIssuer) -> None:
    issuer.publish(jwk_of(RSA, "rsa"), {**jwk_of(OTHER, "enc"), "use": "enc"})
    gate = await open_gate(issuers={"keycloak": issuer.settings()})
    signer = issuer.signer(RSA, "rsa", now=gate.clock.wall(), typ="Bearer", azp="exai-cli", acr="1")
    caller = await gate.admit(signer.token())
    assert (caller.subject, caller.scopes) == ("keycloak:alice", frozenset({"tools:models"}))
    assert caller.credential is not None
    assert (caller.credential.issuer, caller.credential.token_id) == ("keycloak", signer.claims["jti"])
    await gate.authority.revoke(signer.claims["jti"], issuer="keycloak")
    await gate.authenticator.refresh()
    assert gate.authenticator.end_of(caller) == "revoked"
    await gate.refuses(signer.token())


async def test_an_id_token_opens_nothing_and_an_access_token_with_a_nonce_does(
    open_gate: OpenGate, issuer: FakeIssuer
) -> None:
    gate = await open_gate(issuers={"team": issuer.settings()})

    def token(**claims: object) -> str:
        return issuer.signer(KEY, "one", now=gate.clock.wall(), **claims).token()

    for claims in ({"nonce": "n"}, {"token_use": "id"}, {"token_use": 1}, {"typ": "ID", "nonce": "n"}):
        await gate.refuses(token(**claims))
    for claims in ({"typ": "Bearer", "nonce": "n"}, {"token_use": "access"}):
        assert (await gate.admit(token(**claims))).subject == "team:alice"


async def test_a_token_as_supabase_makes_it_is_believed(open_gate: OpenGate, issuer: FakeIssuer) -> None:
    settings = issuer.settings(
        audience="authenticated", id_claim="session_id", scopes=["tools:models", "tools:status"]
    )
    gate = await open_gate(issuers={"supabase": settings})
    signer = issuer.signer(
        KEY,
        "one",
        now=gate.clock.wall(),
        aud="authenticated",
        session_id="5f3a",
        role="authenticated",
        aal="aal1",
    )
    claims = {name: value for name, value in signer.claims.items() if name not in {"jti", "scope"}}
    caller = await gate.admit(signer.token(claims=claims))
    assert (caller.subject, caller.scopes) == ("supabase:alice", frozenset({"tools:models", "tools:status"}))
    assert caller.credential is not None
    assert caller.credential.token_id == "5f3a"


async def test_the_principal_of_another_issuer_is_ended_by_its_whole_name(
    open_gate: OpenGate, issuer: FakeIssuer
) -> None:
    gate = await open_gate(issuers={"team": issuer.settings()}, leeway_s=30)
    own = await gate.authority.create("alice", "laptop")
    old = issuer.signer(KEY, "one", now=gate.clock.wall())
    await gate.admit(old.token())
    assert await gate.authority.revoke_subject("team:alice") == 0
    await gate.authenticator.refresh()
    await gate.refuses(old.token())
    assert (await gate.admit(own.access_token)).subject == "alice"
    gate.clock.advance(20)  # the issuer's clock may be ahead: what says it is newer may be older
    await gate.refuses(issuer.signer(KEY, "one", now=gate.clock.wall()).token())
    gate.clock.advance(11)
    assert (
        await gate.admit(issuer.signer(KEY, "one", now=gate.clock.wall()).token())
    ).subject == "team:alice"


async def test_a_second_end_by_a_clock_that_is_behind_gives_nothing_back(
    open_gate: OpenGate, issuer: FakeIssuer
) -> None:
    gate = await open_gate(issuers={"team": issuer.settings()})
    gate.clock.advance(1_000)
    old = issuer.signer(KEY, "one", now=gate.clock.wall()).token()
    await gate.authority.revoke_subject("team:alice")
    gate.clock.advance(-1_000)
    await gate.authority.revoke_subject("team:alice")
    gate.clock.advance(1_000)
    await gate.authenticator.refresh()
    await gate.refuses(old)


async def test_another_issuers_clock_may_differ_by_the_leeway_and_no_more(
    open_gate: OpenGate, issuer: FakeIssuer
) -> None:
    gate = await open_gate(issuers={"team": issuer.settings()}, leeway_s=30)
    now = gate.clock.wall()
    await gate.admit(issuer.signer(KEY, "one", now=now + 29).token())
    await gate.refuses(issuer.signer(KEY, "one", now=now + 31).token())
    late = issuer.signer(KEY, "one", now=now - 3_600)
    caller = await gate.admit(late.token())
    gate.clock.advance(29)
    assert gate.authenticator.end_of(caller) is None
    gate.clock.advance(1)
    assert gate.authenticator.end_of(caller) == "expired"
    await gate.refuses(late.token())


async def test_a_new_key_is_fetched_when_it_is_met_and_not_more_often_than_that(
    open_gate: OpenGate, issuer: FakeIssuer
) -> None:
    gate = await open_gate(issuers={"team": issuer.settings()})

    def signed(kid: str) -> str:
        return issuer.signer(OTHER, kid, now=gate.clock.wall()).token()

    await gate.admit(issuer.signer(KEY, "one", now=gate.clock.wall()).token())
    for number in range(20):
        await gate.refuses(signed(f"unknown-{number}"))
    assert len(issuer.requests) == 1
    issuer.publish(jwk_of(KEY, "one"), jwk_of(OTHER, "two"))
    await gate.refuses(signed("two"))
    gate.clock.advance(jwks.BETWEEN_FETCHES_S)
    await gate.admit(signed("two"))
    assert len(issuer.requests) == 2


async def test_a_key_that_its_issuer_took_back_is_noticed(open_gate: OpenGate, issuer: FakeIssuer) -> None:
    gate = await open_gate(issuers={"team": issuer.settings()})
    token = issuer.signer(KEY, "one", now=gate.clock.wall()).token()
    await gate.admit(token)
    issuer.publish(jwk_of(OTHER, "two"))
    gate.clock.advance(jwks.FRESH_S + 1)
    await gate.admit(token)  # the known key serves while the keys are fetched
    await gate.admit(issuer.signer(OTHER, "two", now=gate.clock.wall()).token())  # waits for that fetch
    gate.clock.advance(jwks.FRESH_S + 1)
    await gate.refuses(token)


async def test_an_issuer_that_is_away_is_bridged_and_one_that_never_was_there_is_said_so(
    open_gate: OpenGate, issuer: FakeIssuer
) -> None:
    gate = await open_gate(issuers={"team": issuer.settings()})
    token = issuer.signer(KEY, "one", now=gate.clock.wall()).token()
    issuer.status = 503
    with pytest.raises(KeysUnavailable) as fault:
        await gate.admit(token)
    assert fault.value.retryable
    issuer.status = 200
    gate.clock.advance(jwks.BETWEEN_FETCHES_S)
    await gate.admit(token)
    issuer.status = 503
    gate.clock.advance(jwks.FRESH_S + 1)
    await gate.admit(token)
    await gate.admit(issuer.signer(KEY, "one", now=gate.clock.wall()).token())


async def test_many_who_come_at_once_fetch_once(open_gate: OpenGate, issuer: FakeIssuer) -> None:
    gate = await open_gate(issuers={"team": issuer.settings()})
    tokens = [issuer.signer(KEY, "one", now=gate.clock.wall()).token() for _ in range(20)]
    await asyncio.gather(*(gate.admit(token) for token in tokens))
    assert len(issuer.requests) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {},
        [],
        None,
        "key",
        {"kty": "EC"},
        {**jwk_of(KEY, "one"), "x": "AA"},
        {**jwk_of(KEY, "one"), "y": jwk_of(OTHER, "one")["y"]},
        {**jwk_of(KEY, "one"), "x": 5},
        {**jwk_of(KEY, "one"), "x": "AA" + jwk_of(KEY, "one")["x"]},
        {**jwk_of(KEY, "one"), "x": encoded(b"\0" + decoded(jwk_of(KEY, "one")["x"]))},
        {**jwk_of(KEY, "one"), "crv": "P-384"},
        {**jwk_of(KEY, "one"), "d": "AAAA"},
        {**jwk_of(KEY, "one"), "use": "enc"},
        {**jwk_of(KEY, "one"), "key_ops": ["sign"]},
        {**jwk_of(KEY, "one"), "key_ops": "verify"},
        {**jwk_of(KEY, "one"), "alg": "ES384"},
        {**jwk_of(KEY, "one"), "alg": "none"},
        {**jwk_of(KEY, "one"), "kid": ""},
        {**jwk_of(KEY, "one"), "kid": None},
        {**jwk_of(KEY, "one"), "kty": "oct", "k": "AAAA"},
        {"kty": "oct", "k": "", "kid": "one"},
        {"kty": "oct", "k": "AAAA", "kid": "one", "alg": "HS256"},
        jwk_of(rsa.generate_private_key(65_537, 1_024), "one"),
        {**jwk_of(RSA, "one"), "n": "AQAB"},
        {**jwk_of(RSA, "one"), "e": "AQ"},
        {**jwk_of(RSA, "one"), "n": ""},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "one"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "one"},
    ],
)
async def test_entries_that_are_no_good_keys_are_passed_over(issuer: FakeIssuer, broken: Any) -> None:
    issuer.publish(broken, jwk_of(OTHER, "two"))
    assert (await keys_of(f"{issuer.url}/keys").fetch()).keys() == {"two"}


async def test_a_name_that_two_keys_share_is_nobodys(issuer: FakeIssuer) -> None:
    issuer.publish(jwk_of(KEY, "one"), jwk_of(OTHER, "one"), jwk_of(OTHER, "two"), jwk_of(KEY, "one"))
    assert (await keys_of(f"{issuer.url}/keys").fetch()).keys() == {"two"}


async def test_only_the_algorithms_of_the_settings_count(issuer: FakeIssuer) -> None:
    issuer.publish(jwk_of(KEY, "one"), jwk_of(RSA, "two"))
    assert (await keys_of(f"{issuer.url}/keys", algorithms=["RS256"]).fetch()).keys() == {"two"}


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b"[" * 9_000, b"\xff", b"x" * 300_000],
)
async def test_an_answer_that_is_no_set_of_keys_is_refused(issuer: FakeIssuer, body: bytes) -> None:
    issuer.body = body
    with pytest.raises(FetchFailed):
        await keys_of(f"{issuer.url}/keys").fetch()


async def test_an_answer_without_end_is_read_up_to_its_bound(issuer: FakeIssuer) -> None:
    issuer.body = b" " * jwks.LARGEST + issuer.body
    with pytest.raises(FetchFailed, match="more than"):
        await keys_of(f"{issuer.url}/keys").fetch()


async def test_no_redirect_is_followed(issuer: FakeIssuer) -> None:
    issuer.status, issuer.headers = 302, {"Location": f"{issuer.url}/elsewhere"}
    with pytest.raises(FetchFailed, match="302"):
        await keys_of(f"{issuer.url}/keys").fetch()
    assert issuer.requests == ["/keys"]


async def test_a_compressed_answer_does_not_grow(issuer: FakeIssuer) -> None:
    issuer.headers = {"Content-Encoding": "gzip"}
    issuer.body = gzip.compress(b" " * 2**24 + issuer.body)
    with pytest.raises(FetchFailed, match="not JSON"):
        await keys_of(f"{issuer.url}/keys").fetch()


async def test_no_proxy_of_the_environment_is_used(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_issuer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        await keys_of(f"{issuer.url}/keys").fetch()
        assert proxy.requests == []


def certificate_of_nobody(folder: Path) -> ssl.SSLContext:
    """TLS as anybody on the way could offer it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / "tls.pem"
    file.write_bytes(
        key.private_bytes(pem, pkcs8, serialization.NoEncryption()) + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with running_issuer(certificate_of_nobody(tmp_path)) as impostor:
        impostor.publish(jwk_of(KEY, "one"))
        with pytest.raises(FetchFailed, match="Certificate"):
            await keys_of(f"{impostor.url}/keys").fetch()
        assert impostor.requests == []


async def test_an_issuer_that_does_not_answer_costs_its_time_and_no_more() -> None:
    asked: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: asked.append(writer), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        with pytest.raises(FetchFailed, match="within"):
            await keys_of(f"http://{host}:{port}/keys").fetch()
        for writer in asked:
            writer.close()


NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fec0::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_that_leads_to_no_public_address_is_not_connected_to(address: str) -> None:
    with pytest.raises(FetchFailed, match="not public"):
        await keys_of("https://login.example.org/keys", OneAddress(address)).fetch()


async def test_a_name_that_leads_to_a_public_address_and_to_another_is_not_connected_to() -> None:
    for addresses in (("8.8.8.8", "10.0.0.1"), ("10.0.0.1", "8.8.8.8"), ("8.8.8.8", "::1")):
        with pytest.raises(FetchFailed, match="not public"):
            await keys_of("https://login.example.org/keys", SeveralAddresses(*addresses)).fetch()


@pytest.mark.parametrize(
    "address", [each for each in NOT_PUBLIC if not is_loopback(each) and "%" not in each]
)
async def test_such_an_address_in_the_url_itself_is_not_connected_to_either(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(FetchFailed, match="not public"):
        await keys_of(f"https://{literal}:1/keys").fetch()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "fec0::1",
        "::ffff:127.0.0.1",
        "::ffff:100.100.100.200",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    ],
)
async def test_a_private_network_is_not_this_machine_and_not_a_clouds_metadata(address: str) -> None:
    keys = keys_of("https://login.example.org/keys", OneAddress(address), private_network=True)
    with pytest.raises(FetchFailed, match="not public"):
        await keys.fetch()


async def test_a_name_on_loopback_must_lead_to_loopback(issuer: FakeIssuer) -> None:
    port = issuer.url.rpartition(":")[2]
    with pytest.raises(FetchFailed, match="loopback"):
        await keys_of(f"http://localhost:{port}/keys", OneAddress("10.0.0.1")).fetch()
    assert await keys_of(f"http://localhost:{port}/keys", OneAddress("127.0.0.1")).fetch()


async def test_a_name_that_flips_after_the_look_is_not_looked_up_twice() -> None:
    resolver = OneAddress("192.0.2.1", "127.0.0.1")
    with pytest.raises(FetchFailed):
        await keys_of("https://login.example.org/keys", resolver).fetch()
    assert resolver.asked == 1


async def test_an_issuer_cannot_give_scopes_that_there_are_not(
    open_gate: OpenGate, issuer: FakeIssuer
) -> None:
    for setting in ("scopes", "grants"):
        with pytest.raises(StartFault, match=rf"team\.{setting}.*no scope"):
            await open_gate(issuers={"team": issuer.settings(**{setting: ["everything"]})})
    with pytest.raises(StartFault, match=r"shared_secret_grants.*no scope"):
        await open_gate(shared_secret=secrets.token_hex(32), shared_secret_grants=["everything"])


async def test_foreign_admin_scopes_grant_nothing_unless_configured(
    open_gate: OpenGate, issuer: FakeIssuer
) -> None:
    secret = secrets.token_hex(32)
    now = (await open_gate()).clock.wall()
    words = "openid profile admin dashboard files"
    signed = issuer.signer(KEY, "one", now=now, scope=words).token()
    shared = shared_signer(secret, now=now, scope=words).token()

    async def scopes(token: str, *, grants: dict[str, object]) -> frozenset[str]:
        gate = await open_gate(
            issuers={"team": issuer.settings(**grants)},
            shared_secret=secret,
            **{f"shared_secret_{name}": value for name, value in grants.items()},
        )
        return (await gate.admit(token)).scopes

    for token in (signed, shared):
        assert await scopes(token, grants={}) == {"files"}
        assert await scopes(token, grants={"grants": ["admin", "tools:search"]}) == {"admin"}
        assert await scopes(token, grants={"grants": []}) == frozenset()
