import asyncio
import functools
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from exai_emulator import Emulator, EmulatorOptions, running

MODELS = {"glm": "glm-5.3", "glm_coding": "glm-5.3", "kimi": "kimi-k3", "custom": "emulated-large"}
MODELS |= {"glm_anthropic": "glm-5.3", "kimi_anthropic": "kimi-k3", "kimi_responses": "kimi-k3"}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with running(EmulatorOptions()) as started:
        yield started


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


def key_of(emulator: Emulator, door: str) -> str:
    return str(getattr(emulator.addresses, f"{door.partition('_')[0]}_key"))


@dataclass
class Reply:
    """What came back, whole."""

    status: int
    headers: Any
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def frames(self) -> list[Any]:
        """The data of each event; `[DONE]` as that text."""
        events = self.content.decode().split("\n\n")
        data = [event.removeprefix("data: ") for event in events if event]
        return [entry if entry == "[DONE]" else json.loads(entry) for entry in data]


Post = Callable[..., Awaitable[Reply]]


@pytest.fixture
def started() -> Callable[[EmulatorOptions], AbstractAsyncContextManager[Emulator]]:
    """Another emulator than the fixture's, with options of its own."""
    return running


@pytest.fixture
def post(http: aiohttp.ClientSession) -> Post:
    """Post a chat: `post(emulator, "glm", stop="x")`. None leaves a field out.

    `raw` is the whole body, `query` is appended to the URL, `api_key` goes into the header of that name.
    """

    async def send(
        emulator: Emulator,
        door: str,
        *,
        key: str | None = None,
        raw: str | None = None,
        query: str = "",
        api_key: str | None = None,
        **fields: Any,
    ) -> Reply:
        body = {"model": MODELS[door], "messages": [{"role": "user", "content": "Say hello."}], **fields}
        content = json.dumps({name: value for name, value in body.items() if value is not None})
        headers = {
            "Authorization": f"Bearer {key or key_of(emulator, door)}",
            "Content-Type": "application/json",
        }
        if api_key is not None:
            headers["api-key"] = api_key
        if door == "kimi_responses":
            url = f"{emulator.addresses.kimi}/responses"
        elif door.endswith("_anthropic"):
            url = getattr(emulator.addresses, door) + "/v1/messages"
        else:
            url = getattr(emulator.addresses, door) + "/chat/completions" + query
        async with http.post(
            url,
            data=io.BytesIO((content if raw is None else raw).encode()),
            headers=headers,
            allow_redirects=False,
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    return send


@pytest.fixture
def ask(emulator: Emulator, post: Post) -> Post:
    """Post a chat to the emulator of this test: `ask("glm", temperature=2)`."""
    return functools.partial(post, emulator)


class RawConnection:
    """A client that sees bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(30):
            return await self.reader.readuntil(mark)

    async def rest(self) -> tuple[bytes, str]:
        """Everything up to the end, and whether it was a `fin` or a `reset`."""
        got = b""
        async with asyncio.timeout(30):
            while True:
                try:
                    piece = await self.reader.read(65536)
                except ConnectionResetError:
                    return got, "reset"
                if not piece:
                    return got, "fin"
                got += piece

    def leave(self) -> None:
        self.writer.transport.abort()


RawAsk = Callable[..., Awaitable[RawConnection]]


@pytest.fixture
async def raw_ask(emulator: Emulator) -> AsyncIterator[RawAsk]:
    """Send a chat over a socket of its own and leave the reading to the test."""
    opened: list[RawConnection] = []

    async def send(door: str, *, closes: bool = False, **fields: Any) -> RawConnection:
        at = urlsplit(getattr(emulator.addresses, door) + "/chat/completions")
        body = {"model": MODELS[door], "messages": [{"role": "user", "content": "Say hello."}], **fields}
        content = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        connection = RawConnection(reader, writer)
        opened.append(connection)
        writer.write(
            f"POST {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {key_of(emulator, door)}\r\n"
            f"Content-Type: application/json\r\n{'Connection: close' if closes else 'Connection: keep-alive'}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        await writer.drain()
        return connection

    yield send
    for connection in opened:
        connection.leave()


@pytest.fixture
def emulator_options() -> EmulatorOptions:
    return EmulatorOptions()
