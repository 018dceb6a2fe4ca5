"""What a caller hears while a call runs."""

import asyncio
from typing import Any

import pytest

from exai.dispatch import progress
from exai.dispatch.progress import KIND_KEY, ProgressReporter
from exai.runtime.clock import SystemClock


class Ear:
    """Hears notifications; may be slow."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.heard: list[tuple[float, str, str]] = []
        self.first = asyncio.Event()
        self._gate = gate

    async def __call__(self, number: float, message: str, meta: dict[str, Any]) -> None:
        self.heard.append((number, message, meta[KIND_KEY]))
        self.first.set()
        if self._gate is not None:
            await self._gate.wait()

    def said(self, kind: str) -> str:
        return "".join(message for _, message, each in self.heard if each == kind)


async def test_every_word_arrives_in_order_before_the_scope_ends() -> None:
    ear = Ear()
    async with ProgressReporter(ear, SystemClock()) as reporter:
        reporter.reasoning("hm, ")
        reporter.reasoning("yes")
        await ear.first.wait()
        for number in range(1000):
            reporter.text(f"{number} ")
    assert ear.said("reasoning") == "hm, yes"
    assert ear.said("text") == "".join(f"{number} " for number in range(1000))
    numbers = [number for number, _, _ in ear.heard]
    assert numbers == sorted(set(numbers))


async def test_many_deltas_become_few_messages() -> None:
    ear = Ear()
    async with ProgressReporter(ear, SystemClock()) as reporter:
        for _ in range(2000):
            reporter.text("word ")
            await asyncio.sleep(0)
    assert ear.said("text") == "word " * 2000
    assert len(ear.heard) < 200


async def test_the_first_thought_and_the_first_word_wait_for_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 60)
    ear = Ear()

    async def until(said: list[str]) -> None:
        async with asyncio.timeout(5):
            while [message for _, message, _ in ear.heard] != said:  # noqa: ASYNC110 - tasks take turns
                await asyncio.sleep(0)

    async with ProgressReporter(ear, SystemClock()) as reporter:
        reporter.status("asking")
        await until(["asking"])
        reporter.reasoning("hm")
        await until(["asking", "hm"])
        reporter.reasoning(", yes")
        reporter.text("The answer")
        await until(["asking", "hm", ", yes", "The answer"])
        reporter.text(" is")
        reporter.text(" this.")
        await asyncio.sleep(0.01)
        assert len(ear.heard) == 4, "what follows is gathered"
    assert ear.said("text") == "The answer is this."


async def test_with_many_calls_each_tells_its_news_less_often() -> None:
    async def messages(running: int) -> int:
        ear = Ear()
        async with ProgressReporter(ear, SystemClock(), lambda: running) as reporter:
            for _ in range(40):
                reporter.text("word ")
                await asyncio.sleep(0.01)
        assert ear.said("text") == "word " * 40
        return len(ear.heard)

    # The first word, and at the end the rest.
    assert await messages(60 * progress.MESSAGES_PER_S) == 2
    assert await messages(1) > 2


async def test_a_slow_reader_gets_fewer_larger_messages() -> None:
    gate = asyncio.Event()
    ear = Ear(gate)
    async with ProgressReporter(ear, SystemClock()) as reporter:
        reporter.text("first")
        await ear.first.wait()
        for _ in range(500):
            reporter.text(".")
        gate.set()
    assert [message for _, message, _ in ear.heard] == ["first", "." * 500]


async def test_silence_is_broken_by_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_S", 0.01)
    ear = Ear()
    async with ProgressReporter(ear, SystemClock()):
        await ear.first.wait()
    _, message, kind = ear.heard[0]
    assert kind == "status"
    assert message.startswith("waiting: ")


async def test_a_failed_scope_says_no_more() -> None:
    gate = asyncio.Event()
    ear = Ear(gate)
    with pytest.raises(ValueError, match="broken"):
        async with ProgressReporter(ear, SystemClock()) as reporter:
            reporter.text("first")
            await ear.first.wait()
            reporter.text("never heard")
            raise ValueError("broken")
    gate.set()
    assert ear.said("text") == "first"


async def test_a_peer_that_is_gone_does_not_hurt_the_call() -> None:
    async def gone(number: float, message: str, meta: dict[str, Any]) -> None:
        raise ConnectionResetError

    async with ProgressReporter(gone, SystemClock()) as reporter:
        reporter.text("to nobody")


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    async with ProgressReporter(Ear(), SystemClock()) as reporter:
        reporter.text("x")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), ProgressReporter(Ear(), SystemClock()):
            await asyncio.Event().wait()
    assert asyncio.all_tasks() == before
