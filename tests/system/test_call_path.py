"""What one plain `chat` takes of the interpreter: a figure that does not depend on the machine."""

from collections import Counter
from pathlib import Path

import uvloop
from benchmarks.path import by_package, fixed_provider, path_client, python_calls

MOST_PYTHON_CALLS = 668
"""Per chat, of EXAI's own and of its HTTP client; `scripts/bench path` says by which package. Duties that run meanwhile
are one or two of them, more where the machine is slow."""
CALLS = 200


async def count_calls(folder: Path) -> Counter[str]:
    with fixed_provider() as base_url:
        async with path_client(folder, base_url) as client:
            return by_package(await python_calls(client, CALLS, in_flight=16))


def test_a_plain_chat_takes_no_more_python_calls_than_it_did(tmp_path: Path) -> None:
    found = uvloop.run(count_calls(tmp_path))
    counted = {name: count / CALLS for name, count in found.items() if name.startswith(("exai/", "aiohttp"))}
    assert sum(counted.values()) <= MOST_PYTHON_CALLS, counted
