"""Rows of copies: what lies at providers, for whom, under which id, and what is to become of it.

A row is committed before its file is sent, with the name that is sent, so that whatever arrives can be found. Each
change is one statement that names the status before:

    none        begin          sending      of equal contents for one owner and purpose, one is live
    sending     settle         ready        the provider gave an id
    sending     fail           failed       it refused
    sending     doubt          doubtful     no answer was received, or the process died: looked for by its name
    sending     condemn        dropped      nobody wants it any more, and it may still arrive
    doubtful    settle         ready        found by its name; `deleting` where another one took its place
    doubtful    fail           failed       not found, for long enough
    dropped     settle         deleting     it arrived
    dropped     fail           gone         it never arrived
    none        adopt          unverified   imported: nobody asked the provider yet
    unverified  verify         ready
    ready       lose           missing      the provider has it no more; so of `unverified`
    ready       condemn        deleting     so of `unverified`; shown to no model from now on
    deleting    end_deleting   gone         the provider confirmed it
    deleting    give_up        undeleted    it did not for days
    undeleted   retry          deleting

`sending`, `ready` and `unverified` are live. A copy that ended stays for `files.keep_proof_days`. An owner's copies
are his own: were they shared, a content that need not be sent would tell that somebody else had sent it. Where the
operator shares them (`files.share_copies`), the owner of all is `SHARED`.

A copy that was made of another content, such as a picture that was made smaller, belongs to both: it is found, and
condemned, by either. Where two contents come to the same, it belongs to the one that was used last.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, exists, func, select, tuple_, update

from exai.storage.database import Database
from exai.storage.dialects import insert_if_absent
from exai.storage.files.copy_queries import in_store, is_made_of, of_file, of_key
from exai.storage.files.copy_rows import (
    ENDED,
    KNOWN,
    LIVE,
    OPEN,
    SHARED,
    Begun,
    CondemnedCopy,
    CopyKey,
    CopyRow,
    NewCopy,
    Status,
    Store,
    StoreUsage,
)
from exai.storage.files.deletions import (
    NewDeletion,
    What,
    confirm_deletions,
    forget_deletions,
    note_deletion,
    note_given_up,
)
from exai.storage.files.rows import BY_UPLOAD
from exai.storage.schema import file_references, files
from exai.storage.schema import provider_file_uploads as copies
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["CopyTables", "condemn_copies"]

USE_IS_KNOWN_WITHIN = timedelta(hours=1)
"""A use is written down unless one this recent is."""


Change = tuple[str, tuple[Status, ...], dict[str, Any]]
"""A copy, the statuses of which it must have one, and what its columns become."""


class CopyTables:
    """Finds copies and changes their status."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.deletions_due = asyncio.Event()
        """Set when copies were condemned in this process, so that their deletion begins at once."""

    @property
    def run_id(self) -> str:
        """This process' run, which the rows of what it sends bear."""
        return self._database.run_id

    async def is_over(self, run_id: str | None) -> bool:
        """Whether the process that sent a copy has gone.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return run_id is None or await self._database.is_over(run_id)

    async def use(self, key: CopyKey, at: datetime, origin_sha256: str | None = None) -> CopyRow | None:
        """Find the live copy of a key, and keep it from being condemned as unused.

        `origin_sha256` is what it was made of for this use; it belongs to that from now on.

        Raises:
            StoreFailed: that is not sure.
        """
        row = await self._first(of_key(key) & copies.c.status.in_(LIVE))
        if row is None or row.status is Status.SENDING:
            return row
        is_news = origin_sha256 not in {None, row.origin_sha256}
        if not is_news and row.used_at >= at - USE_IS_KNOWN_WITHIN:
            return row
        return await self._database.write(_use, (key, at, origin_sha256 or row.origin_sha256))

    async def find(self, copy_id: str) -> CopyRow | None:
        """Find a copy by its id."""
        return await self._first(copies.c.copy_id == copy_id)

    async def doubtful(self, key: CopyKey) -> list[CopyRow]:
        """List copies of a key whose answer was lost."""
        return await self._all(of_key(key) & (copies.c.status == Status.DOUBTFUL))

    async def unsettled(self) -> list[CopyRow]:
        """List copies of which it is not known whether they arrived."""
        return await self._all(copies.c.status.in_(OPEN))

    async def of_content(self, owner: str, sha256: str) -> list[CopyRow]:
        """List the owner's and shared copies of a content, or made of it, whatever their status; the newest first."""
        query = copies.c.owner.in_((owner, SHARED)) & is_made_of(sha256)
        return (await self._all(query))[::-1]

    async def of_store(self, store: Store) -> list[CopyRow]:
        """List all copies in one store, whatever their status."""
        return await self._all(in_store(store))

    async def count_elsewhere(self, store: Store) -> int:
        """Count copies that lie, or may lie, in other accounts of the same provider."""
        elsewhere = (copies.c.provider == store.provider) & (copies.c.account != store.account)
        query = select(func.count()).where(elsewhere, copies.c.status.not_in(ENDED))
        return await self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    async def usage(self, store: Store) -> StoreUsage:
        """Add up what lies, or may lie, in a store."""
        query = select(func.count(), func.coalesce(func.sum(copies.c.bytes), 0)).where(
            in_store(store), copies.c.status.not_in(ENDED)
        )
        row = await self._database.read(lambda connection: connection.execute(query).one())
        return StoreUsage(int(row[0]), int(row[1]))

    async def begin(self, copy: NewCopy) -> Begun:
        """Note that a copy is about to be sent, if it may be.

        Raises:
            StoreFailed: it was not noted, and nothing may be sent.
        """
        return await self._database.write(_begin, copy)

    async def adopt(self, row: CopyRow) -> bool:
        """Note a copy of an older installation; false if its key has a live one, or the file is known.

        Raises:
            StoreFailed: it was not noted.
        """
        return await self._database.write(_adopt, row)

    async def settle(
        self, copy_id: str, provider_file_id: str, expires_at: datetime | None, at: datetime
    ) -> Status:
        """Note under which id a copy arrived; how it stands now.

        Raises:
            StoreFailed: it was not noted.
        """
        return await self._database.write(_settle, (copy_id, provider_file_id, expires_at, at))

    async def verify(self, copy_id: str, expires_at: datetime | None, at: datetime) -> None:
        """Note that the provider has a copy.

        Raises:
            StoreFailed: it was not noted.
        """
        values = {"status": Status.READY, "verified_at": at, "expires_at": expires_at}
        await self._change((copy_id, KNOWN, values))

    async def doubt(self, copy_id: str, error_code: str) -> None:
        """Note that the answer to a copy's upload was lost.

        Raises:
            StoreFailed: it was not noted.
        """
        await self._change(_doubted(copy_id, error_code))

    def doubt_soon(self, copy_id: str, error_code: str) -> None:
        """Note the same without waiting for it, where a call is being cancelled."""
        self._database.write_soon(_change, (_doubted(copy_id, error_code),), durable=True)

    async def fail(self, copy_id: str, error_code: str, at: datetime) -> None:
        """Note that a copy did not arrive.

        Raises:
            StoreFailed: it was not noted.
        """
        values = {"ended_at": at, "error_code": error_code}
        unwanted = (Status.SENDING, Status.DOUBTFUL)
        await self._change(
            (copy_id, unwanted, {**values, "status": Status.FAILED}),
            (copy_id, (Status.DROPPED,), {**values, "status": Status.GONE}),
        )

    async def lose(self, copy_id: str, at: datetime) -> None:
        """Note that the provider has a copy no more.

        Raises:
            StoreFailed: it was not noted.
        """
        await self._change((copy_id, KNOWN, {"status": Status.MISSING, "ended_at": at}))

    async def condemn(self, copy_ids: Sequence[str], at: datetime, error_code: str | None = None) -> int:
        """Decide that copies are deleted; no request uses them from now on. How many there were.

        Raises:
            StoreFailed: none was condemned.
        """
        return self._due(await self._database.write(_condemn, (list(copy_ids), at, error_code)))

    async def condemn_unused(self, store: Store, since: datetime, at: datetime, most: int) -> int:
        """Condemn copies that have not been used since then, the longest unused first; how many there were.

        Raises:
            StoreFailed: none was condemned.
        """
        return self._due(await self._database.write(_condemn_unused, (store, since, at, most)))

    async def condemned(self, most: int, *, after: CondemnedCopy | None = None) -> list[CondemnedCopy]:
        """Read what is to be deleted, at any provider: a page in the order of the files' ids, behind `after`."""
        page = _CONDEMNED.limit(most)
        if after is not None:
            page = page.where((after.provider, after.account, after.provider_file_id) < _CONDEMNED_KEY)
        return await self._database.read(
            lambda connection: [CondemnedCopy(*row) for row in connection.execute(page).all()]
        )

    async def end_deleting(
        self, store: Store, provider_file_id: str, confirmed_by: str, at: datetime
    ) -> None:
        """Note that a file is gone at its provider, and how that was confirmed.

        Raises:
            StoreFailed: it was not noted.
        """
        await self._database.write(_end_deleting, (store, provider_file_id, confirmed_by, at))

    async def give_up(self, file: CondemnedCopy, error_code: str) -> bool:
        """Note that a file could not be deleted for as long as that is tried; whether it was news.

        Raises:
            StoreFailed: it was not noted.
        """
        return await self._database.write(_give_up, (file, error_code))

    async def retry(self) -> int:
        """Have everything deleted that was given up; how many copies that are.

        Raises:
            StoreFailed: it was not noted.
        """
        return self._due(await self._database.write(_retry, None))

    async def prune(self, before: datetime) -> int:
        """Forget copies that ended before then, files that were removed, and what became of them; how many copies.

        Raises:
            StoreFailed: none was forgotten.
        """
        return await self._database.write(_prune, before)

    def _due(self, count: int) -> int:
        if count:
            self.deletions_due.set()
        return count

    async def _change(self, *changes: Change) -> None:
        await self._database.write(_change, changes)

    async def _first(self, condition: Any) -> CopyRow | None:
        query = _COPIES.where(condition).limit(1)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else _copy(row)

    async def _all(self, condition: Any) -> list[CopyRow]:
        query = _COPIES.where(condition).order_by(copies.c.uploaded_at, copies.c.copy_id)
        return await self._database.read(lambda connection: [_copy(row) for row in connection.execute(query)])


