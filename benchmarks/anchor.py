"""The anchor of `scripts/bench calls`: the least that a gateway of the same kind costs on this machine, today.

WebSocket in by websockets, HTTP out by aiohttp: a `tools/call` becomes a request for a whole answer, and its text
the result. It has no identity, limits, journal, conversations, metrics or events, and streams nothing, so its CPU per
call says how fast the machine is, and a multiple of it what all of that costs.
"""

import asyncio
import json
import sys
from typing import Any

import aiohttp
import uvloop
from websockets.asyncio.server import ServerConnection, serve


class Gateway:
    """Answers the calls of any number of connections."""

    def __init__(self, http: aiohttp.ClientSession, upstream: str) -> None:
        self._http = http
        self._address = f"{upstream}/chat/completions"
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, socket: ServerConnection) -> None:
        """Serve one connection until it closes."""
        async for text in socket:
            message = json.loads(text)
            if message["method"] == "tools/call":
                task = asyncio.create_task(self._call(socket, message), name="call")
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            elif "id" in message:
                await _answer(socket, message, {"protocolVersion": "2025-11-25", "capabilities": {}})

    async def _call(self, socket: ServerConnection, message: dict[str, Any]) -> None:
        arguments = message["params"]["arguments"]
        question = {"role": "user", "content": arguments["prompt"]}
        body = json.dumps({"model": arguments["model"], "messages": [question], "stream": False})
        headers = {"Authorization": "Bearer benchmark", "Content-Type": "application/json"}
        async with self._http.post(self._address, data=body, headers=headers) as response:
            answer = json.loads(await response.read())
        text = answer["choices"][0]["message"]["content"]
        await _answer(socket, message, {"content": [{"type": "text", "text": text}], "isError": False})


async def _answer(socket: ServerConnection, message: dict[str, Any], result: dict[str, Any]) -> None:
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}))


async def _main(upstream: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        gateway = Gateway(http, upstream)
        async with serve(gateway.serve, "127.0.0.1", 0, compression=None) as server:
            sys.stdout.write(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}\n")
            sys.stdout.flush()
            await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
