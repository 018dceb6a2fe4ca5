"""A client of tasks, as their extension writes them, over any door: the SDK knows none."""

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from support.mcp_websocket import mcp_socket
from support.session_socket import session_socket
from support.stdio_client import forked
from support.waiting import wait_until

__all__ = ["ENVELOPE", "TASKS", "TaskClient", "over_http", "over_session", "over_stdio", "over_websocket"]

Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

TASKS = "io.modelcontextprotocol/tasks"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}},
}
UNDECLARED = {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": {}}
ENDED_S = 60.0


@dataclass
class TaskClient:
    """Sends requests that declare tasks, or, by `declares`, do not."""

    ask: Ask
    declares: bool = True
    notifications: list[Any] = field(default_factory=list)
    """What came over a WebSocket beside answers."""

    async def request(self, method: str, **params: Any) -> dict[str, Any]:
        """The whole answer, result or error."""
        meta = {**(ENVELOPE if self.declares else UNDECLARED), **params.pop("_meta", {})}
        return await self.ask(method, {**params, "_meta": meta})

    async def result(self, method: str, **params: Any) -> dict[str, Any]:
        """The result; an error fails the test."""
        answer = await self.request(method, **params)
        assert "result" in answer, answer
        return dict(answer["result"])

    async def call(self, name: str, arguments: dict[str, Any], **meta: Any) -> dict[str, Any]:
        return await self.result("tools/call", name=name, arguments=arguments, _meta=meta)

    async def get(self, task_id: str) -> dict[str, Any]:
        return await self.result("tasks/get", taskId=task_id)

    async def ended(self, task_id: str) -> dict[str, Any]:
        """The task once it has ended."""

        async def end() -> dict[str, Any] | None:
            task = await self.get(task_id)
            return None if task["status"] in {"working", "input_required"} else task

        task: dict[str, Any] | None = await wait_until(end, what="the task ends", within=ENDED_S)
        assert task is not None
        return task


@asynccontextmanager
async def over_websocket(address: str, **options: Any) -> AsyncIterator[TaskClient]:
    async with mcp_socket(address, handshake=False, **options) as socket:
        yield TaskClient(socket.request, notifications=socket.notifications)


@asynccontextmanager
async def over_session(address: str) -> AsyncIterator[TaskClient]:
    """Over the resumable subprotocol."""
    numbers = itertools.count(1)
    async with session_socket(address) as socket:
        await socket.open(credit=10_000)

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            number = next(numbers)
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            await socket.send({"t": "m", "s": number, "a": 0, "m": message})
            while True:
                _, received = await socket.message()
                if received.get("id") == number:
                    return received

        yield TaskClient(ask)


@asynccontextmanager
async def over_stdio(env: dict[str, str], cwd: Path) -> AsyncIterator[TaskClient]:
    """Over the stdin and stdout of `exai stdio`."""
    numbers = itertools.count(1)
    async with forked("exai.cli", "stdio", env=env, cwd=cwd) as process:

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            message = {"jsonrpc": "2.0", "id": next(numbers), "method": method, "params": params}
            return await process.ask(message)

        yield TaskClient(ask)


@asynccontextmanager
async def over_http(address: str, headers: dict[str, str] | None = None) -> AsyncIterator[TaskClient]:
    numbers = itertools.count(1)
    async with aiohttp.ClientSession(headers=headers) as http:

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            number = next(numbers)
            sent = {
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": "2026-07-28",
                "Mcp-Method": method,
            }
            if (name := params.get("name") or params.get("taskId")) is not None:
                sent["Mcp-Name"] = name
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            async with http.post(address, json=message, headers=sent) as response:
                if response.content_type == "application/json":
                    return dict(await response.json())
                return await _last_event(response)

        yield TaskClient(ask)


async def _last_event(response: aiohttp.ClientResponse) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async for line in response.content:
        if line.startswith(b"data:"):
            message = json.loads(line[5:])
            found = message if "id" in message else found
    return found
