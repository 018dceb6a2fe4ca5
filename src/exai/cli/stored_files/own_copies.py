"""Copies at providers, as commands reach them: by rows and keys of this machine, whether or not a daemon runs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from exai.app.file_store import open_checked_store
from exai.callers import LOCAL_SUBJECT
from exai.cli.data_choice import ChosenData
from exai.cli.stored_files.access import ended
from exai.config import Settings
from exai.config.tree import secret_values
from exai.errors import StartFault
from exai.files.documents.extracts import Extracts
from exai.files.documents.lines import StoredText
from exai.files.secrets.checks import SecretCheck
from exai.files.secrets.scanner import SecretScanner
from exai.files.store.check import StoreCheck
from exai.files.store.shelf import Shelf
from exai.monitoring import logs
from exai.providers.remote_files.placing import CopyPlacer
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock, SystemClock
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.files.extracts import ExtractTable
from exai.storage.files.scans import ScanTable

__all__ = ["OwnCopies", "with_copies"]

T = TypeVar("T")


@dataclass(frozen=True)
class OwnCopies:
    """The store of the data folder, and the copies of its contents."""

    owner: str
    shelf: Shelf
    check: StoreCheck
    remote: RemoteFiles
    placer: CopyPlacer
    has_providers: bool
    """No for a demonstration, whose providers are inside its daemon."""
    settings: Settings
    clock: Clock


def with_copies(
    chosen: ChosenData,
    work: Callable[[OwnCopies], Awaitable[T]],
    *,
    owner: str | None = None,
    of_demonstration: str | None = None,
) -> T:
    """Run `work` on the data folder; a request that is refused ends the command with code 1.

    Args:
        owner: whose files; `None`: the local user's.
        of_demonstration: what to do instead on data of a demonstration; `None`: it is done there too.

    Raises:
        StartFault: the database or a provider's setting cannot be used.
    """
    is_demo = chosen.loaded.demo
    if is_demo and of_demonstration is not None:
        raise StartFault(f"A demonstration has its providers inside its daemon: {of_demonstration}")
    settings = chosen.settings

    async def worked() -> T:
        async with _opened(settings, owner or LOCAL_SUBJECT, has_providers=not is_demo) as copies:
            return await work(copies)

    return ended(worked())


@asynccontextmanager
async def _opened(settings: Settings, owner: str, *, has_providers: bool) -> AsyncIterator[OwnCopies]:
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    clock = SystemClock()
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
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
                extracts = Extracts(shelf, ExtractTable(database), clock)
                text, table = StoredText(shelf, extracts), ScanTable(database)
                secrets = SecretCheck(settings.files, text, table, SecretScanner(), clock)
                try:
                    placer = CopyPlacer(shelf, remote, secrets)
                    yield OwnCopies(owner, shelf, check, remote, placer, has_providers, settings, clock)
                finally:
                    await extracts.close()
        finally:
            await router.close()
    finally:
        await database.close()
