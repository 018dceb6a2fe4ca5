"""Progress notifications of a running call."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from exai.dispatch.progress import (
    DELTA_KEY,
    INTERVAL_S,
    KIND_KEY,
    MESSAGES_PER_S,
    MODEL_KEY,
    WINDOW_S,
    Pace,
    ProgressReporter,
    SendProgress,
)
from exai.providers.base import DeltaKind
from support.virtual_time import LoopClock

pytestmark = pytest.mark.virtual_time


def reporting(receive: SendProgress, pace: Pace | None = None) -> ProgressReporter:
    """A reporter on a loop that has time, but for another `pace`."""
    return ProgressReporter(receive, LoopClock(), pace or Pace(LoopClock(), cpu_s=lambda: 0.0))


async def busy(share: float = 1.0, calls_running: Callable[[], int] = lambda: 1) -> Pace:
    """The pace of a loop whose thread has run for this share of its time, and goes on so."""
    clock = LoopClock()
    pace = Pace(clock, calls_running, lambda: share * clock.monotonic())
    assert pace.gather_s == 0.0, "nothing is known yet"
    await asyncio.sleep(2 * WINDOW_S)
    return pace


class Receiver:
    """Receives notifications; may be slow."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.received: list[tuple[float, str, str]] = []
        """Number, delta or else message, kind."""
        self.messages: list[str] = []
        self.metas: list[dict[str, Any]] = []
        self.first = asyncio.Event()
        self._gate = gate

    async def __call__(self, number: float, message: str, meta: dict[str, Any]) -> None:
        self.received.append((number, meta.get(DELTA_KEY, message), meta[KIND_KEY]))
        self.messages.append(message)
        self.metas.append(meta)
        self.first.set()
        if self._gate is not None:
            await self._gate.wait()

    @property
    def words(self) -> list[str]:
        return [words for _, words, _ in self.received]

    def text_of(self, kind: str) -> str:
        return "".join(message for _, message, each in self.received if each == kind)


async def test_every_word_arrives_in_order_before_the_scope_ends() -> None:
    receiver = Receiver()
    async with reporting(receiver) as reporter:
        reporter.delta("heron-1", DeltaKind.REASONING, "hm, ")
        reporter.delta("heron-1", DeltaKind.REASONING, "yes")
        await receiver.first.wait()
        for number in range(1000):
            reporter.delta("heron-1", DeltaKind.TEXT, f"{number} ")
    assert receiver.text_of("reasoning") == "hm, yes"
    assert receiver.text_of("text") == "".join(f"{number} " for number in range(1000))
    numbers = [number for number, _, _ in receiver.received]
    assert numbers == sorted(set(numbers))


async def test_each_delta_leaves_at_once_while_the_loop_has_time() -> None:
    late: list[float] = []

    async def receive(number: float, message: str, meta: dict[str, Any]) -> None:
        late.append(asyncio.get_running_loop().time() - float(meta[DELTA_KEY]))

    async with reporting(receive) as reporter:
        for _ in range(2_000):
            reporter.delta("heron-1", DeltaKind.TEXT, str(asyncio.get_running_loop().time()))
            await asyncio.sleep(0.001)
    assert late == [0.0] * 2_000


async def test_many_deltas_become_one_message_per_interval_while_the_loop_has_none() -> None:
    receiver = Receiver()
    async with reporting(receiver, await busy()) as reporter:
        for _ in range(2_000):
            reporter.delta("heron-1", DeltaKind.TEXT, "word ")
            await asyncio.sleep(0.001)
    assert receiver.text_of("text") == "word " * 2_000
    assert len(receiver.received) == 1 + 2 / INTERVAL_S, "the first at once, then one per interval"


async def test_deltas_gather_for_longer_the_busier_the_loop_is_and_no_more_once_it_has_time() -> None:
    assert (await busy(0.5)).gather_s == 0.0
    assert (await busy(0.7)).gather_s == pytest.approx(INTERVAL_S / 2)
    assert (await busy(0.9)).gather_s == pytest.approx(INTERVAL_S)
    assert (await busy(1.0, lambda: 100)).gather_s == 100 / MESSAGES_PER_S
    cpu_s = 0.0
    pace = Pace(LoopClock(), cpu_s=lambda: cpu_s)
    gathered = [pace.gather_s]
    for spent in (2 * WINDOW_S, 0.0):
        cpu_s += spent
        await asyncio.sleep(2 * WINDOW_S)
        gathered.append(pace.gather_s)
    assert gathered == [0.0, pytest.approx(INTERVAL_S), 0.0]


async def test_the_first_thought_and_the_first_word_wait_for_no_others() -> None:
    receiver = Receiver()
    pace = await busy()
    began = asyncio.get_running_loop().time()
    async with reporting(receiver, pace) as reporter:
        reporter.status("asking")
        await asyncio.sleep(0.01)
        reporter.delta("heron-1", DeltaKind.REASONING, "hm")
        await asyncio.sleep(0.01)
        reporter.delta("heron-1", DeltaKind.REASONING, ", yes")
        reporter.delta("heron-1", DeltaKind.TEXT, "The answer")
        await asyncio.sleep(0.01)
        assert receiver.words == ["asking", "hm", ", yes", "The answer"]
        reporter.delta("heron-1", DeltaKind.TEXT, " is")
        reporter.delta("heron-1", DeltaKind.TEXT, " this.")
        await asyncio.sleep(0.7 * INTERVAL_S)
        assert len(receiver.received) == 4, "what follows is gathered"
        await asyncio.sleep(0.3 * INTERVAL_S)
        assert receiver.words[4:] == [" is this."]
    assert asyncio.get_running_loop().time() - began < 2 * INTERVAL_S


