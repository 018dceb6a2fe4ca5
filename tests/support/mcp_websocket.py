"""A small MCP client over WebSocket, for tests that need to see and send single messages."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

__all__ = ["McpSocket", "mcp_socket"]

Notification = dict[str, Any]


class McpSocket:
    """One connection; any number of requests in flight."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.notifications: list[Notification] = []
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listeners: dict[int, Callable[[dict[str, Any]], None]] = {}
        self._number = 0

    async def listen(self) -> None:
        """Hand every message to whom it is for, until the socket closes."""
        try:
            async for text in self.socket:
                message = json.loads(text)
                if "method" in message:
                    self.notifications.append(message)
                    token = message.get("params", {}).get("progressToken")
                    if (listener := self._listeners.get(token)) is not None:
                        listener(message["params"])
                elif (future := self._waiting.pop(message.get("id"), None)) is not None and not future.done():
                    future.set_result(message)
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("the socket closed before the answer"))
                    future.exception()  # seen, so that a test may leave calls behind

    async def initialize(self) -> dict[str, Any]:
        """The handshake of 2025-11-25."""
        answer = await self.request(
            "initialize",
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        )
        await self.notify("notifications/initialized")
        return answer

    def _start(self) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        """A fresh number and the future answer to it."""
        self._number += 1
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        return self._number, future

    async def request(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The whole answer, result or error."""
        number, future = self._start()
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}})
        return await future

    async def begin_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        on_progress: Callable[[dict[str, Any]], None] | None = None,
        *,
        key: str | None = None,
    ) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        """Send a tool call, under an idempotency key if one is given; its request id and its future answer."""
        number, future = self._start()
        params: dict[str, Any] = {"name": name, "arguments": arguments}
        meta: dict[str, Any] = {} if key is None else {"exai/idempotency-key": key}
        if on_progress is not None:
            self._listeners[number] = on_progress
            meta["progressToken"] = number
        if meta:
            params["_meta"] = meta
        await self.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
        return number, future

    async def tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """The result of a tool call; a JSON-RPC error fails the test."""
        _, future = await self.begin_tool(name, arguments or {}, on_progress)
        answer = await future
        assert "result" in answer, answer
        return dict(answer["result"])

    async def cancel(self, number: int) -> None:
        """Cancel a request; MCP answers nothing to it."""
        self._waiting.pop(number, None)
        await self.notify("notifications/cancelled", {"requestId": number, "reason": "test"})

    async def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        await self.send({"jsonrpc": "2.0", "method": method, "params": params or {}})

    async def send(self, message: Any) -> None:
        await self.socket.send(json.dumps(message))

    def send_at_once(self, messages: list[Any]) -> None:
        """Send all of them in one write, so that the peer finds them together."""
        for message in messages:
            self.socket.protocol.send_text(json.dumps(message).encode())
        self.socket.transport.write(b"".join(self.socket.protocol.data_to_send()))


@asynccontextmanager
async def mcp_socket(
    address: str, *, handshake: bool = True, headers: Mapping[str, str] | None = None
) -> AsyncIterator[McpSocket]:
    """A connection that has shaken hands."""
    async with connect(
        address, subprotocols=[Subprotocol("mcp")], max_size=None, additional_headers=headers
    ) as socket:
        client = McpSocket(socket)
        listening = asyncio.get_running_loop().create_task(client.listen(), name="listen")
        try:
            if handshake:
                await client.initialize()
            yield client
        finally:
            await socket.close()
            with contextlib.suppress(Exception):
                await listening
