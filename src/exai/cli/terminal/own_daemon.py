"""A daemon for one command: on free ports, on the same data, and gone with the command."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from exai.errors import StartFault

__all__ = ["is_listening", "own_daemon"]

CONNECT_S = 2.0
START_S = 60.0
END_S = 30.0


async def is_listening(address: str) -> bool:
    """Whether something listens at a WebSocket address."""
    parts = urlsplit(address)
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


@asynccontextmanager
async def own_daemon(options: Sequence[str]) -> AsyncIterator[str]:
    """Run `exai serve` within this scope, and return its WebSocket address.

    Args:
        options: its options; its ports are free ones whatever they say.

    Raises:
        StartFault: it does not start, with its reason.
    """
    ports = ("--set", "server.port=0", "--set", "server.operations_port=0", "--set", "server.errors_port=0")
    with tempfile.NamedTemporaryFile(prefix="exai-", suffix=".log") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "exai.cli",
            "serve",
            "--ready-json",
            *options,
            *ports,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the command, which has the call cancelled first
        )
        try:
            yield await _address(process, Path(log.name))
        finally:
            await _end(process)


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    stdout = process.stdout
    assert stdout is not None  # noqa: S101 - it is a pipe
    try:
        async with asyncio.timeout(START_S):
            line = await stdout.readline()
    except TimeoutError:
        raise StartFault(f"EXAI was not ready within {START_S:g} s.") from None
    if line:
        return str(json.loads(line)["mcp_ws"])
    said = (await asyncio.to_thread(log.read_text, "utf-8", "replace")).strip().splitlines()
    raise StartFault(
        said[-1].removeprefix("exai: ") if said else "EXAI did not start; `exai serve` says why."
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
