"""Providers in front of the emulated services, over real sockets."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest

from exai import config
from exai.messages import Message, Role
from exai.providers.base import Completion, DeltaKind, OnDelta, Prompt
from exai.routing.router import ModelRouter
from exai_emulator import Emulator, EmulatorOptions, running
from support.virtual_time import LoopClock

__all__ = ["Desk", "OpenDesk", "desk", "make_desk", "open_desk"]


@dataclass
class Desk:
    """A router whose providers are the emulator."""

    emulator: Emulator
    router: ModelRouter
    clock: LoopClock

    def prompt(self, model: str, text: str = "hello", **fields: Any) -> Prompt:
        messages = fields.pop("messages", (Message(Role.SYSTEM, "Be short."), Message(Role.USER, text)))
        return Prompt(model=self.router.resolve(model).model, messages=messages, **fields)

    async def ask(
        self,
        model: str,
        text: str = "hello",
        *,
        seconds: float = 100,
        on_delta: OnDelta | None = None,
        **fields: Any,
    ) -> Completion:
        prompt = self.prompt(model, text, **fields)
        provider = self.router.providers[prompt.model.provider]
        return await provider.complete(prompt, deadline=self.clock.monotonic() + seconds, on_delta=on_delta)

    async def ask_streaming(self, model: str, text: str = "hello", **fields: Any) -> Completion:
        return await self.ask(model, text, on_delta=_ignore, **fields)


def _ignore(_kind: DeltaKind, _text: str) -> None:
    return


OpenDesk = Callable[..., Any]


def make_desk(
    emulator: Emulator,
    timeouts: dict[str, float] | None = None,
    models: config.Models | None = None,
    changes: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    *,
    on_plan: bool = False,
) -> Desk:
    """A desk in front of an emulator; its router is to be closed."""
    there = emulator.addresses
    rows: dict[str, dict[str, Any]] = {
        "glm": {"base_url": there.glm_coding if on_plan else there.glm, "api_key": there.glm_key},
        "kimi": {"base_url": there.kimi, "api_key": there.kimi_key},
        "custom": {
            "base_url": there.custom,
            "api_key": there.custom_key,
            "models": [{"name": "tiny", "images": True}],
        },
    }
    for name, change in changes.items():
        rows[name].update(change)
    providers = config.Providers.model_validate(
        {"glm": rows["glm"], "kimi": rows["kimi"], "custom": {"local": rows["custom"]}}
    )
    clock = LoopClock(time.time())  # the emulator judges signed tokens by the date
    router = ModelRouter.from_settings(
        providers, models or config.Models(), config.Timeouts(**(timeouts or {})), clock
    )
    return Desk(emulator, router, clock)


@pytest.fixture
async def open_desk() -> AsyncIterator[OpenDesk]:
    """Opens desks: `await open_desk(options=..., timeouts=..., glm={...}, kimi={...}, custom={...})`."""
    async with AsyncExitStack() as stack:

        async def open_one(
            *,
            options: EmulatorOptions | None = None,
            timeouts: dict[str, float] | None = None,
            on_plan: bool = False,
            models: config.Models | None = None,
            **changes: dict[str, Any],
        ) -> Desk:
            emulator = await stack.enter_async_context(running(options or EmulatorOptions()))
            desk = make_desk(emulator, timeouts, models, changes, on_plan=on_plan)
            stack.push_async_callback(desk.router.close)
            return desk

        yield open_one


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    """A desk with everything at its default."""
    opened: Desk = await open_desk()
    return opened
