"""Copies of one account at one provider: known and good, joined, or sent.

The order of truth when one is sent, and what a crash after each step leaves:

=====================================================  ==============================================================
true from here on                                      a crash after it leaves
=====================================================  ==============================================================
the row `sending` is committed, with the name          a row that says what to look for; nothing is there
that is sent
bytes are on their way                                 that, and at the provider nothing, or a file of that name:
                                                       `settle_lost`, or the next use of the content, looks for it
the provider has it, and its answer was received       the same
the row is `ready`, with the id                        a copy that is used
=====================================================  ==============================================================

Uploads of one content for one owner and purpose wait for one another: in a process behind a lock, between processes
for the row, of which at most one is live. A failure that leaves open whether the file arrived is answered by looking
for its name; what is not found then stays in doubt, and is looked for again.
"""

import asyncio
import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from weakref import WeakValueDictionary

import structlog

from exai import config
from exai.errors import (
    DeadlineExceeded,
    ExaiError,
    ProviderFailed,
    ProviderFault,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    StoreFailed,
)
from exai.messages import Source
from exai.providers.remote_files.faults import CopyUnwanted, FileUnreadable, ProviderFilesFull
from exai.providers.remote_files.file_store import FileRequest, FileStore, RemoteEntry, safe_suffix
from exai.runtime.clock import Clock
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import SHARED, Begun, CopyKey, CopyRow, Method, NewCopy, Status

__all__ = ["AccountCopies", "Copy"]

_log = structlog.get_logger(__name__)

UNSURE = (ProviderUnreachable, ProviderTimeout, ProviderFailed, ProviderOverloaded, DeadlineExceeded)
"""Failures after which the file may be there all the same."""
NEARLY_FULL = 0.9
"""From this share of an account's limits on, unused copies are deleted for new ones."""
SPARED = timedelta(hours=1)
"""What was used within it is never deleted for a new one."""
LAST_HOUR = timedelta(hours=1)
"""A copy that the provider deletes this soon is not relied upon."""
DOUBT = timedelta(minutes=15)
"""How long a file whose answer was lost may still arrive; no upload takes as long."""
JOIN_PAUSE_S = 0.2
JOIN_S = 300.0
"""How long a copy is waited for that another process sends."""
AT_ONCE = 100
"""Copies that are condemned in one transaction."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A content at a provider."""

    copy_id: str
    provider: str
    file_id: str
    """The provider's id of it."""
    expires_at: datetime | None
    was_sent: bool
    """Whether it was sent for this use."""


