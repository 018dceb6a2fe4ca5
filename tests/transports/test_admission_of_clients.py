"""A client's channel before doors that refuse it in every way, without wearing them out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from exai.client import InDoubt, Session, Unauthenticated, Unreachable, connect
from exai.client import tokens as module
from exai.client.channel import LONGEST_PAUSE_S
from exai.client.credentials_file import Credentials, write_credentials
from exai.client.tokens import RETRY_REFUSED_S
from exai.protocol.session import SESSION_SUBPROTOCOL
from exai.runtime.clock import Clock
from support.token_endpoint import in_s
from support.virtual_time import now
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

Judge = Callable[[str | None], Response | None]


@dataclass
class Door:
    """Takes every session and answers no request."""

    url: str = ""
    shown: list[str | None] = field(default_factory=list)
    """The `Authorization` of each handshake."""
    closes_with: tuple[int, str] | None = None


def refusal(status: HTTPStatus, **headers: str) -> Response:
    return Response(status, status.phrase, Headers({"Content-Length": "0", **headers}))


@asynccontextmanager
async def door(judge: Judge) -> AsyncIterator[Door]:
    opened = Door()

    def process_request(_: ServerConnection, request: Request) -> Response | None:
        opened.shown.append(request.headers.get("Authorization"))
        return judge(opened.shown[-1])

    async def take(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('{"t":"opened","session":"s","secret":"x","credit":9,"grace_s":1}')
        if opened.closes_with is not None:
            await connection.close(*opened.closes_with)
        await connection.wait_closed()

    async with serve(
        take, "127.0.0.1", 0, process_request=process_request, subprotocols=[Subprotocol(SESSION_SUBPROTOCOL)]
    ) as server:
        opened.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        yield opened


def never(_: str | None) -> Response:
    return refusal(HTTPStatus.UNAUTHORIZED)


def always(_: str | None) -> None:
    return None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "c.json"
    write_credentials(file, Credentials("one"))
    return file


async def test_a_token_travels_in_the_header_and_without_one_there_is_none(file: Path) -> None:
    async with door(never) as refusing:
        for given in ({"token": "t"}, {"credentials": file}, {}):
            async with connect(refusing.url, **given) as session:
                with pytest.raises(Unauthenticated):
                    await session.call("echo")
    assert refusing.shown == ["Bearer t", "Bearer one", None]


async def test_a_refused_token_is_not_shown_again_and_again(file: Path) -> None:
    async with door(never) as refusing, connect(refusing.url, credentials=file) as session:
        for _ in range(20):
            with pytest.raises(Unauthenticated, match="exai token create"):
                await session.call("echo")
        assert refusing.shown == ["Bearer one"]
        write_credentials(file, Credentials("two"))
        await wait_until(lambda: len(refusing.shown) == 2, what="the token that is in the file now is shown")
        for _ in range(20):
            with pytest.raises(Unauthenticated, match="exai token create"):
                await session.call("echo")
        assert refusing.shown == ["Bearer one", "Bearer two"]


async def test_a_refused_token_is_tried_again_after_a_while() -> None:
    moments: list[float] = []

    def refuse_twice(_: str | None) -> Response | None:
        moments.append(now())
        return never(_) if len(moments) < 3 else None

    async with door(refuse_twice) as mended, connect(mended.url, token="t") as session:
        with pytest.raises(Unauthenticated):
            await session.call("echo")
        await wait_until(lambda: len(moments) == 3, within=100, what="the token is shown three times")
    for earlier, later in pairwise(moments):
        assert RETRY_REFUSED_S <= later - earlier <= RETRY_REFUSED_S + LONGEST_PAUSE_S


async def refused_in_the_end(session: Session) -> str:
    """What a call is told once the socket is closed; those that were under way at that moment are in doubt."""
    while True:
        try:
            await session.call("echo")
        except InDoubt:
            continue
        except Unauthenticated as refused:
            return str(refused)


@pytest.mark.parametrize(
    ("reason", "says"),
    [("expired", "which has expired"), ("revoked", "which was revoked"), ("", "given. Make")],
)
async def test_a_closed_socket_says_why(reason: str, says: str) -> None:
    async with door(always) as ending:
        ending.closes_with = (4401, reason)
        async with connect(ending.url, token="t", patience_s=0.3) as session:
            assert says in await refused_in_the_end(session)
    assert len(ending.shown) == 1


async def test_a_door_that_ends_every_token_at_once_is_not_stormed_with_fresh_ones(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def refresh(_: str, refresh_token: str, _clock: Clock) -> Credentials:
        fetched.append(refresh_token)
        return Credentials(f"a{len(fetched)}", f"r{len(fetched)}", in_s(3600))

    monkeypatch.setattr(module, "refresh", refresh)
    write_credentials(file, Credentials("a0", "r0", in_s(3600)))
    async with door(always) as ending:
        ending.closes_with = (4401, "expired")
        async with connect(ending.url, credentials=file, patience_s=0.3) as session:
            assert "which has expired" in await refused_in_the_end(session)
    assert ending.shown == ["Bearer a0", "Bearer a1"]
    assert fetched == ["r0"]


async def test_a_refused_token_is_not_shown_while_the_next_cannot_be_fetched(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refresh(_: str, refresh_token: str, _clock: Clock) -> Credentials:
        tried.append(refresh_token)
        if len(tried) < 4:
            raise ConnectionError("its token endpoint answers with HTTP 503")
        return Credentials("a1", "r1", in_s(3600))

    monkeypatch.setattr(module, "refresh", refresh)
    write_credentials(file, Credentials("a0", "r0", in_s(3600)))
    async with (
        door(lambda shown: never(shown) if shown == "Bearer a0" else None) as picky,
        connect(picky.url, credentials=file, patience_s=0.05) as session,
    ):
        with pytest.raises(Unreachable):
            await session.call("echo")
        await wait_until(lambda: len(picky.shown) == 2, what="the second token is shown")
    assert picky.shown == ["Bearer a0", "Bearer a1"]
    assert tried == ["r0"] * 4


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        (
            "text/plain; charset=utf-8",
            b"Too many sockets. Close one.\nMore",
            "HTTP 429: Too many sockets. Close one. Start",
        ),
        ("text/plain", b"\x1b[31m" + b"x" * 9000, r"HTTP 429: \[31mx{196}\. Start"),
        ("text/plain", b"\xff", "HTTP 429: \ufffd. Start"),
        ("text/plain", b"", r"HTTP 429\. Start"),
        ("text/html", b"<p>No</p>", r"HTTP 429\. Start"),
    ],
)
async def test_a_refusal_of_the_door_is_shown_as_one_plain_line(kind: str, body: bytes, says: str) -> None:
    headers = Headers({"Content-Length": str(len(body)), "Content-Type": kind})
    response = Response(429, "Too Many Requests", headers, body)
    async with (
        door(lambda _: response) as limiting,
        connect(limiting.url, token="t", patience_s=1) as session,
    ):
        with pytest.raises(Unreachable, match=says):
            await session.call("echo")


async def test_a_token_never_follows_a_redirect() -> None:
    async with door(always) as elsewhere:
        to = refusal(HTTPStatus.TEMPORARY_REDIRECT, Location=elsewhere.url)
        async with door(lambda _: to) as leading, connect(leading.url, token="t", patience_s=1) as session:
            with pytest.raises(Unreachable, match="HTTP 307"):
                await session.call("echo")
    assert elsewhere.shown == []


async def test_a_daemon_that_went_away_after_a_refusal_is_said_to_be_away() -> None:
    async with AsyncExitStack() as scopes:
        async with door(never) as refusing:
            session = await scopes.enter_async_context(connect(refusing.url, token="t", patience_s=1))
            with pytest.raises(Unauthenticated):
                await session.call("echo")
        await asyncio.sleep(RETRY_REFUSED_S + 1)
        with pytest.raises(Unreachable, match="nothing listens there"):
            await session.call("echo")