_COPIES = select(*(copies.c[name] for name in CopyRow.__struct_fields__))
_FILE = (copies.c.provider, copies.c.account, copies.c.provider_file_id)
_CONDEMNED_KEY = tuple_(*_FILE)
_CONDEMNED = (
    select(*_FILE, func.min(copies.c.owner), func.max(copies.c.attempts))
    .where(copies.c.status == Status.DELETING, copies.c.provider_file_id.is_not(None))
    .group_by(*_FILE)
    .order_by(*_FILE)
)
"""Two rows may name one file, where a provider has one id for equal contents."""
_ADD = insert_if_absent(copies)


def _copy(row: Any) -> CopyRow:
    values = dict(zip(CopyRow.__struct_fields__, row, strict=True))
    return CopyRow(**{**values, "status": Status(values["status"])})


def _doubted(copy_id: str, error_code: str) -> Change:
    return copy_id, (Status.SENDING,), {"status": Status.DOUBTFUL, "error_code": error_code}


@row_by_row(LockGroup.FILES)
def _use(connection: Connection, write: tuple[CopyKey, datetime, str | None]) -> CopyRow | None:
    """Find the row again after the write: one that was condemned meanwhile is not there."""
    key, at, origin_sha256 = write
    known = of_key(key) & copies.c.status.in_(KNOWN)
    connection.execute(update(copies).where(known).values(used_at=at, origin_sha256=origin_sha256))
    row = connection.execute(_COPIES.where(known)).first()
    return None if row is None else _copy(row)


