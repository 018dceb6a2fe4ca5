"""What calls pay while faults storm or events flood, in one daemon: calm, storm, calm, under the same steady `chat`.

`--of faults`: 100,000 faults a minute for five minutes, with investigations by themselves; every fault has to be
counted, and no hour may have more than 30 requests to models. `--of events`: 10,000 events a second for a minute
through an auditor. Calls come at a fixed rate, and each is timed from the moment at which it was to begin.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import uvloop
from websockets.asyncio.client import connect

from benchmarks.calls import Client, first_line, pin, process
from benchmarks.figures import keep, show
from benchmarks.watched_daemon import KINDS
from exai.storage.database_file import FILE_NAME
from exai_emulator import Emulator, EmulatorOptions, Persona, running
from support.daemons import clean_environ
from support.emulated import provider_environment
from support.migrated_databases import migrated_sqlite

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
AIMS = {
    "faults": {
        "grown_mib": 32.0,
        "late_p99_ms": 50.0,
        "blocked_p99_ms": 50.0,
        "p99_ratio": 1.2,
        "missing": 0.0,
        "model_requests": 30.0,
    },
    "events": {"event_us": 5.0, "p99_ratio": 1.05, "missing": 0.0},
}
USUAL = {"faults": (100_000.0, 300.0, 1), "events": (10_000.0, 60.0, 6)}
"""Faults a minute or events a second, seconds of it, and in how many turns."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench storms", description=__doc__)
    parser.add_argument("--of", choices=sorted(USUAL), default="faults", help="what storms (default faults)")
    parser.add_argument("--rate", type=float, help="faults a minute, events a second")
    parser.add_argument("--seconds", type=float, help="how long, in all turns together")
    parser.add_argument("--turns", type=int, help="in how many, each with half of its calm before and behind")
    parser.add_argument("--calls-per-s", type=float, default=40.0, help="of `chat` (default 40)")
    parser.add_argument("--json", type=Path, help="where the result goes")
    return parser.parse_args()


async def _calls_at(clients: Sequence[Client], per_second: float, done: asyncio.Event) -> list[float]:
    """Call at a fixed rate until it is done; return seconds from the moment each was to begin."""
    latencies: list[float] = []

    async def call(client: Client, due: float) -> None:
        await client.chat("What does this do?")
        latencies.append(time.monotonic() - due)

    began, number = time.monotonic(), 0
    async with asyncio.TaskGroup() as calls:
        while not done.is_set():
            due = began + number / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            calls.create_task(call(clients[number % len(clients)], due))
            number += 1
    return latencies


class _Storm:
    """A daemon, its clients, and what it is told."""

    def __init__(self, daemon: subprocess.Popen[str], clients: Sequence[Client], per_second: float) -> None:
        self._daemon = daemon
        self._clients = clients
        self._per_second = per_second

    async def phase(self, line: str) -> tuple[dict[str, Any], list[float]]:
        """Tell the daemon what to do, and call meanwhile."""
        done = asyncio.Event()
        calling = asyncio.create_task(_calls_at(self._clients, self._per_second, done))
        assert self._daemon.stdin is not None
        assert self._daemon.stdout is not None
        self._daemon.stdin.write(f"{line}\n")
        self._daemon.stdin.flush()
        told = json.loads(await asyncio.to_thread(self._daemon.stdout.readline))
        done.set()
        return told, await calling


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98] * 1_000


