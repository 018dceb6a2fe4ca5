"""The same real call over the same real socket, with the metrics watching and without them."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from exai.app.duties import mcp_port_duties
from exai.app.services import build
from exai.config import Settings
from exai.transports.doors import McpDoors
from exai.transports.listener import Listener
from exai.transports.server import build_server
from support.session_socket import SessionSocket, session_socket

CALLS = 100
"""Of one round, in flight together."""


async def _cancelled(serving: asyncio.Task[None]) -> None:
    serving.cancel()
    await asyncio.wait([serving])


class _Daemon:
    """A whole daemon on this loop, asked over a resumable session."""

    def __init__(self, runner: asyncio.Runner, folder: Path, *, with_metrics: bool) -> None:
        self._runner = runner
        self._scopes = AsyncExitStack()
        self._number = 0
        self._socket: SessionSocket = runner.run(self._start(folder, with_metrics=with_metrics))

    async def _start(self, folder: Path, *, with_metrics: bool) -> SessionSocket:
        settings = Settings.model_validate(
            {
                "data_dir": folder,
                "server": {"port": 0, "operations_port": 0, "errors_port": 0},
                "providers": {"glm": {"api_key": "id.secret"}},
            }
        )
        services = await self._scopes.enter_async_context(build(settings, version="benchmark"))
        if not with_metrics:
            services.monitoring.bus._subscriptions.clear()  # noqa: SLF001 - the daemon has no switch for it
        doors = McpDoors(
            build_server(services.dispatcher, version="benchmark", bus=services.monitoring.bus),
            services.dispatcher,
            services.identity.authenticator,
            services.identity.authority,
            settings,
            services.monitoring.bus,
        )
        await self._scopes.enter_async_context(services.scheduler.running(*mcp_port_duties(doors)))
        listener = Listener(settings.server)
        self._scopes.callback(listener.close)
        ready = asyncio.Event()
        serving = asyncio.get_running_loop().create_task(
            listener.serve(
                doors,
                PlainTextResponse("none"),
                PlainTextResponse("none"),
                services.dispatcher,
                settings.websocket,
                on_ready=ready.set,
                on_stop=lambda: None,
            )
        )
        self._scopes.push_async_callback(_cancelled, serving)
        await ready.wait()
        socket = await self._scopes.enter_async_context(session_socket(listener.addresses.mcp_ws))
        await socket.open(credit=100_000)
        return socket

    def round(self) -> None:
        self._runner.run(self._calls())

    async def _calls(self) -> None:
        first = self._number + 1
        self._number += CALLS
        for number in range(first, first + CALLS):
            await self._socket.call(number, "status", {"section": "limits"})
        for _ in range(CALLS):
            number, message = await self._socket.message()
            assert not message["result"].get("isError")
        await self._socket.send({"t": "a", "a": number})

    def close(self) -> None:
        async def close() -> None:
            await self._scopes.aclose()

        self._runner.run(close())


@pytest.mark.parametrize("arm", ["without metrics", "with metrics"])
@pytest.mark.benchmark(timer=time.process_time, min_rounds=30, max_time=6)
def test_metrics(benchmark: Any, arm: str, tmp_path: Path) -> None:
    benchmark.group = "metrics"
    benchmark.extra_info.update(arm=arm, calls=CALLS)
    with asyncio.Runner() as runner:
        services = _Daemon(runner, tmp_path, with_metrics=arm == "with metrics")
        services.round()
        benchmark(services.round)
        services.close()
