"""Faults: what noticing costs, what a call pays for its spans, and a storm through the tracker on a real database."""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from exai import config
from exai.dispatch.span_choice import SpanChoice
from exai.error_tracking.faults import FaultSource
from exai.error_tracking.noticing import FaultNotices
from exai.error_tracking.tracker import Tracker
from exai.events.bus import EventBus
from exai.events.requests import Purpose
from exai.monitoring.logs import Redaction
from exai.monitoring.minute_samples import Reading
from exai.monitoring.recent.lines import RecentLines
from exai.monitoring.recent.seconds import RecentSeconds
from exai.routing.ledger import Ledger, Stage
from exai.routing.timeline import spans_of
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.counting import FaultCounts
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.fleet.replicas import Replicas

__all__ = ["main"]

TIMES = 2_000
DEPTH = 30


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the storm lasts")
    parser.add_argument("--per-minute", type=int, default=100_000, help="faults of the storm")
    parser.add_argument("--distinct", type=int, default=0, help="instead: so many distinct faults at once")
    return parser.parse_args()


def _microseconds(work: Callable[[], object]) -> float:
    """The median over rounds, so that a busy machine counts little."""
    rounds = []
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(TIMES // 9):
            work()
        rounds.append((time.perf_counter() - began) / (TIMES // 9) * 1e6)
    return statistics.median(rounds)


def _raised(message: str, depth: int = DEPTH) -> Exception:
    def down(left: int) -> None:
        if left:
            return (down if left % 2 else _other)(left - 1)
        raise LookupError(message)

    def _other(left: int) -> None:
        return down(left)

    try:
        down(depth)
    except LookupError as error:
        return error
    raise AssertionError("it raises")


def _parts() -> None:
    notices = FaultNotices(EventBus().publish, SystemClock())
    error = _raised("call call_0019ae21f3c04d1c failed after 12.4 s")

    def notice() -> None:
        error.__dict__.clear()
        notices.notice(error, FaultSource.CALL, provider="glm", model="glm-5.3")

    ledger, choice = Ledger(SystemClock()), SpanChoice()
    entry = ledger.open(Purpose.CHAT, "glm", "glm-5.3")
    for number, stage in enumerate((Stage.PROVIDER_WAIT, Stage.CONNECT, Stage.FIRST_TOKEN, Stage.GENERATION)):
        entry.spend(stage, entry.began + number, entry.began + number + 1)
    chosen = _microseconds(lambda: choice.keeps("glm-5.3", 100.0, failed=False))
    kept = _microseconds(lambda: spans_of(ledger, entry.began))
    _remembering()
    print(f"noticing an exception of {DEPTH} frames  {_microseconds(notice):8.1f} µs")
    print(f"choosing a call for its spans     {chosen:8.2f} µs")
    print(
        f"spans of a call that is chosen    {kept:8.1f} µs; one in ten is: {chosen + kept / 10:.2f} µs a call"
    )


def _remembering() -> None:
    """What a call pays for the memory of its line in the log, and a second for that of its readings."""
    lines, seconds = RecentLines(), RecentSeconds()
    line = f'{{"call_id":"call_0019ae21f3c04d1c","event":"call ended","{"x" * 300}":1}}'
    readings = [Reading(f"in use: {number}", 1.0, 64.0) for number in range(40)]
    moments = iter(range(10**9))
    for _ in range(6_000):
        lines.add(time.time(), line)
    bare = _microseconds(time.time)
    kept = _microseconds(lambda: lines.add(time.time(), line))
    told = _microseconds(lambda: seconds.add(float(next(moments)), readings))
    print(f"a call's line in the log          {bare:8.2f} µs without and {kept:.2f} µs with the memory of it")
    print(f"readings of a second              {told:8.1f} µs")


async def _storm(folder: Path, seconds: float, per_minute: int) -> None:
    database = await Database.open(config.Database(), folder)
    clock, bus = SystemClock(), EventBus()
    notices = FaultNotices(bus.publish, clock, release="1.0.0")
    tracker = Tracker(FaultCounts(database), clock, Redaction(), bus.publish, asyncio.Event())
    tracker.watch(bus)
    await Replicas(database, clock).begin("1.0.0", "", "")
    errors = [_raised(f"key {number} of 10.0.0.{number} is gone") for number in range(200)]
    resident = _resident()
    began, sent, late = time.monotonic(), 0, []
    writing = asyncio.create_task(asyncio.sleep(0))
    while (now := time.monotonic()) < began + seconds:
        while sent < (now - began) * per_minute / 60:
            error = errors[sent % len(errors)]
            error.__dict__.clear()
            notices.notice(error, FaultSource.CALL, tool="chat")
            sent += 1
        if writing.done():
            writing = asyncio.create_task(tracker.flush())
        due = time.monotonic() + 0.01
        await asyncio.sleep(0.01)
        late.append(time.monotonic() - due)
    await writing
    await tracker.flush()
    groups = await GroupTables(database, clock).listed(state=None, most=1_000)
    counted = sum(group.seen for group in groups)
    p99 = statistics.quantiles(late, n=100)[98] * 1000
    print(f"storm: {sent:,} faults in {seconds:g} s, {counted:,} counted in {len(groups)} groups, ", end="")
    print(f"{sum(group.stored for group in groups)} kept whole")
    print(f"storm: memory +{(_resident() - resident) / 2**20:.1f} MiB, event loop p99 {p99:.1f} ms late")
    await database.close()
    if counted != sent:
        raise SystemExit(f"{sent - counted} faults are missing")


async def _distinct(folder: Path, number: int) -> None:
    """Notice faults that are all different, and count them twice over."""
    database = await Database.open(config.Database(), folder)
    clock, bus = SystemClock(), EventBus()
    notices = FaultNotices(bus.publish, clock, release="1.0.0")
    tracker = Tracker(FaultCounts(database), clock, Redaction(), bus.publish, asyncio.Event())
    tracker.watch(bus)
    await Replicas(database, clock).begin("1.0.0", "", "")
    kinds = [type(f"Error{each:05d}", (LookupError,), {}) for each in range(number)]
    resident, began = _resident(), time.monotonic()
    for _ in range(2):
        for kind in kinds:
            notices.notice(kind("x"), FaultSource.CALL)
        await tracker.flush()
    took = time.monotonic() - began
    groups = await GroupTables(database, clock).listed(state=None, most=2 * number)
    print(f"distinct: {number:,} faults, twice, in {took:.1f} s: {len(groups):,} groups, ", end="")
    print(f"{tracker.lost} lost, memory +{(_resident() - resident) / 2**20:.1f} MiB")
    await database.close()
    if len(groups) != number or any(group.seen != 2 for group in groups):
        raise SystemExit("they are not counted as they are")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def main() -> None:
    """Measure, and print."""
    asked = _arguments()
    if asked.distinct:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(_distinct(Path(folder), asked.distinct))
        return
    _parts()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_storm(Path(folder), asked.seconds, asked.per_minute))


if __name__ == "__main__":
    main()
