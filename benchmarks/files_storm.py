"""Storms of stored files: many operations on few contents in two processes, equal uploads at once, and foreign owners.

Two processes put, remove, read and collect the same contents of the same owners; afterwards rows, references and bytes
are compared with what each was told was kept. Then a daemon is asked for ten thousand ids of others, and for contents
that others have against contents that nobody has: how long either takes is compared by the test of Mann and Whitney.
"""

import argparse
import asyncio
import hashlib
import http.client
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.calls import ROOT, pin
from benchmarks.figures import keep
from benchmarks.raw_sessions import daemon
from exai import config
from exai.storage.database import Database
from support.store_storm import StormOrder, audit_storm, run_storm

PROCESSES = 2
EQUAL_UPLOADS = 50
WARM_UP = 50


@dataclass(frozen=True)
class Comparison:
    """How long two kinds of requests took, and how likely so large a difference is by chance."""

    median_ms: tuple[float, float]
    p: float


def mann_whitney_p(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p of the U test, by its normal approximation with ties."""
    values = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    rank_sum, ties, at = 0.0, 0.0, 0
    while at < len(values):
        end = at
        while end < len(values) and values[end][0] == values[at][0]:
            end += 1
        mean_rank = (at + 1 + end) / 2
        rank_sum += mean_rank * sum(kind == 0 for _, kind in values[at:end])
        ties += (end - at) ** 3 - (end - at)
        at = end
    n, m = len(first), len(second)
    u = rank_sum - n * (n + 1) / 2
    spread = math.sqrt(n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1))))
    return math.erfc(abs(u - n * m / 2) / spread / math.sqrt(2)) if spread else 1.0


class Caller:
    """One owner's connection to a daemon."""

    def __init__(self, address: str, token: str) -> None:
        place = urlsplit(address)
        self._connection = http.client.HTTPConnection(str(place.hostname), place.port)
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, float]:
        """Status, body, and how many milliseconds it took."""
        began = time.perf_counter()
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, content, (time.perf_counter() - began) * 1000


async def _storm(folder: Path, operations: int, seed: int) -> tuple[dict[str, int], list[str]]:
    await (await Database.open(config.Database(), folder)).close()
    orders = [
        StormOrder(str(folder), seed + n, operations // PROCESSES, equal_uploads=EQUAL_UPLOADS // PROCESSES)
        for n in range(PROCESSES)
    ]
    results = await run_storm(orders)
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result["counts"])
    return dict(counts), await audit_storm(folder, results)


def _token(folder: Path, owner: str) -> str:
    command = [
        str(Path(sys.executable).parent / "exai"),
        "token",
        "create",
        owner,
        "--scope",
        "files",
        "--json",
    ]
    environ = {"EXAI_DATA_DIR": str(folder), "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    answer = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    token: str = json.loads(answer.stdout)["access_token"]
    return token


def _foreign(folder: Path, ids: int, looks: int, seed: int) -> dict[str, Any]:
    """Ask as one owner for what another one has, and for what nobody has."""
    draw = random.Random(seed)
    alice_token, bob_token = (_token(folder, owner) for owner in ("alice", "bob"))
    with daemon(str(folder), EXAI_AUTH__MODE="required") as (_, addresses):
        alice, bob = (Caller(addresses["mcp_http"], token) for token in (alice_token, bob_token))
        there, nowhere = ([draw.randbytes(32).hex() for _ in range(looks)] for _ in range(2))
        his = []
        for n in range(looks):
            content = draw.randbytes(64)
            status, body, _ = bob.ask("PUT", f"/files/sha256/{_sha256(content)}?name={n}", content)
            assert status == 201, (status, body)
            entry = json.loads(body)
            his.append(entry["id"])
            there[n] = entry["sha256"]
        answers: Counter[tuple[int, bytes]] = Counter()
        for _ in range(ids):
            wanted = draw.choice(his) if draw.random() < 0.5 else f"file_{draw.randbytes(16).hex()}"
            path = draw.choice((f"/files/{wanted}", f"/files/{wanted}/content"))
            status, body, _ = alice.ask("GET", path)
            answers[status, body] += 1
        times = _looks(alice, draw, there, nowhere)
    found = Comparison(
        (round(_median(times[0]), 3), round(_median(times[1]), 3)), round(mann_whitney_p(*times), 4)
    )
    return {
        "foreign_ids": ids,
        "foreign_answers": sum(count for (status, _), count in answers.items() if status != 404),
        "kinds_of_answers": len(answers),
        "looks_of_each": looks,
        "median_ms": found.median_ms,
        "p": found.p,
    }


def _looks(
    caller: Caller, draw: random.Random, there: Sequence[str], nowhere: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Ask for either kind in a drawn order; the milliseconds of each."""
    asked = [(digest, 0) for digest in there] + [(digest, 1) for digest in nowhere]
    draw.shuffle(asked)
    times: tuple[list[float], list[float]] = ([], [])
    for digest, _ in asked[:WARM_UP]:
        caller.ask("HEAD", f"/files/sha256/{digest}")
    for digest, kind in asked:
        status, _, took = caller.ask("HEAD", f"/files/sha256/{digest}")
        assert status == 404, status
        times[kind].append(took)
    return times


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench files-storm", description=__doc__)
    parser.add_argument("--operations", type=int, default=100_000, help="of both processes (default 100,000)")
    parser.add_argument("--ids", type=int, default=10_000, help="of others, asked for (default 10,000)")
    parser.add_argument("--looks", type=int, default=1_000, help="at contents of each kind (default 1,000)")
    parser.add_argument("--seed", type=int, default=1, help="what draws them (default 1)")
    parser.add_argument("--folder", type=Path, help="where the stores are put (default: a temporary one)")
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "benchmarks/results/files_storm.json",
        help="where the result goes",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exai-bench-", dir=options.folder) as place:
        folder = Path(place)
        (folder / "foreign").mkdir(mode=0o700)
        began = time.monotonic()
        counts, wrong = asyncio.run(_storm(folder / "storm", options.operations, options.seed))
        print(
            f"{options.operations} operations in {PROCESSES} processes, {time.monotonic() - began:.0f} s: {counts}"
        )
        print(f"{EQUAL_UPLOADS} equal uploads at once; wrong: {wrong or 'nothing'}\n", flush=True)
        pin(1)
        foreign = _foreign(folder / "foreign", options.ids, options.looks, options.seed)
    print(
        f"{foreign['foreign_ids']} ids of others or of nobody: {foreign['foreign_answers']} answers but 404, "
    )
    print(f"  {foreign['kinds_of_answers']} different answers in all")
    print(f"HEAD of what others have and of what nobody has: {foreign['median_ms']} ms, p = {foreign['p']}")
    keep({"operations": options.operations, "counts": counts, "wrong": wrong, **foreign}, options.json)
    if wrong or foreign["foreign_answers"] or foreign["kinds_of_answers"] != 1:
        sys.exit(1)


if __name__ == "__main__":
    main()
