"""What one plain `chat` takes of the interpreter: a figure that does not depend on the machine."""

from collections import Counter
from pathlib import Path

import uvloop
from benchmarks.path import by_package, fixed_provider, path_client, python_calls

MOST_PYTHON_CALLS = 606
"""Per chat, of EXAI's own and of its HTTP client; `scripts/bench path` says by which package."""
CALLS = 80
ROUNDS = 4
"""How much is written at once differs by what else the machine does: the round with the fewest calls counts."""


async def count_calls(folder: Path) -> list[Counter[tuple[str, str]]]:
    with fixed_provider() as base_url:
        async with path_client(folder, base_url) as client:
            return [await python_calls(client, CALLS, in_flight=16) for _ in range(ROUNDS)]


def per_chat(found: Counter[tuple[str, str]]) -> dict[str, int]:
    """How often every chat enters what it enters, by package. What runs once a second beside them comes to nothing."""
    of_each = Counter({function: count // CALLS for function, count in found.items()})
    return {
        name: count for name, count in by_package(of_each).items() if name.startswith(("exai/", "aiohttp"))
    }


def test_a_plain_chat_takes_no_more_python_calls_than_it_did(tmp_path: Path) -> None:
    rounds = [per_chat(found) for found in uvloop.run(count_calls(tmp_path))]
    fewest = min(rounds, key=lambda counted: sum(counted.values()))
    assert sum(fewest.values()) <= MOST_PYTHON_CALLS, fewest
