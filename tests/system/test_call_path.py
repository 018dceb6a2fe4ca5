"""What one plain `chat` takes of the interpreter: a figure that does not depend on the machine."""

from collections import Counter
from pathlib import Path

import uvloop
from benchmarks.path import by_package, fixed_provider, path_client, python_calls

MOST_PYTHON_CALLS = 660
"""Per chat, of EXAI's own and of its HTTP client; `scripts/bench path` says by which package."""
CALLS = 80
ROUNDS = 4
"""Duties that run once a second are counted with the calls beside which they run: the round with the fewest counts."""


async def count_calls(folder: Path) -> list[Counter[str]]:
    with fixed_provider() as base_url:
        async with path_client(folder, base_url) as client:
            return [by_package(await python_calls(client, CALLS, in_flight=16)) for _ in range(ROUNDS)]


def per_chat(found: Counter[str]) -> dict[str, float]:
    return {name: count / CALLS for name, count in found.items() if name.startswith(("exai/", "aiohttp"))}


def test_a_plain_chat_takes_no_more_python_calls_than_it_did(tmp_path: Path) -> None:
    rounds = [per_chat(found) for found in uvloop.run(count_calls(tmp_path))]
    fewest = min(rounds, key=lambda counted: sum(counted.values()))
    assert sum(fewest.values()) <= MOST_PYTHON_CALLS, fewest
