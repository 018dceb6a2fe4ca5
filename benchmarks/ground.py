"""What one `chat` pays for being watched: kept spans, the log ring and samples, on and off in turns within one run.

A daemon without its ports runs in this process, a provider of fixed bytes in another, as in `scripts/bench path`.
Rounds with everything on and rounds without it follow one another in pairs, each pair in a drawn order; compared is the
CPU of the event loop's thread, pair by pair, so that a machine that is slow for a while is slow for both.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import uvloop

from benchmarks.figures import keep, show
from benchmarks.path import PathClient, fixed_provider, path_client
from exai import config
from exai.dispatch.span_choice import SpanChoice
from exai.monitoring.logs import configure
from exai.monitoring.minute_samples import MinuteSamples
from exai.monitoring.recent.lines import RecentLines
from exai.monitoring.recent.seconds import RecentSeconds

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
AIMS = {"us_per_call": 15.0}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench ground", description=__doc__)
    parser.add_argument("--calls", type=int, default=300, help="calls of a round (default 300)")
    parser.add_argument("--pairs", type=int, default=60, help="pairs of rounds (default 60)")
    parser.add_argument("--in-flight", type=int, default=16, help="calls at a time (default 16)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/ground.json", help="where the result goes"
    )
    return parser.parse_args()


async def _nothing(_: MinuteSamples) -> None:
    return


@contextmanager
def _off() -> Iterator[None]:
    """Take away what only watches; what the journal's stages need stays."""
    with ExitStack() as scopes:
        scopes.enter_context(mock.patch.object(SpanChoice, "keeps", return_value=False))
        scopes.enter_context(mock.patch.object(RecentLines, "add"))
        scopes.enter_context(mock.patch.object(RecentSeconds, "add"))
        scopes.enter_context(mock.patch.object(MinuteSamples, "tick", _nothing))
        yield


async def _round(client: PathClient, calls: int, in_flight: int) -> float:
    """Return microseconds of the loop's thread per call."""
    began = time.thread_time()
    await client.call(calls, in_flight)
    return (time.thread_time() - began) / calls * 1e6


async def _measure(asked: argparse.Namespace) -> tuple[list[float], list[float]]:
    drawn = random.Random(asked.seed)
    on: list[float] = []
    off: list[float] = []
    with tempfile.TemporaryDirectory(prefix="exai-ground-") as folder, fixed_provider() as base_url:
        async with path_client(Path(folder), base_url) as client:
            await client.call(600, asked.in_flight)
            for _ in range(asked.pairs):
                for with_it in drawn.sample((True, False), 2):
                    await asyncio.sleep(0.01)
                    if with_it:
                        on.append(await _round(client, asked.calls, asked.in_flight))
                    else:
                        with _off():
                            off.append(await _round(client, asked.calls, asked.in_flight))
    return on, off


def _interval(values: list[float]) -> tuple[float, float]:
    """Return a 95 % interval of the median, from order statistics."""
    ordered, half = sorted(values), 0.98 * len(values) ** 0.5
    low, high = int(len(values) / 2 - half), int(len(values) / 2 + half)
    return ordered[max(low, 0)], ordered[min(high, len(values) - 1)]


def main() -> None:
    """Measure and print."""
    asked = _arguments()
    configure(config.Logging(format="json"), stream=Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    before = os.getloadavg()[0]
    on, off = uvloop.run(_measure(asked))
    differences = [with_it - without for with_it, without in zip(on, off, strict=True)]
    low, high = _interval(differences)
    figures = {
        "us_with": statistics.median(on),
        "us_without": statistics.median(off),
        "us_per_call": statistics.median(differences),
        "us_per_call_low": low,
        "us_per_call_high": high,
        "load": before,
    }
    figures = {name: round(value, 2) for name, value in figures.items()}
    show(figures, AIMS)
    keep(figures, asked.json)


if __name__ == "__main__":
    main()
