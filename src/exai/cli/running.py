"""Which daemons run on a data folder: each leaves a note there, and holds a lock for as long as it lives.

`exai stop` and `exai status` read the notes. A lock ends with its process, however that ends, so a note whose lock can
be taken is left over, and no signal ever goes to a process that only has an old one's number.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import structlog

from exai.config import Server
from exai.runtime.file_lock import try_lock
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import make_private_folder, replace_private

__all__ = ["Note", "RunningDaemon", "daemon_address", "running_daemons"]

FOLDER = "daemons"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RunningDaemon:
    """A daemon that is alive."""

    pid: int
    mcp_ws: str
    operations: str
    errors: str
    """Where programs report to it."""
    lock: Path

    @property
    def port(self) -> int:
        """Its MCP port."""
        return urlsplit(self.mcp_ws).port or 0

    def is_alive(self) -> bool:
        """Whether its process still holds its lock."""
        return _is_held(self.lock)


class Note:
    """This process' note, within a scope."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER
        self._scope = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.close()

    def write(self, mcp_ws: str, operations: str, errors: str) -> None:
        """Leave the note. A daemon without one works; only `exai stop` does not find it."""
        try:
            self._scope.enter_context(_noted(self._folder, mcp_ws, operations, errors))
        except OSError as error:
            _log.warning("exai stop will not find this daemon", reason=reason_of(error))


@contextmanager
def _noted(folder: Path, mcp_ws: str, operations: str, errors: str) -> Iterator[None]:
    make_private_folder(folder)
    note = folder / f"{urlsplit(mcp_ws).port}.json"
    lock = note.with_suffix(".lock")
    with lock.open("wb") as held:
        if not try_lock(held):
            raise BlockingIOError("another daemon holds its lock")
        facts = {"pid": os.getpid(), "mcp_ws": mcp_ws, "operations": operations, "errors": errors}
        replace_private(note, json.dumps(facts))
        try:
            yield
        finally:
            note.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)


def daemon_address(server: Server) -> str:
    """Return where the daemon of these settings is reached by WebSocket."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"ws://{host}:{server.port}/mcp"


def running_daemons(data_dir: Path) -> list[RunningDaemon]:
    """Return the daemons that run on this data folder, by their port."""
    found = (_read(note) for note in (data_dir / FOLDER).glob("*.json"))
    return sorted(
        (daemon for daemon in found if daemon is not None and daemon.is_alive()), key=lambda each: each.port
    )


def _read(note: Path) -> RunningDaemon | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads(note.read_text(encoding="utf-8"))
        return RunningDaemon(
            int(facts["pid"]),
            str(facts["mcp_ws"]),
            str(facts["operations"]),
            str(facts.get("errors", "")),
            note.with_suffix(".lock"),
        )
    return None


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("r+b") as file:
            return not try_lock(file)
    except OSError:
        return False
