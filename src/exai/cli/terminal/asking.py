"""Finds the daemon that a command asks, or runs one for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exai.cli.terminal.own_daemon import is_listening, own_daemon
from exai.client.connection import Answer, CallFailed, connect
from exai.errors import StartFault

__all__ = ["Place", "call_once", "daemon_at", "serve_options"]


@dataclass(frozen=True)
class Place:
    """Where the question is asked."""

    url: str | None
    """`None`: it is known that no daemon runs on these data."""
    may_start: bool
    """Whether a daemon is started where none listens."""
    options: tuple[str, ...]
    """The options of that daemon."""
    credentials: Path | None


def serve_options(config_file: Path | None, overrides: list[str], *, demo: bool) -> tuple[str, ...]:
    """Return the options with which `exai serve` has the settings of a command."""
    options = ["--demo"] if demo else []
    if config_file is not None:
        options += ["--config", str(config_file)]
    for override in overrides:
        options += ["--set", override]
    return tuple(options)


@asynccontextmanager
async def daemon_at(place: Place) -> AsyncIterator[str]:
    """Find the daemon, or run one within this scope."""
    if place.url is not None and (not place.may_start or await is_listening(place.url)):
        yield place.url
        return
    async with own_daemon(place.options) as url:
        yield url


async def call_once(
    place: Place, tool: str, arguments: dict[str, Any], on_stage: Callable[[str], None] | None = None
) -> Answer:
    """Call a tool of the daemon, and return its answer.

    `on_stage` is called with a sentence about what is done, whenever that changes.

    Raises:
        StartFault: nobody could be asked.
    """

    def receive(kind: str, text: str) -> None:
        if kind == "status" and on_stage is not None:
            on_stage(text)

    try:
        async with daemon_at(place) as url, connect(url, credentials=place.credentials) as session:
            return await session.call(tool, arguments, on_progress=None if on_stage is None else receive)
    except CallFailed as fault:
        raise StartFault(str(fault)) from None
