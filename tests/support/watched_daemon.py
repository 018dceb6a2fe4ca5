"""A daemon with something on every page of its dashboard: calls that went well, that failed, that run."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from exai_emulator import Emulator, Fault, Persona
from support.daemons import Daemon, daemon
from support.emulated import provider_environment
from support.mcp_websocket import McpSocket, mcp_socket
from support.waiting import wait_until

__all__ = ["GOOD_CALLS", "RUNNING_CALLS", "WatchedDaemon", "watched_daemon"]

GOOD_CALLS = 6
RUNNING_CALLS = 2


@dataclass
class WatchedDaemon:
    """The daemon, the emulator that it asks, and a client of it."""

    daemon: Daemon
    emulator: Emulator
    client: McpSocket

    @property
    def address(self) -> str:
        """Of its dashboard."""
        return self.daemon.operations

    async def open_breaker(self) -> None:
        """Have Kimi fail until its breaker opens; from then on it would answer again."""
        self.emulator.faults.add("kimi", Fault(error="server_error", times=None))
        while "circuit_open" not in json.dumps(
            await self.client.tool("chat", {"prompt": "?", "model": "kimi-k3"})
        ):
            pass
        self.emulator.faults.clear()

    async def begin_baseline(self, name: str) -> None:
        """Begin one, which collects as long as the test does."""
        body, headers = {"name": name, "hours": 24}, {"Origin": self.address}
        async with (
            aiohttp.ClientSession(self.address, headers=headers) as http,
            http.post("/api/baselines", json=body) as answer,
        ):
            assert answer.status == 201, await answer.text()

    async def begin_long_calls(self) -> None:
        """Begin calls that run as long as the test does."""
        self.emulator.persona = Persona("long", tokens=4_000, delay_per_token_ms=50)
        for number in range(RUNNING_CALLS):
            await self.client.begin_tool("chat", {"prompt": f"a long one, {number}", "model": "glm-5.3"})
        await wait_until(lambda: self.emulator.log.in_flight == RUNNING_CALLS, what="calls that run")

    async def document(self, path: str) -> dict[str, object]:
        """What one of its routes answers."""
        async with aiohttp.ClientSession() as http, http.get(self.address + path) as answer:
            body: dict[str, object] = await answer.json()
        return body


@asynccontextmanager
async def watched_daemon(
    emulator: Emulator, data_dir: Path, *, is_empty: bool = False, environ: Mapping[str, str] | None = None
) -> AsyncIterator[WatchedDaemon]:
    """Start it; where it is not to be empty, with all that."""
    given = {**provider_environment(emulator), "EXAI_BREAKER__OPEN_S": "600", **(environ or {})}
    async with daemon(data_dir=data_dir, environ=given) as started, mcp_socket(started.mcp_ws) as client:
        watched = WatchedDaemon(started, emulator, client)
        if not is_empty:
            models = ("glm-5.3", "kimi-k3")
            questions = ({"prompt": f"number {n}", "model": models[n % 2]} for n in range(GOOD_CALLS))
            await watched.begin_baseline("before")
            await asyncio.gather(*(client.tool("chat", question) for question in questions))
            await watched.begin_baseline("after")
            await watched.open_breaker()
            await watched.begin_long_calls()
        yield watched