async def _measure(
    daemon: subprocess.Popen[str], address: str, asked: argparse.Namespace
) -> dict[str, float]:
    usual_rate, usual_seconds, usual_turns = USUAL[asked.of]
    rate, turns = asked.rate or usual_rate, asked.turns or usual_turns
    seconds = (asked.seconds or usual_seconds) / turns
    calm: list[float] = []
    stormy: list[float] = []
    ratios: list[float] = []
    told: list[dict[str, Any]] = []
    async with asyncio.TaskGroup() as tasks:
        clients = []
        for _ in range(8):
            socket = await connect(address, subprotocols=["mcp"], compression=None, max_size=None)  # type: ignore[list-item]
            client = Client(socket)
            listener = tasks.create_task(client.listen())
            await client.handshake()
            clients.append((client, listener))
        storm = _Storm(daemon, [client for client, _ in clients], asked.calls_per_s)
        warm_up, _ = await storm.phase(f"{asked.of} {rate:g} 2")
        for turn in range(turns):
            quiet, before = await storm.phase(f"calm {seconds / 2:g}")
            seen, during = await storm.phase(f"{asked.of} {rate:g} {seconds:g}")
            _, after = await storm.phase(f"calm {seconds / 2:g}")
            told.append({**seen, "cpu_share_without": quiet["cpu_share"]})
            calm += before + after
            stormy += during
            ratios.append(_p99(during) / _p99(before + after))
            print(
                f"turn {turn + 1}: chat p99 {_p99(before + after):.1f} ms without and {_p99(during):.1f} ms with; "
                f"p50 {statistics.median(before + after) * 1e3:.1f} and {statistics.median(during) * 1e3:.1f}; "
                f"load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        for _, listener in clients:
            listener.cancel()
    figures = {
        "sent": float(sum(each["sent"] for each in told)),
        "sent_in_warm_up": float(warm_up["sent"]),
        "calls_without": float(len(calm)),
        "calls_with": float(len(stormy)),
        "p50_without_ms": statistics.median(calm) * 1_000,
        "p50_with_ms": statistics.median(stormy) * 1_000,
        "p99_without_ms": _p99(calm),
        "p99_with_ms": _p99(stormy),
        "p99_ratio": _p99(stormy) / _p99(calm),
        "p99_ratio_median_of_turns": statistics.median(ratios),
        "late_p99_ms": max(each["late_p99_ms"] for each in told),
        "blocked_p99_ms": max(each["blocked_p99_ms"] for each in told),
        "grown_mib": max(each["grown_mib"] for each in told),
        "cpu_share_without": statistics.mean(each["cpu_share_without"] for each in told),
        "cpu_share_with": statistics.mean(each["cpu_share"] for each in told),
        "make_us": statistics.mean(each["make_us"] for each in told),
    }
    if asked.of == "events":
        figures["folded"] = float(sum(each["folded"] for each in told))
        figures["dropped"] = float(sum(each["dropped"] for each in told))
        figures["fold_us"] = statistics.mean(each["fold_us"] for each in told)
        figures["event_us"] = figures["make_us"] + figures["fold_us"]
        figures["missing"] = figures["sent"] - figures["folded"] - figures["dropped"]
    return figures


def _counted(folder: Path, figures: dict[str, float]) -> None:
    """Read from the rows what was counted, and how many requests to models were granted."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as rows:
        ((seen, groups, kept),) = rows.execute(
            "SELECT sum(seen), count(*), sum(stored) FROM error_groups WHERE title LIKE 'Storm%'"
        ).fetchall()
        ((granted,),) = rows.execute(
            "SELECT count(*) FROM budget_grants WHERE purse = 'investigation'"
        ).fetchall()
        states = dict(rows.execute("SELECT state, count(*) FROM investigations GROUP BY state").fetchall())
    figures["counted"], figures["groups"], figures["kept_whole"] = float(seen), float(groups), float(kept)
    figures["missing"] = figures["sent"] + figures["sent_in_warm_up"] - seen
    figures["model_requests"] = float(granted)
    print(f"investigations: {states}; {granted} requests to models were granted, all within an hour")
    if groups != KINDS:
        raise SystemExit(f"{groups} groups instead of {KINDS}")


def _environ(folder: Path, emulator: Emulator, port: int, of: str) -> dict[str, str]:
    emulator.personas.set(Persona("investigator", conduct="honest"))
    return {
        **clean_environ(folder, provider_environment(emulator)),
        "EXAI_PROVIDERS__GLM__BASE_URL": f"http://127.0.0.1:{port}/v4",
        "EXAI_INVESTIGATION__MODE": "auto" if of == "faults" else "manual",
        "EXAI_LOGGING__LEVEL": "error",
    }


async def _run(asked: argparse.Namespace, folder: Path, port: int) -> dict[str, float]:
    async with running(EmulatorOptions()) as emulator:
        environ = _environ(folder, emulator, port, asked.of)
        command = [sys.executable, "-m", "benchmarks.watched_daemon"]
        with process(command, core=0, env=environ, stdin=subprocess.PIPE) as daemon:
            address = json.loads(await asyncio.to_thread(first_line, daemon))["mcp_ws"]
            figures = await _measure(daemon, address, asked)
            assert daemon.stdin is not None
            daemon.stdin.write("end\n")
            daemon.stdin.flush()
            await asyncio.to_thread(daemon.wait, 60)
        return figures


def main() -> None:
    """Measure, print, and end with 1 where something was not counted."""
    asked = _arguments()
    pin(1)
    with (
        tempfile.TemporaryDirectory(prefix="exai-storms-") as name,
        process([sys.executable, "-m", "benchmarks.upstream"], core=1) as upstream,
    ):
        folder = Path(name) / "data"
        folder.mkdir(mode=0o700)
        migrated_sqlite(folder / FILE_NAME)
        before = os.getloadavg()[0]
        figures = uvloop.run(_run(asked, folder, int(first_line(upstream))))
        if asked.of == "faults":
            _counted(folder, figures)
    print(f"load of the machine {before:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    figures = {name: round(value, 3) for name, value in figures.items()}
    show(figures, AIMS[asked.of])
    keep({"load": os.getloadavg()[0], **figures}, asked.json or ROOT / f"benchmarks/results/{asked.of}.json")
    if figures["missing"]:
        raise SystemExit(f"{figures['missing']:g} of them are missing")


if __name__ == "__main__":
    main()
