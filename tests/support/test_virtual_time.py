"""The clock jumps when only a timer can wake the loop, and stands still while anything else can."""

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import virtual_time
from support.virtual_time import LoopClock, VirtualTimeLoop, VirtualTimeStuckError, now

pytestmark = pytest.mark.virtual_time


async def test_two_minutes_take_none_and_last_exactly_two() -> None:
    began = time.monotonic()
    assert now() == 0
    await asyncio.sleep(120)
    assert now() == 120
    await asyncio.sleep(100 * 86_400)  # longer than asyncio waits for its selector at once
    assert now() == 120 + 100 * 86_400
    assert time.monotonic() - began < 60


async def test_sums_of_decimals_are_what_they_read() -> None:
    for _ in range(10):
        await asyncio.sleep(0.1)
    assert now() == 1.0


async def test_timers_fire_in_their_order_each_at_its_time() -> None:
    fired: list[tuple[str, float]] = []

    async def waits(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, now()))

    await asyncio.gather(waits("late", 30), waits("early", 0.25), waits("between", 29.75))
    assert fired == [("early", 0.25), ("between", 29.75), ("late", 30)]


async def test_what_is_ready_runs_before_the_clock_moves() -> None:
    async def work() -> None:
        for _ in range(1_000):
            await asyncio.sleep(0)

    async with asyncio.timeout(0.001):
        await work()
    assert now() == 0


async def test_a_time_out_ends_what_it_bounds_at_its_time() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(7):
            await asyncio.sleep(7.5)
    assert now() == 7


async def test_the_clock_reads_the_loop() -> None:
    clock = LoopClock(wall=1_000.0)
    await asyncio.sleep(60)
    assert (clock.monotonic(), clock.wall()) == (60, 1_060)


async def test_a_job_in_a_thread_takes_no_time_and_is_not_jumped_over() -> None:
    with ThreadPoolExecutor(1) as own:
        for executor in (None, own):
            async with asyncio.timeout(0.01):
                await asyncio.get_running_loop().run_in_executor(executor, time.sleep, 0.1)
    assert now() == 0
    await asyncio.sleep(5)
    assert now() == 5, "idle threads of executors hold nothing up"


async def test_a_thread_of_an_executor_that_never_had_a_job_holds_nothing_up() -> None:
    for _ in range(20):
        await asyncio.gather(*(asyncio.to_thread(int) for _ in range(5)))
    await asyncio.sleep(60)
    assert now() == 60


async def test_a_job_that_nobody_waits_for_any_more_still_counts() -> None:
    may_end, moments = threading.Event(), list[float]()
    loop = asyncio.get_running_loop()

    def job() -> None:
        may_end.wait()
        loop.call_soon_threadsafe(lambda: moments.append(loop.time()))

    running = loop.run_in_executor(None, job)
    await asyncio.sleep(0)
    running.cancel()
    threading.Timer(0.05, may_end.set).start()
    await asyncio.sleep(60)
    assert moments == [0]


async def test_a_thread_of_somebody_else_is_not_jumped_over() -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        time.sleep(0.1)
        loop.call_soon_threadsafe(told.set)

    threading.Thread(target=work).start()
    async with asyncio.timeout(0.01):
        await told.wait()
    assert now() == 0


async def test_sockets_within_the_process_cost_no_time() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(10)
            writer.write(line)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for number in range(1, 101):
            writer.write(b"x" * 10_000 + b"\n")
            assert len(await reader.readline()) == 10_001
            assert now() == 10 * number
        writer.close()
        await writer.wait_closed()


async def test_small_pieces_that_the_kernel_holds_back_are_waited_for() -> None:
    """One way only, without an answer that would carry their receipt."""

    async def tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for second in range(1, 301):
            await asyncio.sleep(1)
            for piece in f"{second} ", "\n":
                writer.write(piece.encode())
                await asyncio.sleep(0)
        writer.close()

    async def wake_often() -> None:
        for _ in range(10_000):
            await asyncio.sleep(0.1)

    async with await asyncio.start_server(tell, "127.0.0.1", 0) as server:
        other = asyncio.get_running_loop().create_task(wake_often())
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        while line := await reader.readline():
            assert now() == int(line)
        assert now() == 300
        other.cancel()
        writer.close()


async def test_a_reader_that_does_not_read_is_waited_for_in_virtual_time() -> None:
    """What the kernel holds is not under way: the writer's time-out fires."""
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    def pause(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        accepted.set_result(writer)

    async with await asyncio.start_server(pause, "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        there = await accepted
        writer.write(bytes(64 * 2**20))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await writer.drain()
        assert now() == 30
        writer.transport.abort()
        there.transport.abort()


async def test_another_process_is_not_jumped_over() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(0.2); print('done')", stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(0.01):
        assert (await process.communicate())[0] == b"done\n"
    assert now() == 0


LISTENS = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    peer, _ = listening.accept()
    sys.stdin.read()
"""


def test_a_silent_peer_in_another_process_ends_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "STUCK_S", 0.05)

    async def ask(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(60):
                await reader.read()
        finally:
            writer.transport.abort()

    with subprocess.Popen(
        [sys.executable, "-c", LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with (
            asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
            pytest.raises(VirtualTimeStuckError, match=f"outside of this process, at .*{port}"),
        ):
            runner.run(ask(port))
        process.stdin.close()


def test_a_wait_that_nothing_can_end_ends_the_test() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with (
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
        pytest.raises(VirtualTimeStuckError, match="Nothing can wake"),
    ):
        runner.run(wait())
