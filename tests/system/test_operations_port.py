"""The operations port of a real daemon, letter by letter: cookies, headers, forged tokens, revocation by others."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from exai.auth.scopes import DASHBOARD, SCOPES
from support.commands import run_exai
from support.daemons import clean_environ
from support.forged_tokens import forged, own_signer
from support.guarded_daemon import GuardedDaemon, guarded_daemon
from support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_HEAD = 60_000
"""What fits into the head of a request; more of it is no HTTP to the server, whoever sends it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedDaemon]:
    async with guarded_daemon(tmp_path_factory.mktemp("operations") / "data") as started:
        yield started


@dataclass
class Reply:
    """What came back, letter by letter."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection, on which requests are sent as they are written here."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, head: str, body: bytes = b"") -> Reply:
        lines = [line for line in head.strip("\n").split("\n") if line]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        async with asyncio.timeout(30):
            status, *fields = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = [(name.lower(), value) for name, _, value in (f.partition(": ") for f in fields if f)]
            length = next((int(value) for name, value in headers if name == "content-length"), 0)
            body = await self._reader.readexactly(length)
        return Reply(int(status.split(" ")[1]), headers, body)


@asynccontextmanager
async def wire(guarded: GuardedDaemon) -> AsyncIterator[Wire]:
    parts = urlsplit(guarded.daemon.operations)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def host(guarded: GuardedDaemon) -> str:
    return urlsplit(guarded.daemon.operations).netloc


async def sign_in(line: Wire, here: str, ticket: str) -> Reply:
    head = f"POST /api/sign-in HTTP/1.1\nHost: {here}\nOrigin: http://{here}\nContent-Type: application/json"
    return await line.send(head, json.dumps({"ticket": ticket}).encode())


async def ticket_of_the_command(guarded: GuardedDaemon) -> str:
    """What `exai dashboard` prints, run beside the daemon."""
    data_dir = guarded.data_dir
    given = ("dashboard", "--address", guarded.daemon.operations)
    ended = await run_exai(*given, env=clean_environ(data_dir), cwd=data_dir)
    assert ended.code == 0, ended
    address, _, ticket = ended.out.strip().partition("#ticket=")
    assert address == f"{guarded.daemon.operations}/"
    return ticket


async def test_the_command_line_lets_a_browser_in_once(guarded: GuardedDaemon) -> None:
    here, ticket = host(guarded), await ticket_of_the_command(guarded)
    async with wire(guarded) as line:
        page = await line.send(f"GET / HTTP/1.1\nHost: {here}")
        assert (page.status, page.all("set-cookie")) == (200, [])
        (policy,) = page.all("content-security-policy")
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        before = await line.send(f"GET /api/overview HTTP/1.1\nHost: {here}")
        assert (before.status, before.all("www-authenticate")) == (401, ['Bearer realm="exai"'])
        entered = await sign_in(line, here, ticket)
        assert (entered.status, entered.body) == (204, b"")
        (cookie,) = entered.all("set-cookie")
        pair, *attributes = cookie.split("; ")
        assert pair.startswith("__Host-exai=")
        assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]
        assert (await sign_in(line, here, ticket)).status == 401
        looked = await line.send(f"GET /api/overview HTTP/1.1\nHost: {here}\nCookie: {pair}")
        assert looked.status == 200
        assert looked.json["you"]["subject"] == "local"
        assert looked.json["checks"] == dict.fromkeys(
            ("admitting", "database", "providers", "event_loop"), "ok"
        )
        assert looked.all("cache-control") == ["no-store"]
        assert (await line.send(f"GET /metrics HTTP/1.1\nHost: {here}\nCookie: {pair}")).status == 200
        assert (await line.send(f"GET /api/tokens HTTP/1.1\nHost: {here}\nCookie: {pair}")).status == 401
        foreign = f"POST /api/sign-out HTTP/1.1\nHost: {here}\nOrigin: http://127.0.0.1:1\nCookie: {pair}"
        assert (await line.send(foreign)).status == 403
        own = f"POST /api/sign-out HTTP/1.1\nHost: {here}\nOrigin: http://{here}\nCookie: {pair}"
        left = await line.send(own)
        assert left.status == 204
        assert left.all("set-cookie")[0].startswith("__Host-exai=; ")
        assert (await line.send(f"GET /api/overview HTTP/1.1\nHost: {here}\nCookie: {pair}")).status == 401
    assert ticket not in guarded.daemon.log
    assert pair.partition("=")[2] not in guarded.daemon.log


async def test_what_another_process_revokes_ends_browser_and_token(
    guarded: GuardedDaemon,
) -> None:
    here = host(guarded)
    issued = await guarded.authority.create_key("alice", "desk", [DASHBOARD])
    async with wire(guarded) as line:
        asked = f"POST /api/tickets HTTP/1.1\nHost: {here}\nAuthorization: Bearer {issued.access_token}"
        ticket = (await line.send(asked)).json["ticket"]
        pair = (await sign_in(line, here, ticket)).all("set-cookie")[0].partition(";")[0]
        proofs = (f"Cookie: {pair}", f"Authorization: Bearer {issued.access_token}")
        for proof in proofs:
            assert (await line.send(f"GET /api/overview HTTP/1.1\nHost: {here}\n{proof}")).status == 200
        await guarded.authority.revoke(issued.token_id)

        async def is_refused(proof: str) -> bool:
            return (await line.send(f"GET /api/overview HTTP/1.1\nHost: {here}\n{proof}")).status != 200

        for proof in proofs:
            await wait_until(partial(is_refused, proof), what=f"{proof.partition(':')[0]} is refused")


async def test_a_request_that_names_another_host_is_not_served(guarded: GuardedDaemon) -> None:
    here = host(guarded)
    token = await guarded.token(*SCOPES)
    proof = f"Authorization: Bearer {token}"
    for head, status in (
        (f"GET /metrics HTTP/1.1\nHost: {here}\n{proof}", 200),
        (f"GET /metrics HTTP/1.1\nHost: evil.example\n{proof}", 421),
        (f"GET /metrics HTTP/1.1\nHost: {here}@evil.example\n{proof}", 421),
        (f"GET /metrics HTTP/1.1\nHost: {here}\nOrigin: null\n{proof}", 403),
        (f"GET /metrics HTTP/1.1\nHost: {here}\nHost: {here}\n{proof}", 400),
        (f"GET /metrics HTTP/1.1\n{proof}", 400),
        (f"GET /metrics HTTP/1.0\n{proof}", 421),
        ("GET /healthz HTTP/1.1\nHost: 10.1.2.3:8080", 200),
        ("GET /readyz HTTP/1.0\nUser-Agent: kube-probe/1.33", 200),
        ("GET /healthz HTTP/1.1\nHost: 10.1.2.3:8080\nOrigin: https://evil.example", 403),
        (f"GET /metrics HTTP/1.1\nHost: {here}\nAuthorization: bearer {token}", 200),
        (f"GET /metrics HTTP/1.1\nHost: {here}\n{proof}\n{proof}", 401),
        (f"GET /metrics HTTP/1.1\nHost: {here}\nAuthorization: Bearer {token}\tx", 401),
        (f"GET /metrics HTTP/1.1\nHost: {here}\nAuthorization: Basic {token}", 401),
        (f"GET /metrics HTTP/1.1\nHost: {here}\nAuthorization: {token}", 401),
        (f"GET /metrics HTTP/1.1\nHost: {here}\nAuthorization: Bearer {'a' * 9_000}", 401),
    ):
        async with wire(guarded) as line:
            assert (await line.send(head)).status == status, head[:120]


async def test_no_forged_token_opens_this_port(guarded: GuardedDaemon) -> None:
    here = host(guarded)
    genuine = await guarded.token(*SCOPES)
    signer = own_signer(genuine, guarded.its_data)
    sendable = (each for each in forged(signer) if each.token.isascii() and each.token.isprintable())
    corpus = [each for each in sendable if len(each.token) < MAX_HEAD]
    assert len(corpus) >= 300
    async with wire(guarded) as line:
        head = "GET {} HTTP/1.1\nHost: {}\nAuthorization: Bearer {}"
        assert (await line.send(head.format("/metrics", here, signer.token()))).status == 200
        for number, each in enumerate(corpus):
            path = ("/metrics", "/api/tokens", "/api/overview")[number % 3]
            answer = await line.send(head.format(path, here, each.token))
            assert answer.status == 401, each.name
            assert answer.all("www-authenticate")[0].startswith('Bearer realm="exai"'), each.name
    assert "Traceback" not in guarded.daemon.log
