"""The trip of one `chat` call through the source: functions entered, files and packages visited, by stretch.

One daemon, its emulator and a client share this process. The client calls `chat` over plain WebSocket with
progress, and every entry into a function of `exai` is recorded from the frame's arrival until the answer is
read. No time is measured.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

import exai
from exai.app.daemon import run_daemon
from exai.config import Settings
from exai.runtime import tasks

PACKAGE = f"{Path(exai.__file__).parent}/"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "trip", "version": "1"},
}
STRETCHES = (
    ("frame arrives", ""),
    ("dispatcher is called", "dispatch/dispatcher.py:call"),
    ("tool runs", "tools/chat.py:run"),
    ("model is asked", "routing/asker.py"),
    ("request leaves", "providers/wire/exchange.py"),
    ("first byte", "providers/wire/sse.py"),
    ("exchange is recorded", "conversations/conversations.py:record"),
)
"""Where each stretch begins: the first entry into that file or function after the stretch before it."""


@dataclass(frozen=True)
class Entry:
    """A function of `exai` was entered."""

    file: str
    function: str

    @property
    def package(self) -> str:
        """The package below `exai`, or the file itself where it stands at the top."""
        return self.file.partition("/")[0]


@dataclass(frozen=True)
class Stretch:
    """A part of the trip, from the first of its entries to the last."""

    name: str
    entries: Sequence[Entry]

    def row(self) -> str:
        """One row of the table."""
        files = [file for file, _ in groupby(entry.file for entry in self.entries)]
        packages = [package for package, _ in groupby(entry.package for entry in self.entries)]
        return (
            f"| {self.name} | {len(self.entries)} | {len(set(files))} | {len(files)} ({len(files) - len(set(files))}) "
            f"| {len(set(packages))} | {len(packages)} ({len(packages) - len(set(packages))}) |"
        )


@contextmanager
def recording(entries: list[Entry]) -> Iterator[None]:
    """Record every entry into a function of the package, within this scope and this thread."""

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        # A coroutine that goes on is entered again by the interpreter; only its first entry is part of the trip.
        if event == "call" and frame.f_lasti < FIRST_INSTRUCTIONS and code.co_filename.startswith(PACKAGE):
            entries.append(Entry(code.co_filename[len(PACKAGE) :], code.co_name))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


FIRST_INSTRUCTIONS = 16
"""Bytes of code at the start of a function: the prologue, and the resume of a coroutine's first step."""


def stretches(entries: Sequence[Entry]) -> Iterator[Stretch]:
    """The trip in parts.

    Raises:
        ValueError: a part was never reached.
    """
    starts = [0]
    for name, place in STRETCHES[1:]:
        file, _, function = place.partition(":")
        for number in range(starts[-1], len(entries)):
            entry = entries[number]
            if entry.file == file and function in {"", entry.function}:
                starts.append(number)
                break
        else:
            raise ValueError(f"the trip never reached {place} ({name})")
    names = [name for name, _ in STRETCHES] + ["answer is written"]
    for (begin, end), (first, last) in zip(pairwise([*starts, len(entries)]), pairwise(names), strict=True):
        yield Stretch(f"{first} → {last}", entries[begin:end])


async def call(socket: ClientConnection, number: int) -> None:
    """One `chat` call with progress, until its answer is read."""
    await socket.send(
        json.dumps(
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": "tools/call",
                "params": {
                    "name": "chat",
                    "arguments": {"prompt": "What is a heron?"},
                    "_meta": {**ENVELOPE, "progressToken": number},
                },
            }
        )
    )
    while True:
        message = json.loads(await socket.recv())
        if message.get("id") == number:
            if message.get("result", {}).get("isError", True):
                raise SystemExit(f"the call failed: {json.dumps(message)[:500]}")
            return


async def record(data_dir: Path) -> list[Entry]:
    """The entries of one call to a daemon that has answered another one before."""
    settings = Settings.model_validate(
        {
            "data_dir": data_dir,
            "server": {"port": 0, "operations_port": 0, "errors_port": 0},
            "logging": {"level": "error"},
        }
    )
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    daemon = tasks.spawn(
        run_daemon(settings, demo=True, on_ready=lambda addresses, _: ready.set_result(addresses.mcp_ws)),
        name="daemon",
    )
    entries: list[Entry] = []
    async with connect(await ready, subprotocols=None) as socket:
        await call(socket, 1)
        with recording(entries):
            await call(socket, 2)
    daemon.cancel()
    await asyncio.wait([daemon])
    return entries


def main() -> None:
    """Record a call and print its trip as a table, and the files of its way to the provider."""
    argparse.ArgumentParser(prog="scripts/bench trip", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        entries = asyncio.run(record(Path(folder)))
    parts = list(stretches(entries))
    print(
        "| stretch | functions entered | files | stays in a file (returns) | packages | stays in a package (returns) |"
    )
    print("|---|---|---|---|---|---|")
    for part in [*parts, Stretch("**whole call**", entries)]:
        print(part.row())
    way = dict.fromkeys(entry.file for part in parts[:4] for entry in part.entries)
    print("\nTo the provider, files in the order in which they are first entered:\n")
    print(" → ".join(way))


if __name__ == "__main__":
    main()
