"""Compares the rows of copies with the list that the provider gives, in both directions."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from exai.providers.remote_files.file_store import FileRequest, FileStore, RemoteEntry
from exai.runtime.clock import Clock
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import KNOWN, OPEN, CopyRow, Method, Status

__all__ = ["CopyComparison", "CopyDifferences"]

OURS = "exai-"
"""With this begins the name of whatever EXAI sends."""


class CopyDifferences(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison found at one provider."""

    provider: str
    found: int
    """Copies that are there, as their rows say."""
    missing: tuple[str, ...] = ()
    """Ids of copies that should be there."""
    expired: tuple[str, ...] = ()
    """Ids of copies that the provider has deleted by itself, as it had said."""
    unknown: tuple[str, ...] = ()
    """The provider's ids of files that EXAI sent and of which no row says that they are there."""
    undeleted: tuple[str, ...] = ()
    """Ids of copies whose deletion was given up."""
    waiting: int = 0
    """Copies whose deletion is under way, or whose answer was lost a moment ago."""
    others: int = 0
    """Files that EXAI has nothing to do with; they count towards the account's limits."""
    elsewhere: int = 0
    """Copies in other accounts of this provider, whose keys are not set."""

    @property
    def count(self) -> int:
        """How many differences there are."""
        return len(self.missing) + len(self.expired) + len(self.unknown) + len(self.undeleted)


class CopyComparison:
    """Compares one account, and repairs what can be."""

    def __init__(
        self, files: FileStore, ask: Callable[[], FileRequest], tables: CopyTables, clock: Clock
    ) -> None:
        """`ask` returns what sends the requests of one comparison."""
        self._files = files
        self._ask = ask
        self._tables = tables
        self._clock = clock

    async def run(self) -> CopyDifferences:
        """Compare rows and files.

        Raises:
            ProviderFault: the provider cannot be asked.
            StoreFailed: the rows cannot be read.
        """
        began = self._clock.utc()
        before = {
            row.copy_id for row in await self._tables.of_store(self._files.store) if row.status in KNOWN
        }
        entries = {entry.id: entry for entry in await self._files.entries(self._ask())}
        rows = await self._tables.of_store(self._files.store)
        known = [row for row in rows if row.status in KNOWN]
        # A copy that was made while the provider listed its files may be in neither list.
        gone = [row for row in known if row.copy_id in before and row.provider_file_id not in entries]
        waiting = [row for row in rows if row.status in (*OPEN, Status.DELETING)]
        expected = {
            row.provider_file_id for row in rows if row.status in (*KNOWN, Status.DELETING, Status.UNDELETED)
        }
        strangers = [entry for entry in entries.values() if entry.id not in expected]
        ours = [entry for entry in strangers if _is_ours(entry, rows)]
        return CopyDifferences(
            provider=self._files.store.provider,
            found=sum(row.provider_file_id in entries for row in known),
            missing=tuple(row.copy_id for row in gone if not _is_expired(row, began)),
            expired=tuple(row.copy_id for row in gone if _is_expired(row, began)),
            unknown=tuple(entry.id for entry in ours if not _is_awaited(entry, waiting)),
            undeleted=tuple(row.copy_id for row in rows if row.status is Status.UNDELETED),
            waiting=len(waiting),
            others=len(strangers) - len(ours),
            elsewhere=await self._tables.count_elsewhere(self._files.store),
        )

    async def forget_missing(self, differences: CopyDifferences) -> int:
        """Note that copies are there no more; how many."""
        gone = (*differences.missing, *differences.expired)
        for copy_id in gone:
            await self._tables.lose(copy_id, self._clock.utc())
        return len(gone)

    async def delete_unknown(self, differences: CopyDifferences, owner: str) -> int:
        """Give files without a row one, and have them deleted; how many. `owner` is who has them deleted."""
        now, store = self._clock.utc(), self._files.store
        for file_id in differences.unknown:
            row = CopyRow(
                copy_id=f"copy_{secrets.token_hex(8)}",
                provider=store.provider,
                account=store.account,
                purpose="unknown",
                owner=owner,
                sha256=None,
                provider_file_id=file_id,
                filename="",
                upload_method=Method.IMPORTED,
                status=Status.UNVERIFIED,
                bytes=0,
                attempts=0,
                error_code=None,
                run_id=None,
                uploaded_at=now,
                used_at=now,
                verified_at=now,
                expires_at=None,
                ended_at=None,
            )
            await self._tables.adopt(row)
            await self._tables.condemn([row.copy_id], now)
        return len(differences.unknown)

    async def retry_undeleted(self) -> int:
        """Begin deletions again that were given up, at any provider; how many."""
        return await self._tables.retry()


def _is_expired(row: CopyRow, at: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= at


def _is_ours(entry: RemoteEntry, rows: Iterable[CopyRow]) -> bool:
    """Whether EXAI sent a file: by its name, or because a row that ended has its id."""
    return entry.filename.startswith(OURS) or any(row.provider_file_id == entry.id for row in rows)


def _is_awaited(entry: RemoteEntry, waiting: Sequence[CopyRow]) -> bool:
    """Whether a file arrived whose row does not know that yet."""
    stems = (row.filename.rpartition(".")[0] for row in waiting if row.provider_file_id is None)
    return any(stem and entry.filename.startswith(stem) for stem in stems)
