"""How a client reaches EXAI: by a process that it starts, or at an address."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["SERVER_NAME", "Address", "JsonObject", "Process", "Server", "executable", "is_ephemeral"]

JsonObject = dict[str, object]

SERVER_NAME = "exai"
"""The name under which clients list the server."""


@dataclass(frozen=True)
class Process:
    """A command over stdin and stdout: `exai stdio` or `exai connect`."""

    command: str
    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    """The variables that it gets, each with the reference to its value; see `Client.reference`."""


@dataclass(frozen=True)
class Address:
    """A running daemon, by Streamable HTTP."""

    url: str
    token: str | None = None
    """The reference to the token; `None` where none is required."""

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


Server = Process | Address


def executable() -> str:
    """Return the absolute path of this `exai`: a client that no shell started may have another PATH."""
    beside = Path(sys.executable).with_name("exai.exe" if sys.platform == "win32" else "exai")
    if beside.exists():
        return str(beside)
    return shutil.which("exai") or str(beside)


def is_ephemeral(command: str) -> bool:
    """Whether the command is in a cache of `uvx`, which may be emptied at any time."""
    parts = Path(command).parts
    return "uv" in parts and any(part.startswith(("archive-v", "environments-v")) for part in parts)