@row_by_row(LockGroup.FILES)
def _begin(connection: Connection, copy: NewCopy) -> Begun:
    if copy.file_owner is not None:
        needed = exists().where(
            file_references.c.sha256.in_((copy.key.sha256, copy.origin_sha256)),
            file_references.c.owner == copy.file_owner,
            file_references.c.reason != BY_UPLOAD,
        )
        if not connection.scalar(select(needed)):
            return Begun.UNWANTED
    values = {
        "copy_id": copy.copy_id,
        "provider": copy.key.store.provider,
        "account": copy.key.store.account,
        "purpose": copy.key.purpose,
        "owner": copy.key.owner,
        "sha256": copy.key.sha256,
        "filename": copy.filename,
        "upload_method": copy.method,
        "status": Status.SENDING,
        "bytes": copy.bytes,
        "attempts": 0,
        "run_id": copy.run_id,
        "uploaded_at": copy.at,
        "used_at": copy.at,
        "origin_sha256": copy.origin_sha256,
    }
    return Begun.BEGUN if _ADD.execute(connection, values).rowcount == 1 else Begun.TAKEN


@row_by_row(LockGroup.FILES)
def _adopt(connection: Connection, row: CopyRow) -> bool:
    known = select(copies.c.copy_id).where(
        of_file(row.store, row.provider_file_id or ""), copies.c.status.not_in(ENDED)
    )
    if connection.execute(known).first() is not None:
        return False
    return _ADD.execute(connection, msgspec.structs.asdict(row)).rowcount == 1


@row_by_row(LockGroup.FILES)
def _settle(connection: Connection, write: tuple[str, str, datetime | None, datetime]) -> Status:
    copy_id, provider_file_id, expires_at, at = write
    row = _copy(connection.execute(_COPIES.where(copies.c.copy_id == copy_id)).one())
    if row.status not in OPEN:
        return row.status
    is_wanted = row.status is Status.SENDING or (
        row.status is Status.DOUBTFUL and not connection.scalar(select(_has_live_twin(row)))
    )
    status = Status.READY if is_wanted else Status.DELETING
    arrived = {
        "provider_file_id": provider_file_id,
        "verified_at": at,
        "expires_at": expires_at,
        "error_code": None,
    }
    connection.execute(update(copies).where(copies.c.copy_id == copy_id).values(status=status, **arrived))
    if status is Status.DELETING:
        _ask_for_deletion(connection, [row], at)
    return status


