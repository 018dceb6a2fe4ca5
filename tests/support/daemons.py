"""The daemon as a process of its own, for tests of what only processes can show."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from exai.storage.database_file import FILE_NAME
from support.forks import Fork, fork
from support.migrated_databases import migrated_sqlite

__all__ = [
    "EXAI",
    "EXAI_MODULE",
    "KINGFISHER_CACHE",
    "NO_KEYRING",
    "Daemon",
    "StartDaemon",
    "clean_environ",
    "daemon",
    "free_port",
]

EXAI_MODULE = "exai.cli"
EXAI = (sys.executable, "-m", EXAI_MODULE)
NO_KEYRING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
"""A test sees no key of the developer's, and saves the time that looking for keyrings takes."""
KINGFISHER_CACHE = {"KF_RULE_CACHE_DIR": str(Path(sys.prefix) / ".kingfisher")}
"""Where Kingfisher keeps its compiled rules beside itself; in a test's own home it would compile them for seconds."""
START_TIMEOUT_S = 30
END_TIMEOUT_S = 30


def clean_environ(data_dir: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that sees no setting but those of the test."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return {
        **inherited,
        "HOME": str(data_dir.parent),
        **NO_KEYRING,
        **KINGFISHER_CACHE,
        "EXAI_DATA_DIR": str(data_dir),
        "EXAI_SERVER__PORT": "0",
        "EXAI_SERVER__OPERATIONS_PORT": "0",
        "EXAI_SERVER__ERRORS_PORT": "0",
        "EXAI_GUARDS__REPEATS": "0",  # tests put one question over and over
        **(environ or {}),
    }


class Daemon:
    """A daemon that is ready."""

    def __init__(self, process: Fork, addresses: Mapping[str, str], log: Path) -> None:
        self.process = process
        self.mcp_ws = addresses["mcp_ws"]
        self.mcp_http = addresses["mcp_http"]
        self.operations = addresses["operations"]
        self.errors = addresses["errors"]
        self._log = log

    @property
    def log(self) -> str:
        """What it has written to stderr."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        async with asyncio.timeout(END_TIMEOUT_S):
            return await self.process.wait()


StartDaemon = Callable[..., AbstractAsyncContextManager[Daemon]]
"""Starts a daemon with further environment variables."""


@asynccontextmanager
async def daemon(
    *, data_dir: Path, arguments: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> AsyncIterator[Daemon]:
    """`exai serve` on free ports; stopped by SIGTERM at the end, and its log shown if the test failed.

    Without arguments, it finds a database that is set up already: its migrations would be half of the start.
    """
    data_dir.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a test may wait a moment
    if not arguments and not any(data_dir.iterdir()):  # noqa: ASYNC240
        migrated_sqlite(data_dir / FILE_NAME)
    log = data_dir / "stderr.log"
    with log.open("wb") as stderr:
        process = await fork(
            EXAI_MODULE,
            "serve",
            "--ready-json",
            *arguments,
            env=clean_environ(data_dir, environ),
            cwd=data_dir,
            stderr=stderr,
        )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
        assert line, f"exai serve ended before it was ready:\n{log.read_text()}"
        yield Daemon(process, json.loads(line), log)
    except BaseException:
        sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-4000:])
        raise
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def free_port() -> int:
    """A port for a process that is to come back to the same one after it was killed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
