"""Reconciles the cost of mixed calls with the emulated providers' own log, to the token and to the micro-dollar.

Calls are drawn by a seed: streamed, capped, with pictures, searches and tool loops, answered by a fallback, half
delivered, cancelled, timed out, refused, asked twice under a key. Afterwards each request, each model and the total
are compared: what the providers charged and said, the journal, the usage report, the metrics and the answers. What a
provider charged and never said is a row of its own.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import uvloop

from benchmarks.calls import ROOT, pin
from benchmarks.figures import keep
from benchmarks.mixed_calls import MixedCalls, environment
from benchmarks.raw_sessions import daemon
from benchmarks.reconciliation import Reconciliation, Sums, reconcile
from exai_emulator import Emulator, EmulatorOptions, running

CALL_S = 30.0
"""Far above what a call takes that is meant to be answered, on a busy machine too."""

UNTIL_WRITTEN_S = 60.0


def _row(name: str, charged: Sums, booked: Sums) -> str:
    return (
        f"{name:<16} {charged.sent:>8} {booked.sent:>8} {sum(charged.tokens.values()):>12} "
        f"{sum(booked.tokens.values()):>12} {charged.usd:>12.6f} {booked.usd:>12.6f} {booked.unreported:>10}"
    )


def _show(found: Reconciliation) -> None:
    print(
        f"{'model':<16} {'sent':>8} {'booked':>8} {'tokens':>12} {'booked':>12} {'USD':>12} {'booked':>12} "
        f"{'unreported':>10}"
    )
    for model in sorted(found.charged.keys() | found.booked.keys()):
        print(_row(model, found.charged.get(model, Sums()), found.booked.get(model, Sums())))
    charged, booked = found.total(found.charged), found.total(found.booked)
    print(_row("all", charged, booked))
    print(
        f"\nnever said by the providers: {charged.unreported} requests, {sum(charged.lost.values())} tokens, "
        f"{charged.lost_usd:.6f} USD"
    )
    print(f"outcomes: {', '.join(f'{count} {outcome}' for outcome, count in found.outcomes.items())}")
    for name, count in found.differences.most_common():
        print(f"DIFFERENCE {name}: {count}, such as {found.examples[name]}")
    if not found.differences:
        print("no other difference")


async def _written(journal: Path) -> None:
    """Wait until every call's end is in the journal."""
    until = time.monotonic() + UNTIL_WRITTEN_S
    while time.monotonic() < until:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
            if not database.execute("SELECT count(*) FROM calls WHERE outcome IS NULL").fetchone()[0]:
                return
        await asyncio.sleep(0.1)
    raise SystemExit("some calls have no end in the journal")


def _environment(emulator: Emulator) -> dict[str, str]:
    there = emulator.addresses
    return {
        **environment(CALL_S),
        "GLM_API_KEY": there.glm_key,
        "KIMI_API_KEY": there.kimi_key,
        "EXAI_PROVIDERS__GLM__BASE_URL": there.glm,
        "EXAI_PROVIDERS__KIMI__BASE_URL": there.kimi,
    }


async def _measure(seed: int, calls: int, callers: int) -> Reconciliation:
    options = EmulatorOptions(log_limit=10 * calls, kimi_cache_writes=True)
    async with running(options) as emulator:
        with (
            tempfile.TemporaryDirectory(prefix="exai-bench-") as folder,
            daemon(folder, **_environment(emulator)) as (_, addresses),
        ):
            made = MixedCalls(emulator, seed=seed, calls=calls, callers=callers)
            began = time.monotonic()
            await made.run(addresses["mcp_ws"])
            print(f"{calls} calls of seed {seed} in {time.monotonic() - began:.0f} s:")
            print("  " + ", ".join(f"{count} {kind}" for kind, count in sorted(made.kinds.items())) + "\n")
            journal = Path(folder) / "exai.sqlite"
            await _written(journal)
            return await reconcile(emulator.log.requests, made.callers, journal, addresses["operations"])


def _figures(sums: Sums) -> dict[str, object]:
    return {
        "sent": sums.sent,
        "tokens": dict(sums.tokens),
        "usd": round(sums.usd, 9),
        "services": dict(sums.services),
        "unreported": sums.unreported,
        "never_said": {"tokens": dict(sums.lost), "usd": round(sums.lost_usd, 9)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench ledger", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="how many (default 10,000)")
    parser.add_argument("--seed", type=int, default=1, help="what draws them (default 1)")
    parser.add_argument("--callers", type=int, default=48, help="that call side by side (default 48)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/ledger.json", help="where the result goes"
    )
    options = parser.parse_args()
    pin(1)
    found = uvloop.run(_measure(options.seed, options.calls, options.callers))
    _show(found)
    result = {
        "seed": options.seed,
        "calls": found.calls,
        "outcomes": dict(found.outcomes),
        "charged": {model: _figures(sums) for model, sums in found.charged.items()},
        "booked": {model: _figures(sums) for model, sums in found.booked.items()},
        "differences": dict(found.differences),
    }
    keep(result, options.json)
    if found.differences:
        sys.exit(1)


if __name__ == "__main__":
    main()
