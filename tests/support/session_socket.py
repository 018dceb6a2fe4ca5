"""The client's side of `exai.mcp.v1` frame by frame, for tests that must break its rules."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

__all__ = ["SessionSocket", "session_socket"]

Frame = dict[str, Any]


class SessionSocket:
    """One socket; nothing is sent or acknowledged that a test does not send."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, frame: Frame | str) -> None:
        await self.connection.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self) -> Frame:
        async with asyncio.timeout(30):
            frame: Frame = json.loads(await self.connection.recv())
        return frame

    async def ask(self, frame: Frame) -> Frame:
        await self.send(frame)
        return await self.receive()

    async def open(self, credit: int = 100) -> Frame:
        return await self.ask({"t": "open", "credit": credit})

    async def resume(self, opened: Frame, last: int, credit: int = 100) -> Frame:
        return await self.ask(
            {
                "t": "resume",
                "session": opened["session"],
                "secret": opened["secret"],
                "last": last,
                "credit": credit,
            }
        )

    async def call(
        self,
        number: int,
        tool: str,
        arguments: Frame | None = None,
        *,
        ack: int = 0,
        progress_token: str | None = None,
    ) -> None:
        """Say message `number`: a tool call with the same number as its id."""
        meta = ENVELOPE if progress_token is None else {**ENVELOPE, "progressToken": progress_token}
        params = {"name": tool, "arguments": arguments or {}, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        await self.send({"t": "m", "s": number, "a": ack, "m": message})

    async def message(self) -> tuple[int, Frame]:
        """The next message, with its number; acknowledgements are passed over."""
        while (frame := await self.receive())["t"] != "m":
            pass
        return frame["s"], frame["m"]

    async def receive_or_close(self) -> Any:
        """The next frame, or the code with which the other side closes before it."""
        try:
            return await self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None

    async def close_code(self) -> int | None:
        """With what code the other side closes."""
        try:
            async with asyncio.timeout(30):
                while True:
                    await self.connection.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None


ENVELOPE: Frame = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@asynccontextmanager
async def session_socket(url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[SessionSocket]:
    """A socket that speaks `exai.mcp.v1` and has sent nothing."""
    async with connect(
        url, subprotocols=[Subprotocol("exai.mcp.v1"), Subprotocol("mcp")], additional_headers=headers
    ) as connection:
        assert connection.subprotocol == "exai.mcp.v1"
        yield SessionSocket(connection)