async def test_with_many_calls_each_sends_progress_less_often() -> None:
    async def messages(running: int) -> int:
        receiver = Receiver()
        async with reporting(receiver, await busy(calls_running=lambda: running)) as reporter:
            for _ in range(100):
                reporter.delta("heron-1", DeltaKind.TEXT, "word ")
                await asyncio.sleep(0.1)
        assert receiver.text_of("text") == "word " * 100
        return len(receiver.received)

    assert await messages(1) == 100, "ten seconds of a word every 0.1 s"
    assert await messages(MESSAGES_PER_S) == 11
    assert await messages(60 * MESSAGES_PER_S) == 2, "the first word, and at the end the rest"


async def test_a_slow_reader_gets_fewer_larger_messages() -> None:
    gate = asyncio.Event()
    receiver = Receiver(gate)
    async with reporting(receiver) as reporter:
        reporter.delta("heron-1", DeltaKind.TEXT, "first")
        await receiver.first.wait()
        for _ in range(500):
            reporter.delta("heron-1", DeltaKind.TEXT, ".")
        gate.set()
    assert [message for _, message, _ in receiver.received] == ["first", "." * 500]


async def test_silence_is_broken_by_a_sign_of_life() -> None:
    receiver = Receiver()
    async with reporting(receiver) as reporter:
        await asyncio.sleep(5)
        reporter.deltas_of("heron-1")
        await asyncio.sleep(5)
        reporter.delta("heron-1", DeltaKind.TEXT, "Well,")
        await asyncio.sleep(5)
    assert receiver.messages == [
        "EXAI prepares the call, 4 s",
        "EXAI waits for heron-1, 8 s",
        "heron-1 answers, 5 characters: Well,",
        "heron-1 answers, 5 characters, 14 s",
    ]


async def test_a_failed_scope_says_no_more() -> None:
    gate = asyncio.Event()
    receiver = Receiver(gate)
    with pytest.raises(ValueError, match="broken"):
        async with reporting(receiver) as reporter:
            reporter.delta("heron-1", DeltaKind.TEXT, "first")
            await receiver.first.wait()
            reporter.delta("heron-1", DeltaKind.TEXT, "never sent")
            raise ValueError("broken")
    gate.set()
    assert receiver.text_of("text") == "first"


async def test_a_peer_that_is_gone_does_not_hurt_the_call() -> None:
    async def gone(number: float, message: str, meta: dict[str, Any]) -> None:
        raise ConnectionResetError

    async with reporting(gone) as reporter:
        reporter.delta("heron-1", DeltaKind.TEXT, "to nobody")


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    async with reporting(Receiver()) as reporter:
        reporter.delta("heron-1", DeltaKind.TEXT, "x")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), reporting(Receiver()):
            await asyncio.Event().wait()
    assert asyncio.all_tasks() == before


async def test_each_message_stands_alone_and_the_deltas_are_beside_it() -> None:
    receiver = Receiver()
    async with reporting(receiver) as reporter:
        for kind, words in ((DeltaKind.REASONING, "birds, "), (DeltaKind.TEXT, "Herons stand in shal")):
            reporter.delta("heron-1", kind, words)
            await asyncio.sleep(INTERVAL_S)
        reporter.delta("heron-1", DeltaKind.TEXT, "low water")
        await asyncio.sleep(INTERVAL_S)
        reporter.delta("ibis-2", DeltaKind.TEXT, "Not ibises.")
    assert receiver.messages == [
        "heron-1 thinks, 7 characters: birds,",
        "heron-1 answers, 20 characters: Herons stand in shal",
        "heron-1 answers, 29 characters: Herons stand in shallow water",
        "ibis-2 answers, 11 characters: Not ibises.",
    ]
    assert receiver.words == ["birds, ", "Herons stand in shal", "low water", "Not ibises."]
    assert [meta.get(MODEL_KEY) for meta in receiver.metas] == ["heron-1"] * 3 + ["ibis-2"]


async def test_a_message_is_one_short_line_whatever_a_model_writes() -> None:
    shapes = (
        "word " * 20_000,
        "\n\n".join("# title\r\n\tcode" for _ in range(500)),
        "\x1b[31mred\x1b[0m \x07\u202e\u2028" * 500,
        "白鷺は浅い水の中に立つ。" * 500,
        "x" * 100_000,
        "heron\ud83d" * 500,
    )
    for words in shapes:
        receiver = Receiver()
        async with reporting(receiver) as reporter:
            reporter.delta("heron-1", DeltaKind.TEXT, words)
        (message,) = receiver.messages
        assert message.isprintable(), repr(message)
        assert message.startswith(f"heron-1 answers, {len(words)} characters: … "), message
        assert 40 < len(message) < 130, message
        assert receiver.words == [words]


async def test_the_last_words_begin_with_a_whole_word() -> None:
    receiver = Receiver()
    async with reporting(receiver) as reporter:
        reporter.delta("heron-1", DeltaKind.TEXT, "stand in shallow water and wait for fish. " * 9)
    words = receiver.messages[0].partition("… ")[2].split()
    assert set(words) <= {"stand", "in", "shallow", "water", "and", "wait", "for", "fish."}
