"""The path of one `chat` call in the daemon's process: Python calls, by package, and CPU.

A daemon without its ports runs in this process, a provider of fixed bytes in another. Messages are handed to the
connection's pump as a port would, and answers are taken from it, so all that a call costs between the frame and
the answer is counted, HTTP client and database included. Python calls depend on no machine; CPU does.
"""

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvloop
from pydantic import HttpUrl, SecretStr

import exai
from benchmarks.figures import keep
from exai import config
from exai.app.services import build
from exai.callers import Caller, Door
from exai.monitoring.logs import configure
from exai.transports.pump import Pump
from exai.transports.server import build_server
from exai.transports.traffic import Traffic

ROOT = Path(__file__).parent.parent
SOURCE = f"{Path(exai.__file__).parent}/"

_ASK = (
    '{"jsonrpc":"2.0","id":NUMBER,"method":"tools/call","params":{"name":"chat",'
    '"arguments":{"prompt":"Explain in NUMBER sentences why the sky is blue."}}}'
)


@dataclass(frozen=True)
class PathCost:
    """What one call costs, each a mean over many."""

    calls: float
    """Python calls of the event loop's thread, with coroutines that go on."""
    by_package: dict[str, float]
    cpu_us: float
    """Of the event loop's thread."""


class PathClient:
    """Calls `chat` through a pump, some at a time."""

    def __init__(self) -> None:
        self._number = 0
        self._left = 0
        self._asked = 0
        self._pump: Pump | None = None
        self._done = asyncio.Event()

    def serve(self, pump: Pump) -> None:
        """Send through this pump from now on."""
        self._pump = pump

    async def take(self, text: str) -> None:
        """Take one message of the daemon's, as a port's writer does."""
        if '"isError":true' in text or '"error"' in text:
            raise SystemExit(f"a call failed: {text[:500]}")
        self._left -= 1
        if self._left == 0:
            self._done.set()
        elif self._asked:
            self._asked -= 1
            await self._ask()

    async def call(self, calls: int, in_flight: int) -> None:
        """Make `calls` calls, `in_flight` at a time."""
        self._left, self._asked = calls, calls - min(calls, in_flight)
        self._done.clear()
        for _ in range(min(calls, in_flight)):
            await self._ask()
        await self._done.wait()

    async def greet(self) -> None:
        """Open the connection's handshake."""
        self._left = 1
        assert self._pump is not None
        await self._pump.receive(
            '{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"protocolVersion":"2025-11-25",'
            '"capabilities":{},"clientInfo":{"name":"path","version":"1"}}}'
        )
        await self._pump.receive('{"jsonrpc":"2.0","method":"notifications/initialized"}')

    async def _ask(self) -> None:
        self._number += 1
        assert self._pump is not None
        await self._pump.receive(_ASK.replace("NUMBER", str(self._number)))


@contextmanager
def fixed_provider() -> Iterator[str]:
    """Run a provider of fixed bytes; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.upstream"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.communicate(timeout=30)


@asynccontextmanager
async def path_client(folder: Path, base_url: str) -> AsyncIterator[PathClient]:
    """Build a daemon without ports, and a client of its pump. Its auditor counts what happened once a second."""
    settings = config.Settings(
        data_dir=folder,
        providers=config.Providers(
            glm=config.GlmProvider(api_key=SecretStr("id.secret"), base_url=HttpUrl(base_url))
        ),
    )
    async with build(settings, version="0") as services:
        client = PathClient()
        bus = services.monitoring.bus
        pump = Pump(
            build_server(services.dispatcher, version="0", bus=bus),
            caller=Caller.local(Door.WEBSOCKET),
            send=client.take,
            limits=settings.websocket,
            traffic=Traffic(),
            bus=bus,
        )
        client.serve(pump)
        await client.greet()
        await client.call(50, 8)
        try:
            yield client
        finally:
            await pump.close()


def _package(code_file: str) -> str:
    if code_file.startswith(SOURCE):
        return "exai/" + code_file[len(SOURCE) :].partition("/")[0].removesuffix(".py")
    _, _, rest = code_file.rpartition("site-packages/")
    if rest != code_file:
        return rest.partition("/")[0]
    return Path(code_file).parent.name or code_file


@contextmanager
def counting() -> Iterator[Counter[tuple[str, str]]]:
    """Count entries into functions of this thread, by file and name."""
    found: Counter[tuple[str, str]] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            found[code.co_filename, code.co_qualname] += 1

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


async def python_calls(client: PathClient, calls: int, in_flight: int) -> Counter[tuple[str, str]]:
    """Count the Python calls of `calls` chats."""
    with counting() as found:
        await client.call(calls, in_flight)
    return found


def by_package(found: Counter[tuple[str, str]]) -> Counter[str]:
    """Sum up what was counted by package: `exai/routing`, `aiohttp`, `asyncio`."""
    packages: Counter[str] = Counter()
    for (file, _), count in found.items():
        packages[_package(file)] += count
    return packages


async def _measure(calls: int, rounds: int, in_flight: int, functions: int) -> PathCost:
    with tempfile.TemporaryDirectory(prefix="exai-path-") as folder, fixed_provider() as base_url:
        async with path_client(Path(folder), base_url) as client:
            await client.call(300, in_flight)
            gc.collect()
            gc.freeze()
            found = await python_calls(client, 500, in_flight)
            spent = []
            for _ in range(rounds):
                began = time.thread_time()
                await client.call(calls, in_flight)
                spent.append((time.thread_time() - began) / calls * 1e6)
    packages = by_package(found)
    for (file, name), count in found.most_common(functions):
        print(f"{count / 500:7.2f}  {_package(file):24} {name}")
    return PathCost(
        found.total() / 500, {name: count / 500 for name, count in packages.most_common()}, min(spent)
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench path", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_500, help="calls of a round (default 1500)")
    parser.add_argument(
        "--rounds", type=int, default=8, help="rounds of which the quickest counts (default 8)"
    )
    parser.add_argument("--in-flight", type=int, default=64, help="calls at a time (default 64)")
    parser.add_argument(
        "--functions", type=int, default=0, help="list so many functions, the most called first"
    )
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/path.json", help="where the result goes"
    )
    return parser.parse_args()


def main() -> None:
    given = _arguments()
    configure(config.Logging(format="json"), stream=Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    cost = uvloop.run(_measure(given.calls, given.rounds, given.in_flight, given.functions))
    print(f"{'package':28} Python calls")
    for name, count in cost.by_package.items():
        if count >= 0.5:
            print(f"{name:28} {count:8.1f}")
    print(f"{'all':28} {cost.calls:8.1f}")
    print(f"CPU of the event loop's thread: {cost.cpu_us:.0f} µs")
    keep({"python_calls": cost.calls, "by_package": cost.by_package, "cpu_us": cost.cpu_us}, given.json)


if __name__ == "__main__":
    main()
