"""Runs that may be killed, each in a process of its own that is forked from one which has done the imports."""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exai import config
from exai.monitoring import logs

__all__ = ["ForkedRuns", "Order", "forked_runs", "serve_runs"]

Order = Mapping[str, Any]


class ForkedRuns:
    """A program that calls `serve_runs`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, *orders: Order) -> Sequence[int]:
        """Run each order in a process of its own, all at once; how each ended, negative for a signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(orders).encode() + b"\n")
        async with asyncio.timeout(90):
            codes: list[int] = json.loads(await self._process.stdout.readline())
        return codes


@asynccontextmanager
async def forked_runs(program: Path) -> AsyncIterator[ForkedRuns]:
    """Start a program that runs orders; its stderr is the test's."""
    folder = str(program.parents[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": folder},
    )
    try:
        yield ForkedRuns(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def serve_runs(run: Callable[[Order], None]) -> None:
    """Fork for each order that comes on stdin; the child runs it and ends."""
    logs.configure(config.Logging(level="error", format="json"))
    while line := sys.stdin.readline():
        children = [_forked(run, order) for order in json.loads(line)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


def _forked(run: Callable[[Order], None], order: Order) -> int:
    child = os.fork()
    if child:
        return child
    try:
        run(order)
    except BaseException:  # noqa: BLE001 - whatever it was, the child must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
