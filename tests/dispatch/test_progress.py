"""Progress notifications of a running call."""

import asyncio
from typing import Any

import pytest

from exai.dispatch.progress import INTERVAL_S, KIND_KEY, MESSAGES_PER_S, ProgressReporter
from exai.providers.base import DeltaKind
from support.virtual_time import LoopClock

pytestmark = pytest.mark.virtual_time


class Receiver:
    """Receives notifications; may be slow."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.received: list[tuple[float, str, str]] = []
        self.first = asyncio.Event()
        self._gate = gate

    async def __call__(self, number: float, message: str, meta: dict[str, Any]) -> None:
        self.received.append((number, message, meta[KIND_KEY]))
        self.first.set()
        if self._gate is not None:
            await self._gate.wait()

    @property
    def messages(self) -> list[str]:
        return [message for _, message, _ in self.received]

    def text_of(self, kind: str) -> str:
        return "".join(message for _, message, each in self.received if each == kind)


async def test_every_word_arrives_in_order_before_the_scope_ends() -> None:
    receiver = Receiver()
    async with ProgressReporter(receiver, LoopClock()) as reporter:
        reporter.delta(DeltaKind.REASONING, "hm, ")
        reporter.delta(DeltaKind.REASONING, "yes")
        await receiver.first.wait()
        for number in range(1000):
            reporter.delta(DeltaKind.TEXT, f"{number} ")
    assert receiver.text_of("reasoning") == "hm, yes"
    assert receiver.text_of("text") == "".join(f"{number} " for number in range(1000))
    numbers = [number for number, _, _ in receiver.received]
    assert numbers == sorted(set(numbers))


async def test_many_deltas_become_one_message_per_interval() -> None:
    receiver = Receiver()
    async with ProgressReporter(receiver, LoopClock()) as reporter:
        for _ in range(2_000):
            reporter.delta(DeltaKind.TEXT, "word ")
            await asyncio.sleep(0.001)
    assert receiver.text_of("text") == "word " * 2_000
    assert len(receiver.received) == 1 + 2 / INTERVAL_S, "the first at once, then one per interval"


async def test_the_first_thought_and_the_first_word_wait_for_no_others() -> None:
    receiver = Receiver()
    loop = asyncio.get_running_loop()
    async with ProgressReporter(receiver, LoopClock()) as reporter:
        reporter.status("asking")
        await asyncio.sleep(0.01)
        reporter.delta(DeltaKind.REASONING, "hm")
        await asyncio.sleep(0.01)
        reporter.delta(DeltaKind.REASONING, ", yes")
        reporter.delta(DeltaKind.TEXT, "The answer")
        await asyncio.sleep(0.01)
        assert receiver.messages == ["asking", "hm", ", yes", "The answer"]
        reporter.delta(DeltaKind.TEXT, " is")
        reporter.delta(DeltaKind.TEXT, " this.")
        await asyncio.sleep(0.7 * INTERVAL_S)
        assert len(receiver.received) == 4, "what follows is gathered"
        await asyncio.sleep(0.3 * INTERVAL_S)
        assert receiver.messages[4:] == [" is this."]
    assert loop.time() < 2 * INTERVAL_S


async def test_with_many_calls_each_tells_its_news_less_often() -> None:
    async def messages(running: int) -> int:
        receiver = Receiver()
        async with ProgressReporter(receiver, LoopClock(), lambda: running) as reporter:
            for _ in range(100):
                reporter.delta(DeltaKind.TEXT, "word ")
                await asyncio.sleep(0.1)
        assert receiver.text_of("text") == "word " * 100
        return len(receiver.received)

    assert await messages(1) == 100, "ten seconds of a word every 0.1 s"
    assert await messages(MESSAGES_PER_S) == 11
    assert await messages(60 * MESSAGES_PER_S) == 2, "the first word, and at the end the rest"


async def test_a_slow_reader_gets_fewer_larger_messages() -> None:
    gate = asyncio.Event()
    receiver = Receiver(gate)
    async with ProgressReporter(receiver, LoopClock()) as reporter:
        reporter.delta(DeltaKind.TEXT, "first")
        await receiver.first.wait()
        for _ in range(500):
            reporter.delta(DeltaKind.TEXT, ".")
        gate.set()
    assert [message for _, message, _ in receiver.received] == ["first", "." * 500]


async def test_silence_is_broken_by_a_sign_of_life() -> None:
    receiver = Receiver()
    async with ProgressReporter(receiver, LoopClock()) as reporter:
        await asyncio.sleep(10)
        reporter.delta(DeltaKind.TEXT, "Well,")
        await asyncio.sleep(5)
    assert receiver.text_of("status") == (
        "waiting: 4 s, 0 characters so farwaiting: 8 s, 0 characters so faranswering: 14 s, 5 characters so far"
    )


async def test_a_failed_scope_says_no_more() -> None:
    gate = asyncio.Event()
    receiver = Receiver(gate)
    with pytest.raises(ValueError, match="broken"):
        async with ProgressReporter(receiver, LoopClock()) as reporter:
            reporter.delta(DeltaKind.TEXT, "first")
            await receiver.first.wait()
            reporter.delta(DeltaKind.TEXT, "never sent")
            raise ValueError("broken")
    gate.set()
    assert receiver.text_of("text") == "first"


async def test_a_peer_that_is_gone_does_not_hurt_the_call() -> None:
    async def gone(number: float, message: str, meta: dict[str, Any]) -> None:
        raise ConnectionResetError

    async with ProgressReporter(gone, LoopClock()) as reporter:
        reporter.delta(DeltaKind.TEXT, "to nobody")


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    async with ProgressReporter(Receiver(), LoopClock()) as reporter:
        reporter.delta(DeltaKind.TEXT, "x")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), ProgressReporter(Receiver(), LoopClock()):
            await asyncio.Event().wait()
    assert asyncio.all_tasks() == before
