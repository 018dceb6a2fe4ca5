"""An endpoint that refreshes tokens as the daemon does, and counts."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

__all__ = ["TokenEndpoint", "token_endpoint"]


@dataclass
class TokenEndpoint:
    """One family of tokens: `r0` gives `a1` and `r1`, that gives `a2` and `r2`."""

    url: str = ""
    """Of the MCP door beside it."""
    life_s: float = 3600.0
    current: int = 0
    used: set[int] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    answers_with: bytes | None = None
    """Instead of tokens."""
    loses_answers: bool = False
    revoked: bool = False

    def use(self, access_token: str) -> None:
        """What the door does with a token: from now on the refresh token that led to it is spent."""
        self.used.add(int(access_token.removeprefix("a")))

    def answer(self, refresh_token: str) -> bytes | None:
        self.asked.append(refresh_token)
        if self.answers_with is not None:
            return self.answers_with
        number = int(refresh_token.removeprefix("r"))
        if self.revoked or any(each > number for each in self.used):
            self.revoked = True
            return _response(400, {"error": "invalid_grant"})
        self.current += 1
        if self.loses_answers:
            return None
        return _response(
            200,
            {
                "access_token": f"a{self.current}",
                "refresh_token": f"r{self.current}",
                "token_type": "Bearer",
                "expires_in": self.life_s,
            },
        )


def _response(status: int, document: object) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} Any\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def token_endpoint() -> AsyncIterator[TokenEndpoint]:
    """On a free port."""
    endpoint = TokenEndpoint()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("POST /auth/token HTTP/1.1\r\n")
        assert "content-type: application/x-www-form-urlencoded" in head.lower()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        form = parse_qs((await reader.readexactly(length)).decode(), strict_parsing=True)
        assert form["grant_type"] == ["refresh_token"]
        answer = endpoint.answer(form["refresh_token"][0])
        if answer is not None:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    async with server:
        yield endpoint


def in_s(seconds: float) -> float:
    """The moment that is so far away, as a credentials file has it."""
    return time.time() + seconds
