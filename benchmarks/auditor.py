"""The auditor under a flood of events: what an event costs it, what is dropped, and how late the event loop is."""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from exai import config
from exai.events.bus import EventBus
from exai.monitoring.auditor.auditor import Auditor
from exai.monitoring.auditor.exercise import MODELS, Planted, event_of
from exai.runtime.clock import SystemClock
from exai.storage.auditor.observations import Observations
from exai.storage.auditor.windows import Windows
from exai.storage.database import Database

__all__ = ["Flood", "flood", "main"]

FOLD_S = 1.0
TICK_S = 0.01


@dataclass(frozen=True)
class Flood:
    """What became of a flood."""

    sent: int
    folded: int
    dropped: int
    publish_us: float
    """What an event costs whoever publishes it."""
    fold_us: float
    """What an event costs afterwards, windows and rules included; of the loop's thread."""
    late_ms: float
    """Lag of the event loop, p99."""


async def flood(folder: Path, *, per_second: int, seconds: float) -> Flood:
    """Publish events evenly, folded once a second as the daemon does."""
    database, clock, bus = await Database.open(config.Database(), folder), SystemClock(), EventBus()
    auditor = Auditor(Observations(database, clock), Windows(database, clock), clock, bus.publish)
    auditor.watch(bus)
    events = [event_of(Planted(0.0, "call", model)) for model in MODELS]
    began, sent, publishing, folding = time.monotonic(), 0, 0.0, 0.0
    late: list[float] = []
    fold_at = began + FOLD_S
    try:
        while (now := time.monotonic()) < began + seconds:
            due = min(int((now - began) * per_second), int(seconds * per_second))
            spent = time.thread_time()
            for number in range(sent, due):
                bus.publish(events[number % len(events)])
            publishing += time.thread_time() - spent
            sent = max(sent, due)
            if now >= fold_at:
                fold_at = now + FOLD_S
                spent = time.thread_time()
                await auditor.fold()
                folding += time.thread_time() - spent
            wake = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            late.append(time.monotonic() - wake)
        await auditor.fold()
    finally:
        await database.close()
    folded = auditor.counts_of().folded
    p99 = statistics.quantiles(late, n=100)[98] * 1_000 if len(late) > 1 else 0.0
    return Flood(
        sent, folded, auditor.dropped, publishing / max(sent, 1) * 1e6, folding / max(folded, 1) * 1e6, p99
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench auditor", description=__doc__)
    parser.add_argument("--per-second", type=int, default=10_000, help="events (default 10000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default 60)")
    return parser.parse_args()


def main() -> None:
    """Flood, print, and fail where an event is neither folded nor counted as dropped."""
    asked = _arguments()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="exai-auditor-") as folder:
        seen = asyncio.run(flood(Path(folder), per_second=asked.per_second, seconds=asked.seconds))
    print(f"{seen.sent:,} events in {asked.seconds:g} s: {seen.folded:,} folded, {seen.dropped:,} dropped")
    print(f"an event costs its publisher {seen.publish_us:.2f} µs and the auditor {seen.fold_us:.2f} µs")
    print(f"event loop p99 {seen.late_ms:.1f} ms late; load of the machine {before:.1f} before, ", end="")
    print(f"{os.getloadavg()[0]:.1f} after")
    if seen.folded + seen.dropped != seen.sent:
        raise SystemExit(f"{seen.sent - seen.folded - seen.dropped} events are missing")


if __name__ == "__main__":
    main()
