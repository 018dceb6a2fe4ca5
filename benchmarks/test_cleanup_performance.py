"""Ten thousand sessions whose grace time is over: how long the sweep takes, and for how long it blocks the loop."""

import asyncio
import time
from typing import Any

import pytest

from exai import config
from exai.callers import Caller, Door
from exai.events.bus import EventBus
from exai.runtime.clock import ManualClock
from exai.transports.pump import Pump
from exai.transports.pump import Send as SendText
from exai.transports.server import build_server
from exai.transports.traffic import Traffic
from exai.transports.websocket.resilient import ResilientWebSocketManager
from exai.web.credential_watch import CredentialWatcher
from support.scripted_authenticator import ScriptedAuthenticator
from support.scripted_engine import VERSION, ScriptedEngine

SESSIONS = 10_000
ROUNDS = 5


class _NoSocket:
    async def send(self, text: str) -> None:
        """Nobody reads it."""

    def drop(self, code: int, reason: str) -> None:
        """There is nothing to close."""


class _Sweeping:
    """A manager full of sessions with real pumps, all of which are over."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        bus = EventBus()
        server = build_server(ScriptedEngine(), version=VERSION, bus=bus)
        limits, traffic = config.WebSocket(), Traffic()

        def pump(caller: Caller, send: SendText) -> Pump:
            return Pump(server, caller=caller, send=send, limits=limits, traffic=traffic, bus=bus)

        watcher = CredentialWatcher(ScriptedAuthenticator(), self._clock)
        settings = config.Sessions(max_sessions=SESSIONS)
        self._manager = ResilientWebSocketManager(settings, pump, watcher, bus, self._clock)
        self.longest_block_s = 0.0
        self._grace_s = settings.grace_s

    async def fill(self) -> None:
        for _ in range(SESSIONS):
            session = self._manager.open(Caller.local(Door.WEBSOCKET), _NoSocket(), credit=100)
            session.cut(session.endpoint.generation)
        self._clock.advance(self._grace_s + 1)

    async def sweep(self) -> int:
        watch = asyncio.get_running_loop().create_task(self._watch())
        await asyncio.sleep(0)
        ended = await self._manager.sweep()
        watch.cancel()
        return ended

    async def _watch(self) -> None:
        """The longest time between two turns of the loop, in CPU time: other processes' do not count."""
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_block_s = max(self.longest_block_s, now - last)
            last = now


@pytest.mark.benchmark(timer=time.process_time)
def test_cleanup(benchmark: Any) -> None:
    benchmark.group = "cleanup"
    with asyncio.Runner() as runner:
        sweeping = _Sweeping()

        def full() -> None:
            runner.run(sweeping.fill())

        ended = benchmark.pedantic(lambda: runner.run(sweeping.sweep()), setup=full, rounds=ROUNDS)
    assert ended == SESSIONS
    benchmark.extra_info.update(
        arm="sweep", sessions=SESSIONS, longest_block_ms=round(sweeping.longest_block_s * 1000, 2)
    )
