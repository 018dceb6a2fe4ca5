"""A store of files and the copies of its contents at an emulator, without a daemon."""

from pathlib import Path
from typing import Any

from exai import config
from exai.providers.remote_files.copies import Copy
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.providers.remote_files.stored_source import StoredSource
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import CopyRow, Method, Status
from exai_emulator import Emulator
from exai_emulator.files import StoredFile
from support.shelves import OpenShelf

__all__ = ["Copying"]

GATEWAY = Method.GATEWAY


class Copying:
    """What one process does with copies."""

    def __init__(
        self,
        emulator: Emulator,
        database: Database,
        folder: Path,
        clock: Clock,
        kimi: dict[str, Any] | None = None,
        **files: Any,
    ) -> None:
        there = emulator.addresses
        self.emulator = emulator
        self.clock = clock
        self.shelf = OpenShelf(database, folder, **files)
        self.copies: CopyTables = self.shelf.copies
        providers = config.Providers.model_validate(
            {
                "glm": {"base_url": there.glm, "api_key": there.glm_key},
                "kimi": {"base_url": there.kimi, "api_key": there.kimi_key, **(kimi or {})},
            }
        )
        timeouts = config.Timeouts(upload_s=20)
        self.router = ModelRouter.from_settings(
            providers, config.Models(), timeouts, clock, copies=self.copies, files=self.shelf.settings
        )
        self.remote = RemoteFiles(
            self.router.file_hosts, self.copies, clock, self.shelf.settings, request_s=5
        )

    async def source(self, owner: str, file_id: str, suffix: str | None = None) -> StoredSource:
        """A stored file to be sent."""
        return StoredSource(self.shelf.shelf, owner, await self.shelf.shelf.get(owner, file_id), suffix)

    async def copy(
        self,
        owner: str,
        file_id: str,
        to: str = "kimi",
        purpose: str = "file-extract",
        *,
        within_s: float = 30,
    ) -> Copy:
        """The copy of a stored file."""
        source = await self.source(owner, file_id)
        return await self.remote.copy(owner, source, to, purpose, GATEWAY, deadline=self._deadline(within_s))

    async def text(self, owner: str, file_id: str, *, within_s: float = 30) -> str:
        """The text of a stored file, by Kimi."""
        source = await self.source(owner, file_id)
        return await self.remote.text(owner, source, "kimi", deadline=self._deadline(within_s))

    async def rows(self, provider: str = "kimi") -> list[CopyRow]:
        """All copies at a provider, the oldest first."""
        return await self.copies.of_store(self.remote.stores[provider])

    async def statuses(self, provider: str = "kimi") -> list[Status]:
        """How they stand."""
        return [row.status for row in await self.rows(provider)]

    def there(self, provider: str = "kimi") -> list[StoredFile]:
        """What lies at the provider."""
        return list(self.emulator.accounts[provider].files)

    def sent(self, provider: str = "kimi") -> int:
        """How many uploads the provider was asked for."""
        requests = self.emulator.log.of(provider, "/files")
        return sum(record.method == "POST" for record in requests)

    def _deadline(self, within_s: float) -> float:
        return self.clock.monotonic() + within_s
