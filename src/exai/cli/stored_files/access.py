"""How the commands reach the store: over HTTP while a daemon runs, else on the data folder, in this process."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer

from exai.app.files import open_snapshots
from exai.callers import LOCAL_SUBJECT
from exai.cli.data_choice import ChosenData, choose_data
from exai.cli.event_loop import run
from exai.cli.stored_files.own_store import OwnStore
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
from exai.config.tree import secret_values
from exai.errors import StartFault, ToolFault
from exai.files.documents.extracts import Extracts
from exai.files.documents.lines import StoredText
from exai.files.snapshots.snapshots import Snapshots
from exai.files.store.shelf import Shelf
from exai.monitoring import logs
from exai.runtime.clock import Clock, SystemClock
from exai.storage.database import Database
from exai.storage.files.extracts import ExtractTable

__all__ = [
    "REFUSALS",
    "Access",
    "Credentials",
    "Owner",
    "Place",
    "Url",
    "ended",
    "in_own_store",
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


def in_own_store(place: Place, work: Callable[[Shelf], Awaitable[T]]) -> T:
    """Run `work` with the store of the data folder, whether or not a daemon runs.

    Raises:
        StartFault: the database cannot be used.
    """
    settings = choose_data(place.config_file, place.overrides, place.demo).settings

    async def worked() -> T:
        async with _open_own(settings) as (shelf, _, _):
            return await work(shelf)

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
    async with _open_own(settings) as (shelf, snapshots, text):
        yield OwnStore(shelf, snapshots, text, owner)


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


@asynccontextmanager
async def _open_own(settings: Settings) -> AsyncIterator[tuple[Shelf, Snapshots, StoredText]]:
    """Open the store of the data folder.

    Raises:
        StartFault: the database cannot be used.
    """
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    database = await Database.open(settings.database, settings.data_dir)
    try:
        clock = SystemClock()
        async with (
            open_snapshots(settings, database, clock) as (shelf, snapshots),
            _open_text(shelf, database, clock) as text,
        ):
            yield shelf, snapshots, text
    finally:
        await database.close()


@asynccontextmanager
async def _open_text(shelf: Shelf, database: Database, clock: Clock) -> AsyncIterator[StoredText]:
    extracts = Extracts(shelf, ExtractTable(database), clock)
    try:
        yield StoredText(shelf, extracts)
    finally:
        await extracts.close()