def _has_live_twin(row: CopyRow) -> Any:
    key = CopyKey(row.store, row.purpose, row.owner, row.sha256 or "")
    return exists().where(of_key(key), copies.c.status.in_(LIVE))


@row_by_row(LockGroup.FILES)
def _change(connection: Connection, changes: tuple[Change, ...]) -> None:
    for copy_id, before, values in changes:
        is_so = (copies.c.copy_id == copy_id) & copies.c.status.in_(before)
        connection.execute(update(copies).where(is_so).values(values))


def condemn_copies(
    connection: Connection, condition: Any, at: datetime, error_code: str | None = None
) -> list[CopyRow]:
    """Condemn the copies that meet a condition, within a transaction of the group `FILES`; which they were."""
    found = [
        _copy(row)
        for row in connection.execute(
            _COPIES.where(condition, copies.c.status.in_((*KNOWN, *OPEN[:2])))
        ).all()
    ]
    for row in found:
        if row.status in KNOWN:
            # Where a provider has one id for equal contents, others' copies of it go with it, and are sent again.
            is_it = of_file(row.store, row.provider_file_id or "") & copies.c.status.in_(KNOWN)
            connection.execute(
                update(copies).where(is_it).values(status=Status.DELETING, error_code=error_code)
            )
        else:
            connection.execute(
                update(copies).where(copies.c.copy_id == row.copy_id).values(status=Status.DROPPED)
            )
    _ask_for_deletion(connection, found, at)
    return found


def _ask_for_deletion(connection: Connection, rows: Sequence[CopyRow], at: datetime) -> None:
    for row in rows:
        note_deletion(
            connection, NewDeletion(What.COPY, row.copy_id, row.owner, row.sha256, row.provider, at)
        )


@row_by_row(LockGroup.FILES)
def _condemn(connection: Connection, write: tuple[list[str], datetime, str | None]) -> int:
    copy_ids, at, error_code = write
    return len(condemn_copies(connection, copies.c.copy_id.in_(copy_ids), at, error_code))


@row_by_row(LockGroup.FILES)
def _condemn_unused(connection: Connection, write: tuple[Store, datetime, datetime, int]) -> int:
    store, since, at, most = write
    unused = connection.scalars(
        select(copies.c.copy_id)
        .where(in_store(store), copies.c.status.in_(KNOWN), copies.c.used_at < since)
        .order_by(copies.c.used_at)
        .limit(most)
    ).all()
    return len(condemn_copies(connection, copies.c.copy_id.in_(unused), at)) if unused else 0


@row_by_row(LockGroup.FILES)
def _end_deleting(connection: Connection, write: tuple[Store, str, str, datetime]) -> None:
    store, provider_file_id, confirmed_by, at = write
    is_it = of_file(store, provider_file_id) & copies.c.status.in_((Status.DELETING, Status.UNDELETED))
    gone = connection.scalars(select(copies.c.copy_id).where(is_it)).all()
    connection.execute(update(copies).where(is_it).values(status=Status.GONE, ended_at=at, error_code=None))
    confirm_deletions(connection, gone, confirmed_by, at)


@row_by_row(LockGroup.FILES)
def _give_up(connection: Connection, write: tuple[CondemnedCopy, str]) -> bool:
    file, error_code = write
    is_it = of_file(Store(file.provider, file.account), file.provider_file_id)
    is_it = is_it & (copies.c.status == Status.DELETING)
    given_up = connection.scalars(select(copies.c.copy_id).where(is_it)).all()
    connection.execute(update(copies).where(is_it).values(status=Status.UNDELETED, error_code=error_code))
    note_given_up(connection, given_up, error_code)
    return bool(given_up)


@row_by_row(LockGroup.FILES)
def _retry(connection: Connection, _nothing: None) -> int:
    again = {"status": Status.DELETING, "attempts": copies.c.attempts + 1}
    done = connection.execute(update(copies).where(copies.c.status == Status.UNDELETED).values(again))
    return done.rowcount


@row_by_row(LockGroup.FILES)
def _prune(connection: Connection, before: datetime) -> int:
    forget_deletions(connection, before)
    connection.execute(delete(files).where(files.c.removed_at < before))
    done = connection.execute(delete(copies).where(copies.c.status.in_(ENDED), copies.c.ended_at < before))
    return done.rowcount
