"""An engine whose tools do what a test of the doors needs; run as a program, it is served over stdin and stdout."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from exai import config
from exai.auth.scopes import MODELS
from exai.callers import Caller, Door
from exai.config.calls.tools import Profile
from exai.dispatch.progress import DELTA_KEY, KIND_KEY, SendProgress
from exai.errors import ScopeMissing, UnknownTool
from exai.events.bus import EventBus
from exai.runtime.clock import SystemClock
from exai.tools.base import ToolAnswer
from exai.tools.listing.entries import ToolDescription
from exai.tools.listing.profiles import STANDARD, Profiles
from exai.transports.server import build_server
from exai.transports.stdio import serve_stdio
from exai.web.credential_watch import CredentialWatcher
from support.scripted_authenticator import ScriptedAuthenticator

__all__ = ["VERSION", "ScriptedEngine", "ScriptedTool"]

VERSION = "9.9"
ANY_OBJECT = {"type": "object"}
ScriptedTool = Callable[[dict[str, Any], SendProgress | None], Awaitable[ToolAnswer]]


class ScriptedEngine:
    """Tools: `echo`, `wait` (until released), `count` (progress), `crash`, `big`, `broken_text`, `print`."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.callers: list[Caller] = []
        self.keys: list[str | None] = []
        self.most_running = 0
        self.admitting = True
        self.further: dict[str, ScriptedTool] = {}
        """Tools of a test's own, by name."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._aborted = False
        self.profiles = Profiles(config.Tools())

    @property
    def running(self) -> int:
        return len(self._tasks)

    def listing(self, profile: Profile = STANDARD) -> tuple[ToolDescription, ...]:  # noqa: ARG002
        return tuple(
            ToolDescription(
                name, name.title(), f"The tool {name}.", ANY_OBJECT, ANY_OBJECT, {"readOnlyHint": True}
            )
            for name in ("echo", "wait", "count", "crash", "big", "broken_text", "print")
        )

    def input_schema(self, name: str) -> dict[str, Any] | None:
        return ANY_OBJECT if name == "echo" else None

    def stop_admitting(self) -> None:
        self.admitting = False

    def abort_running(self) -> None:
        self._aborted = True
        for task in self._tasks:
            task.cancel()

    def check_scopes(self, name: str, arguments: Mapping[str, Any] | None, caller: Caller) -> None:  # noqa: ARG002
        if name not in self.further and not hasattr(self, f"_{name}"):
            raise UnknownTool(f"Unknown tool {name!r}. This server has: echo.")
        if not caller.may(MODELS):
            raise ScopeMissing(f"Your token does not allow {name}.", scope=MODELS)

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        caller: Caller,
        send_progress: SendProgress | None = None,
        idempotency_key: str | None = None,
    ) -> ToolAnswer:
        self.check_scopes(name, arguments, caller)
        tool = self.further.get(name) or getattr(self, f"_{name}")
        if not self.admitting:
            return _stopping()
        self.callers.append(caller)
        self.keys.append(idempotency_key)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.most_running = max(self.most_running, self.running)
        answer: ToolAnswer
        try:
            answer = await tool(dict(arguments or {}), send_progress)
        except asyncio.CancelledError:
            self.cancelled.set()
            if not self._aborted:
                raise
            task.uncancel()
            answer = _stopping()
        finally:
            self._tasks.discard(task)
        return answer

    async def _echo(self, arguments: dict[str, Any], _: SendProgress | None) -> ToolAnswer:
        return ToolAnswer(f"echo {arguments}", {"arguments": arguments}, {"exai/test": True})

    async def _wait(self, _: dict[str, Any], __: SendProgress | None) -> ToolAnswer:
        self.started.set()
        await self.released.wait()
        return ToolAnswer("released", {})

    async def _count(self, arguments: dict[str, Any], send_progress: SendProgress | None) -> ToolAnswer:
        to = arguments.get("to", 3)
        if send_progress is not None:
            for number in range(1, to + 1):
                await send_progress(
                    float(number), f"step {number}", {KIND_KEY: "text", DELTA_KEY: f"{number} "}
                )
        return ToolAnswer("counted", {"to": to})

    async def _crash(self, _: dict[str, Any], __: SendProgress | None) -> ToolAnswer:
        raise RuntimeError("canary of the inside")

    async def _big(self, arguments: dict[str, Any], _: SendProgress | None) -> ToolAnswer:
        return ToolAnswer("x" * arguments["characters"], {})

    async def _broken_text(self, _: dict[str, Any], send_progress: SendProgress | None) -> ToolAnswer:
        if send_progress is not None:
            await send_progress(1.0, "\ud800", {KIND_KEY: "text"})
        return ToolAnswer("\ud800", {"\ud800": ["\ud800"]})

    async def _print(self, _: dict[str, Any], __: SendProgress | None) -> ToolAnswer:
        print("something prints", flush=True)
        return ToolAnswer("printed", {})


def _stopping() -> ToolAnswer:
    return ToolAnswer("Stopping.", None, {"exai/error": {"code": "stopping"}}, is_error=True)


async def _serve(max_frame_bytes: int, drain_s: float) -> None:
    engine = ScriptedEngine()
    limits = config.WebSocket(max_frame_bytes=max_frame_bytes)
    bus = EventBus()
    await serve_stdio(
        build_server(engine, version=VERSION, bus=bus),
        engine,
        caller=Caller.local(Door.STDIO),
        watcher=CredentialWatcher(ScriptedAuthenticator(), SystemClock()),
        limits=limits,
        drain_s=drain_s,
        bus=bus,
    )


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
