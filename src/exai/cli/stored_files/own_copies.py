"""Copies at providers, as commands reach them: by rows and keys of this machine, whether or not a daemon runs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from exai.app.file_store import open_checked_store
from exai.callers import LOCAL_SUBJECT
from exai.cli.data_choice import choose_data
from exai.cli.stored_files.access import Place, ended
from exai.config import Settings
from exai.config.tree import secret_values
from exai.errors import StartFault
from exai.files.store.check import StoreCheck
from exai.files.store.shelf import Shelf
from exai.monitoring import logs
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock, SystemClock
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables

__all__ = ["OwnCopies", "with_copies"]

T = TypeVar("T")


@dataclass(frozen=True)
class OwnCopies:
    """The store of the data folder, and the copies of its contents."""

    owner: str
    shelf: Shelf
    check: StoreCheck
    remote: RemoteFiles
    settings: Settings
    clock: Clock


def with_copies(place: Place, work: Callable[[OwnCopies], Awaitable[T]]) -> T:
    """Run `work` on the data folder; a request that is refused ends the command with code 1.

    Raises:
        StartFault: the database or a provider's setting cannot be used.
    """
    chosen = choose_data(place.config_file, place.overrides, place.demo)
    if chosen.loaded.demo:
        raise StartFault("A demonstration has its providers inside its daemon; a command cannot reach them.")
    settings = chosen.settings

    async def worked() -> T:
        async with _opened(settings, place.owner or LOCAL_SUBJECT) as copies:
            return await work(copies)

    return ended(worked())


@asynccontextmanager
async def _opened(settings: Settings, owner: str) -> AsyncIterator[OwnCopies]:
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    clock = SystemClock()
    database = await Database.open(settings.database, settings.data_dir)
    try:
        copies = CopyTables(database)
        router = ModelRouter.from_settings(
            settings.providers,
            settings.models,
            settings.timeouts,
            clock,
            copies=copies,
            files=settings.files,
        )
        try:
            remote = RemoteFiles(
                router.file_hosts, copies, clock, settings.files, request_s=settings.timeouts.upload_s
            )
            async with open_checked_store(settings, database, clock, copies) as (shelf, check):
                yield OwnCopies(owner, shelf, check, remote, settings, clock)
        finally:
            await router.close()
    finally:
        await database.close()
