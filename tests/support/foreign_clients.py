"""Clients that others wrote, behind one face, so that the same conversation can be led through each."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp.types import TextResourceContents

from support.nodes import Node

__all__ = ["Answer", "ForeignClient", "Refused", "python_client", "typescript_client"]

LINE_LIMIT = 2**22
END_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A tool's result and the progress heard before it."""

    text: str
    structured: Mapping[str, Any]
    is_error: bool
    progress: tuple[float, ...]


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ForeignClient(Protocol):
    """A client that is connected."""

    async def tools(self) -> list[str]:
        """Names of the tools on the list."""
        ...

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        """Call a tool.

        Raises:
            Refused: the server answered with a JSON-RPC error.
        """
        ...

    async def resources(self) -> list[str]:
        """URIs of the resources on the list."""
        ...

    async def read(self, uri: str) -> str:
        """Read a resource: its text, or its bytes in base64.

        Raises:
            Refused: the server answered with a JSON-RPC error.
        """
        ...


class _Python:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        heard: list[float] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            heard.append(progress)

        try:
            result = await self._client.call_tool(name, arguments, progress_callback=on_progress)
        except MCPError as error:
            raise Refused(error.code, str(error)) from None
        return Answer(
            "".join(getattr(each, "text", "") for each in result.content),
            result.structured_content or {},
            bool(result.is_error),
            tuple(heard),
        )

    async def resources(self) -> list[str]:
        return [resource.uri for resource in (await self._client.list_resources()).resources]

    async def read(self, uri: str) -> str:
        try:
            result = await self._client.read_resource(uri)
        except MCPError as error:
            raise Refused(error.code, str(error)) from None
        return "".join(
            part.text if isinstance(part, TextResourceContents) else part.blob for part in result.contents
        )


@asynccontextmanager
async def python_client(
    server: str | StdioServerParameters, *, mode: str, expected_version: str
) -> AsyncIterator[ForeignClient]:
    """The official Python client, over HTTP or as the parent of a stdio server."""
    async with Client(server, mode=mode) as client:
        assert client.protocol_version == expected_version
        yield _Python(client)


class _TypeScript:
    def __init__(self, ask: Callable[[Any], Awaitable[dict[str, Any]]]) -> None:
        self._ask = ask

    async def tools(self) -> list[str]:
        names: list[str] = (await self._ask({"list": True}))["tools"]
        return names

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        heard = await self._ask({"tool": name, "arguments": arguments})
        if (error := heard.get("error")) is not None:
            raise Refused(error["code"], error["message"])
        result = heard["result"]
        return Answer(
            "".join(each.get("text", "") for each in result["content"]),
            result.get("structuredContent", {}),
            bool(result.get("isError")),
            tuple(each["progress"] for each in heard["progress"]),
        )

    async def resources(self) -> list[str]:
        uris: list[str] = (await self._ask({"resources": True}))["uris"]
        return uris

    async def read(self, uri: str) -> str:
        heard = await self._ask({"read": uri})
        if (error := heard.get("error")) is not None:
            raise Refused(error["code"], error["message"])
        text: str = heard["text"]
        return text


@asynccontextmanager
async def typescript_client(node: Node, url: str, named: str = "exai") -> AsyncIterator[ForeignClient]:
    """The TypeScript SDK's client over WebSocket, in Node; `named` is what the server calls itself."""
    process = await asyncio.create_subprocess_exec(
        node.binary,
        node.folder / "websocket_client.mjs",
        url,
        env=node.environ(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    async def heard() -> dict[str, Any]:
        line = await stdout.readline()
        assert line, "the TypeScript client ended; its stderr says why"
        message: dict[str, Any] = json.loads(line)
        return message

    async def ask(message: Any) -> dict[str, Any]:
        stdin.write(json.dumps(message).encode() + b"\n")
        await stdin.drain()
        return await heard()

    try:
        met = await heard()
        assert met["server"]["name"] == named
        assert met["instructions"]
        yield _TypeScript(ask)
        stdin.close()
        async with asyncio.timeout(END_TIMEOUT_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