class AccountCopies:
    """The copies of one account. What is asked of the provider goes through the `request` of whoever asks."""

    def __init__(
        self, files: FileStore, tables: CopyTables, clock: Clock, settings: config.Files, *, keep_days: int
    ) -> None:
        """Delete copies that were not used for `keep_days`."""
        self.files = files
        self._tables = tables
        self._clock = clock
        self._is_shared = settings.share_copies == "house"
        self._verify_after = timedelta(hours=settings.verify_after_hours)
        self._keep_days = keep_days
        self._locks: WeakValueDictionary[CopyKey, asyncio.Lock] = WeakValueDictionary()
        self._sending: set[str] = set()
        """Copies that this process is sending."""

    async def copy(
        self,
        owner: str,
        source: Source,
        purpose: str,
        method: Method,
        request: FileRequest,
        *,
        wait_until: float = math.inf,
    ) -> Copy:
        """Return the owner's copy of a content for a purpose, after sending it if there is none that is good.

        Where another process is sending it, it is waited for until `wait_until` by `Clock.monotonic`, and for
        `JOIN_S` at most.

        Raises:
            DeadlineExceeded: another process is still sending it at `wait_until`.
            PurposeUnknown, FileTooLargeForProvider: the provider does not take it; nothing was sent.
            ProviderFilesFull: the account has no room for it; nothing was sent.
            FileUnreadable: the provider took it and cannot use it; it is deleted there.
            CopyUnwanted: the owner removed the content meanwhile; it is deleted there.
            ProviderFault: the provider failed, or refused.
            StoreFailed: what is there cannot be noted; it was deleted again, or will be.
        """
        self.files.check(source, purpose)
        key = CopyKey(self.files.store, purpose, SHARED if self._is_shared else owner, source.sha256)
        async with self._locks.setdefault(key, asyncio.Lock()):
            try:
                return await self._copy(key, source, method, request, wait_until)
            except ProviderUnreachable:
                # A connection that was kept too long breaks as it is used: that is no news of the provider.
                return await self._copy(key, source, method, request, wait_until)

    async def _copy(
        self, key: CopyKey, source: Source, method: Method, request: FileRequest, wait_until: float
    ) -> Copy:
        give_up_at = self._clock.monotonic() + JOIN_S
        while self._clock.monotonic() < give_up_at:
            row = await self._tables.use(key, self._clock.utc(), source.origin_sha256)
            if row is not None and row.status is not Status.SENDING:
                if await self._is_good(row, request):
                    return _known(row)
            elif row is not None and not await self._is_lost(row):
                self._refuse_after(wait_until)
                await asyncio.sleep(JOIN_PAUSE_S)
            elif (found := await self._found_lost(key, request)) is not None:
                return found
            elif (sent := await self._send(key, source, method, request)) is not None:
                return sent
        raise ProviderTimeout(
            f"Another process has been sending the same content to {self.files.names.title} for long. Try again."
        )

    def _refuse_after(self, wait_until: float) -> None:
        if self._clock.monotonic() >= wait_until:
            raise DeadlineExceeded(
                f"Another process was still sending the same content to {self.files.names.title} when the time of "
                "this call ran out. Try again."
            )

    async def forget_missing(self, file_ids: Iterable[str], purpose: str, request: FileRequest) -> bool:
        """Forget those of the files that the provider no longer has; return whether there were any."""
        found = False
        rows = {row.provider_file_id: row for row in await self._tables.of_store(self.files.store)}
        for file_id in file_ids:
            entry = await self.files.look(file_id, purpose, request)
            if (row := rows.get(file_id)) is not None and (entry is None or entry.failed):
                await self._lost(row, entry)
                found = True
        return found

    async def condemn_unused(self) -> int:
        """Condemn copies that were not used for long, and return how many.

        From then on no request uses them; they are deleted later.
        """
        now = self._clock.utc()
        since = now - timedelta(days=self._keep_days)
        count = condemned = await self._tables.condemn_unused(self.files.store, since, now, AT_ONCE)
        while condemned == AT_ONCE:
            condemned = await self._tables.condemn_unused(self.files.store, since, now, AT_ONCE)
            count += condemned
        return count

    async def settle_lost(self, request: FileRequest) -> int:
        """Look for copies whose answer was lost, by their names; how many are settled now.

        Raises:
            ProviderFault: the provider cannot be asked.
            StoreFailed: what was found could not be noted.
        """
        rows = [row for row in await self._tables.unsettled() if row.store == self.files.store]
        rows = [row for row in rows if not await self._is_being_sent(row)]
        settled = 0
        for purpose in {row.purpose for row in rows}:
            entries = await self.files.entries(request, purpose)
            for row in (row for row in rows if row.purpose == purpose):
                settled += await self._settle(row, _named(entries, row.filename)) is not None
        return settled

    async def delete(self, file_id: str, request: FileRequest) -> Literal["deleted", "not_found"]:
        """Delete a file at the provider; how it is known that it is gone.

        Raises:
            ProviderFault: the provider failed, or refused.
        """
        return await self.files.delete(file_id, request)

    async def _is_good(self, row: CopyRow, request: FileRequest) -> bool:
        """Whether a copy can be relied upon; an old one is asked for."""
        now = self._clock.utc()
        if row.expires_at is not None and row.expires_at - LAST_HOUR < now:
            await self._tables.condemn([row.copy_id], now)
            return False
        if row.verified_at is not None and row.verified_at >= now - self._verify_after:
            return True
        entry = await self.files.look(row.provider_file_id or "", row.purpose, request)
        if entry is None or entry.failed:
            await self._lost(row, entry)
            return False
        await self._tables.verify(row.copy_id, entry.expires_at, now)
        return True

    async def _lost(self, row: CopyRow, entry: RemoteEntry | None) -> None:
        """Note that a copy cannot be used any more; one that turned bad is deleted."""
        if entry is None:
            await self._tables.lose(row.copy_id, self._clock.utc())
        else:
            await self._tables.condemn([row.copy_id], self._clock.utc(), "file_unreadable")

    async def _is_lost(self, row: CopyRow) -> bool:
        """Whether whoever was sending a copy does it no more; it is in doubt then."""
        if await self._is_being_sent(row):
            return False
        await self._tables.doubt(row.copy_id, "interrupted")
        return True

    async def _is_being_sent(self, row: CopyRow) -> bool:
        if row.run_id == self._tables.run_id:
            return row.copy_id in self._sending
        if row.status is Status.DOUBTFUL or row.uploaded_at < self._clock.utc() - DOUBT:
            return False
        return not await self._tables.is_over(row.run_id)

    async def _found_lost(self, key: CopyKey, request: FileRequest) -> Copy | None:
        """Find a copy whose answer was lost."""
        for row in await self._tables.doubtful(key):
            entry = await self.files.find(row.filename, row.purpose, request)
            status = await self._settle(row, entry)
            if status is Status.READY and entry is not None:
                return Copy(row.copy_id, row.provider, entry.id, entry.expires_at, was_sent=False)
        return None

    async def _settle(self, row: CopyRow, entry: RemoteEntry | None) -> Status | None:
        """Note what became of a copy in doubt; `None`: it is not known yet."""
        now = self._clock.utc()
        if row.status is Status.SENDING:
            await self._tables.doubt(row.copy_id, "interrupted")
        if entry is not None:
            status = await self._tables.settle(row.copy_id, entry.id, entry.expires_at, now)
            if entry.failed:
                await self._tables.condemn([row.copy_id], now, "file_unreadable")
                return Status.DELETING
            return status
        if row.uploaded_at > now - DOUBT:
            return None
        await self._tables.fail(row.copy_id, "not_arrived", now)
        return Status.FAILED

    async def _send(self, key: CopyKey, source: Source, method: Method, request: FileRequest) -> Copy | None:
        """Send a content; `None` if somebody else began to."""
        await self._make_room(source.size)
        copy_id = f"copy_{secrets.token_hex(8)}"
        filename = f"exai-{source.sha256[:32]}-{copy_id}.{safe_suffix(source.suffix)}"
        new = NewCopy(
            copy_id,
            key,
            source.size,
            filename,
            method,
            self._tables.run_id,
            self._clock.utc(),
            source.file_owner,
            source.origin_sha256,
        )
        self._sending.add(copy_id)
        try:
            if not await self._begins(new):
                return None
            entry = await self._upload(new, source, request)
            return await self._arrived(new, entry, request)
        except BaseException:
            # Whoever waits for it in another process learns at once that nobody sends it. A row of which more is
            # known stays as it is.
            self._tables.doubt_soon(copy_id, "interrupted")
            raise
        finally:
            self._sending.discard(copy_id)

    async def _begins(self, new: NewCopy) -> bool:
        """Write that a content is being sent; false if somebody else began to."""
        begun = await self._tables.begin(new)
        if begun is Begun.UNWANTED:
            raise CopyUnwanted("The file was removed, so it was not sent.")
        return begun is not Begun.TAKEN

    async def _upload(self, new: NewCopy, source: Source, request: FileRequest) -> RemoteEntry:
        """Send a content, and find out whether it arrived where no answer said so."""
        try:
            return await self.files.upload(source, new.filename, new.key.purpose, request)
        except UNSURE as fault:
            if (found := await self._look_again(new, request)) is not None:
                return found
            await self._tables.doubt(new.copy_id, fault.code)
            raise
        except ExaiError as fault:
            await self._tables.fail(new.copy_id, fault.code, self._clock.utc())
            raise

    async def _look_again(self, new: NewCopy, request: FileRequest) -> RemoteEntry | None:
        try:
            return await self.files.find(new.filename, new.key.purpose, request)
        except (ProviderFault, DeadlineExceeded) as fault:
            _log.warning("a copy is in doubt", provider=self.files.store.provider, error=fault.code)
            return None

    async def _arrived(self, new: NewCopy, entry: RemoteEntry, request: FileRequest) -> Copy:
        now = self._clock.utc()
        try:
            status = await self._tables.settle(new.copy_id, entry.id, entry.expires_at, now)
        except StoreFailed:
            # Without its row nobody would know of it.
            await self._remove_untracked(entry, request)
            raise
        title = self.files.names.title
        if entry.failed:
            await self._tables.condemn([new.copy_id], now, "file_unreadable")
            raise FileUnreadable(
                f"{title} took the file and could not read it. Convert it to PDF or text, and try again."
            )
        if status is not Status.READY:
            raise CopyUnwanted("The file was removed while it was being sent; it is deleted there too.")
        return Copy(new.copy_id, new.key.store.provider, entry.id, entry.expires_at, was_sent=True)

    async def _remove_untracked(self, entry: RemoteEntry, request: FileRequest) -> None:
        try:
            await self.files.delete(entry.id, request)
        except (ProviderFault, DeadlineExceeded) as fault:
            _log.warning("a copy without an id is looked for later", error=fault.code)

    async def _make_room(self, size: int) -> None:
        """Condemn unused copies where the account is nearly full.

        Raises:
            ProviderFilesFull: there is no room for so many bytes.
        """
        limits, now = self.files.dialect, self._clock.utc()
        used = await self._tables.usage(self.files.store)
        files, held = used.files + 1, used.bytes + size
        share = max(files / limits.max_files, held / limits.max_bytes if limits.max_bytes else 0.0)
        if share <= NEARLY_FULL:
            return
        most = max(AT_ONCE, limits.max_files // 10)
        spared = await self._tables.condemn_unused(self.files.store, now - SPARED, now, most)
        if share > 1:
            advice = (
                f"{spared} unused ones are being deleted; try again in a minute."
                if spared
                else "Remove files that are not needed, and try again."
            )
            most_bytes = f" of {limits.max_bytes / 2**30:g} GB" if limits.max_bytes else ""
            raise ProviderFilesFull(
                f"The account at {self.files.names.title} holds {used.files} files of {used.bytes / 2**30:.1f} GB, "
                f"and it may hold {limits.max_files}{most_bytes} ({limits.source}). {advice}"
            )


def _known(row: CopyRow) -> Copy:
    return Copy(row.copy_id, row.provider, row.provider_file_id or "", row.expires_at, was_sent=False)


def _named(entries: Iterable[RemoteEntry], filename: str) -> RemoteEntry | None:
    stem = filename.rpartition(".")[0] or filename
    return next((each for each in entries if each.filename.startswith(stem)), None)
