"""How the commands reach the store: over HTTP while a daemon runs, else on the data folder, in this process.

What the second takes is imported then alone: it is most of a daemon, and takes longer than what is asked of it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer

from exai.callers import LOCAL_SUBJECT
from exai.cli.data_choice import ChosenData, choose_data
from exai.cli.event_loop import run
from exai.cli.terminal.own_daemon import is_listening
from exai.client.stored_files import (
    DaemonUnreachable,
    FileRequestFailed,
    TokenRefused,
    open_stored_files,
)
from exai.client.tokens import client_tokens
from exai.config import Settings
from exai.config import client as config_client
from exai.errors import BadArguments, StartFault, ToolFault
from exai.files.store.handles import whole_file_of

__all__ = [
    "REFUSALS",
    "Access",
    "Credentials",
    "FileId",
    "FileIds",
    "Owner",
    "Place",
    "Url",
    "ended",
    "with_files",
]

T = TypeVar("T")

REFUSALS = (FileRequestFailed, ToolFault)
"""Why the store does not do one thing; others may succeed."""

Url = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The daemon, as ws://host:port/mcp. Left out: as the settings have it."),
]
Credentials = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What `exai token create --save FILE` wrote.")
]
Owner = Annotated[
    str | None,
    typer.Option(
        "--owner",
        metavar="SUBJECT",
        help="The files of this subject, in the data folder, without the daemon.",
    ),
]


def _whole_file(given: str) -> str:
    try:
        return whole_file_of(given)
    except BadArguments as fault:
        raise typer.BadParameter(str(fault)) from None


FileId = Annotated[
    str,
    typer.Argument(
        metavar="ID", parser=_whole_file, help="As `exai files ls` shows it, or its exai://files/ address."
    ),
]
FileIds = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...", parser=_whole_file, help="As `exai files ls` shows them, or exai://files/ addresses."
    ),
]


class Access(Protocol):
    """The files of one owner. Descriptions of files have the members that HTTP gives them."""

    async def put(
        self, name: str, sha256: str, size: int, body: Callable[[], AsyncIterator[bytes]]
    ) -> dict[str, Any]: ...

    async def newest(self, limit: int, after: str | None = None) -> dict[str, Any]: ...

    async def get(self, file_id: str) -> dict[str, Any]: ...

    async def read(self, file_id: str, first: int, last: int | None) -> dict[str, Any]: ...

    async def remove(self, file_id: str) -> dict[str, Any]: ...

    async def proof(self, file_id: str) -> dict[str, Any]: ...

    async def find_tree(self, manifest_sha256: str) -> str | None: ...

    async def tree(self, manifest: bytes) -> dict[str, Any]: ...

    def content(self, file_id: str) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True)
class Place:
    """Where the files are, as the options say."""

    config_file: Path | None
    overrides: Sequence[str] | None
    url: str | None = None
    credentials: Path | None = None
    owner: str | None = None
    demo: bool | None = None


def with_files(place: Place, work: Callable[[Access], Awaitable[T]]) -> T:
    """Run `work` with the store that is to be used; a request that is refused ends the command with code 1.

    Raises:
        StartFault: no store can be reached.
    """
    if place.demo and place.url is not None:
        raise typer.BadParameter("name a daemon by --url, or the demonstration by --demo")
    chosen = choose_data(place.config_file, place.overrides, place.demo)

    async def worked() -> T:
        async with _open(chosen, place) as files:
            return await work(files)

    return ended(worked())


def ended(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; a refusal ends it with code 1."""
    try:
        return run(work)
    except REFUSALS as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None
    except (DaemonUnreachable, TokenRefused) as fault:
        raise StartFault(str(fault)) from None


@asynccontextmanager
async def _open(chosen: ChosenData, place: Place) -> AsyncIterator[Access]:
    settings = chosen.settings
    url = place.url or (await _running_daemon(chosen) if place.owner is None else None)
    if url is not None:
        token = None if place.credentials is not None else config_client.token_variable()
        file = place.credentials or config_client.credentials_variable()
        async with open_stored_files(url, client_tokens(url, token=token, file=file)) as files:
            yield files
        return
    owner = place.owner or _only_owner(settings)
    own_store = import_module("exai.cli.stored_files.own_store")
    async with own_store.open_own_store(settings, owner) as files:
        yield files


async def _running_daemon(chosen: ChosenData) -> str | None:
    if chosen.daemon is not None:
        return chosen.daemon.mcp_ws
    address = chosen.address
    return address if address is not None and await is_listening(address) else None


def _only_owner(settings: Settings) -> str:
    if settings.auth.mode == "local":
        return LOCAL_SUBJECT
    raise StartFault(
        "No daemon runs here, and files belong to the subjects of tokens: say whose by `--owner SUBJECT`, or start "
        "`exai serve`."
    )
