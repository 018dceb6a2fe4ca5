"""A call under way that is a task, or may become one."""

import asyncio
from collections.abc import Mapping
from typing import Any

from exai.dispatch.progress import SendProgress
from exai.runtime.clock import Clock
from exai.storage.calls.tasks import TaskRow
from exai.tools.base import JsonObject

__all__ = ["LiveTask"]

MESSAGE_CHARACTERS = 300


class LiveTask:
    """What is known of a running call: how far it is, and what it asks its client for.

    forwarding ── becomes a task ──► detached      progress goes to the client before, and never after
    working ◄── all answered / asks ──► input required
    stays a call                                   its result asks the client; it becomes no task any more
    """

    def __init__(self, clock: Clock, forward: SendProgress | None) -> None:
        """`forward` sends the client the progress it asked for."""
        self._clock = clock
        self._forward = forward
        self.began_at = self.updated_at = clock.utc()
        self.message = "EXAI prepares the call"
        self.row: TaskRow | None = None
        """Set when it has become a task."""
        self._is_settled = False
        """Whether it is decided that it becomes a task, or none."""
        self.cancelled = False
        """Whether its owner cancelled it."""
        self._asked: dict[str, JsonObject] = {}
        self._answers: dict[str, asyncio.Future[JsonObject]] = {}
        self._asked_so_far = 0
        self._changed = asyncio.Event()

    @property
    def asked(self) -> dict[str, JsonObject]:
        """What its client is asked for, and has not answered."""
        return dict(self._asked)

    def settle(self) -> bool:
        """Decide that it becomes a task, or none; whether that was open."""
        was_open = not self._is_settled
        self._is_settled = True
        return was_open

    def detach(self, row: TaskRow) -> None:
        """Become a task."""
        self.row, self._forward = row, None

    async def progress(self, number: float, message: str, meta: dict[str, Any]) -> None:
        """Take the call's progress: its stage, without the words that a model says."""
        self.message = message.partition(": ")[0][:MESSAGE_CHARACTERS]
        self.updated_at = self._clock.utc()
        if self._forward is not None:
            await self._forward(number, message, meta)

    async def ask(self, **requests: JsonObject) -> dict[str, JsonObject]:
        """Ask the client for input by requests of MCP, and wait until all are answered."""
        self._asked_so_far += 1
        keys = {name: f"{name}_{self._asked_so_far}" for name in requests}
        loop = asyncio.get_running_loop()
        self._answers |= {key: loop.create_future() for key in keys.values()}
        self._asked |= {keys[name]: request for name, request in requests.items()}
        self.notify()
        try:
            return {name: await self._answers[key] for name, key in keys.items()}
        finally:  # whoever stops waiting asks no more
            for key in keys.values():
                self._asked.pop(key, None)
                del self._answers[key]
            self.notify()

    def answer(self, responses: Mapping[str, JsonObject]) -> None:
        """Take answers to what was asked; those to anything else are of no account."""
        for key, response in responses.items():
            if self._asked.pop(key, None) is not None and not self._answers[key].done():
                self._answers[key].set_result(response)
        self.notify()

    def notify(self) -> None:
        """Wake whoever waits for a change of its status."""
        self.updated_at = self._clock.utc()
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next change of its status."""
        await self._changed.wait()
