"""Copies of stored files at both providers: sent once, found again, read, and never without their row."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from exai import config
from exai.errors import (
    DeadlineExceeded,
    ExaiError,
    ProviderFailed,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnconfigured,
    StoreFailed,
)
from exai.files.faults import FileDamaged
from exai.providers.file_limits import Purpose
from exai.providers.remote_files.faults import (
    CopyUnwanted,
    FileEmpty,
    FileTooLargeForProvider,
    FileUnreadable,
    ProviderFilesFull,
    PurposeUnknown,
)
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import SHARED, CopyKey, Method, NewCopy, Status, StoreUsage
from exai_emulator import Emulator, EmulatorOptions, Fault, FileState, running
from support.copying import Copying

CONTENT = b"line 1\nline 2\n" * 100_000
MP4 = b"\0\0\0\x20ftypisom" + b"x" * 500_000
PDF = b"%PDF-1.4\n" + b"x" * 500_000
Open = Callable[..., Awaitable[Copying]]


class Shifted(SystemClock):
    """A wall clock that tests move, with real waits."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def wall(self) -> float:
        return super().wall() + self.ahead.total_seconds()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with running(EmulatorOptions()) as emulator:
        yield emulator


@pytest.fixture
async def open_one(
    emulator: Emulator, database_settings: config.Database, tmp_path: Path
) -> AsyncIterator[Open]:
    """Opens processes' parts on one database and one folder."""
    async with AsyncExitStack() as stack:

        async def opened(kimi: dict[str, Any] | None = None, **files: Any) -> Copying:
            database = await Database.open(database_settings, tmp_path / "data")
            stack.push_async_callback(database.close)
            one = Copying(emulator, database, tmp_path / "files", Shifted(), kimi, **files)
            stack.push_async_callback(one.router.close)
            stack.callback(one.shelf.blobs.close)
            return one

        yield opened


@pytest.fixture
async def copying(open_one: Open) -> Copying:
    return await open_one()


def shift(copying: Copying, by: timedelta) -> None:
    assert isinstance(copying.clock, Shifted)
    copying.clock.ahead += by


async def failing(work: Awaitable[Any]) -> ExaiError:
    with pytest.raises(ExaiError) as caught:
        await work
    return caught.value


PLACES = (("kimi", "video", "mp4", MP4), ("glm", "user_data", "pdf", PDF))


@pytest.mark.parametrize(("to", "purpose", "suffix", "content"), PLACES)
async def test_a_stored_file_is_sent_once_from_its_blob_under_a_name_without_its_own(
    copying: Copying, to: str, purpose: str, suffix: str, content: bytes
) -> None:
    file_id = await copying.shelf.put("alice", "secret plans.pdf", content)
    copies = [await copying.copy("alice", file_id, to, purpose) for _ in range(2)]
    assert [copy.was_sent for copy in copies] == [True, False]
    (there,) = copying.there(to)
    assert there.content == content
    assert there.purpose == purpose
    assert there.filename == f"exai-{there.sha256[:32]}-{copies[0].copy_id}.{suffix}"
    (row,) = await copying.rows(to)
    assert (row.status, row.upload_method, row.provider_file_id, row.bytes, row.owner) == (
        Status.READY,
        "gateway",
        there.id,
        len(content),
        "alice",
    )
    assert copying.sent(to) == 1


async def test_uploads_of_one_content_at_once_become_one(copying: Copying, open_one: Open) -> None:
    """In one process behind a lock, between processes by the row."""
    other = await open_one()
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    copying.emulator.faults.add("kimi", Fault(path="/files", before_headers_ms=300))
    asked = [one.copy("alice", file_id) for one in (copying, other) for _ in range(25)]
    copies = await asyncio.gather(*asked)
    assert len({copy.file_id for copy in copies}) == 1
    assert copying.sent() == 1
    assert sum(copy.was_sent for copy in copies) == 1
    assert len(copying.there()) == 1


async def test_copies_belong_to_their_owner_unless_the_house_shares_them(
    copying: Copying, open_one: Open
) -> None:
    ids = {owner: await copying.shelf.put(owner, "a.txt", CONTENT) for owner in ("alice", "bob")}
    for owner, file_id in ids.items():
        assert (await copying.copy(owner, file_id)).was_sent
    assert {row.owner for row in await copying.rows()} == {"alice", "bob"}
    house = await open_one(share_copies="house")
    assert [(await house.copy(owner, ids[owner])).was_sent for owner in ids] == [True, False]
    assert (await copying.rows())[-1].owner == SHARED
    await house.shelf.shelf.remove("alice", ids["alice"])
    assert (await copying.rows())[-1].status is Status.READY
    await house.shelf.shelf.remove("bob", ids["bob"])
    assert set(await copying.statuses()) == {Status.DELETING}


@pytest.mark.parametrize(("to", "purpose", "suffix", "content"), PLACES)
async def test_an_old_copy_is_asked_for_before_it_is_relied_upon(
    copying: Copying, to: str, purpose: str, suffix: str, content: bytes
) -> None:
    file_id = await copying.shelf.put("alice", f"a.{suffix}", content)
    first = await copying.copy("alice", file_id, to, purpose)
    asked = len(copying.emulator.log.requests)
    await copying.copy("alice", file_id, to, purpose)
    assert len(copying.emulator.log.requests) == asked
    shift(copying, timedelta(hours=25))
    assert (await copying.copy("alice", file_id, to, purpose)).file_id == first.file_id
    assert len(copying.emulator.log.requests) == asked + 1
    copying.emulator.accounts[to].files.remove(first.file_id)
    shift(copying, timedelta(hours=25))
    again = await copying.copy("alice", file_id, to, purpose)
    assert again.was_sent
    assert again.file_id != first.file_id
    assert await copying.statuses(to) == [Status.MISSING, Status.READY]


async def test_a_copy_that_the_provider_deletes_soon_is_sent_again(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.pdf", PDF)
    first = await copying.copy("alice", file_id, "glm", "user_data")
    assert first.expires_at is not None
    shift(copying, timedelta(days=29, hours=22))
    await copying.copy("alice", file_id, "glm", "user_data")
    shift(copying, timedelta(hours=1, minutes=30))
    assert (await copying.copy("alice", file_id, "glm", "user_data")).was_sent
    assert await copying.statuses("glm") == [Status.DELETING, Status.READY]


async def test_a_row_that_cannot_be_written_is_a_failed_upload_whose_object_is_removed(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)

    async def fails(*_: Any) -> Status:
        raise StoreFailed("The database takes no writes.")

    with monkeypatch.context() as patched:
        patched.setattr(CopyTables, "settle", fails)
        assert isinstance(await failing(copying.copy("alice", file_id)), StoreFailed)
    assert copying.there() == []
    assert (await copying.copy("alice", file_id)).was_sent


async def test_a_row_that_cannot_be_begun_sends_nothing(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)

    async def fails(*_: Any) -> None:
        raise StoreFailed("The database takes no writes.")

    monkeypatch.setattr(CopyTables, "begin", fails)
    assert isinstance(await failing(copying.copy("alice", file_id)), StoreFailed)
    assert copying.sent() == 0


async def test_what_a_dead_process_was_sending_is_found_by_its_name(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    row = await copying.shelf.shelf.get("alice", file_id)
    key = CopyKey(copying.remote.stores["kimi"], "file-extract", "alice", row.sha256)
    names = []
    for number in range(2):
        name = f"exai-{row.sha256[:32]}-copy_{number}.txt"
        names.append(name)
        begun = NewCopy(f"copy_{number}", key, row.bytes, name, Method.GATEWAY, "dead", copying.clock.utc())
        await copying.copies.begin(begun)
        if number == 0:
            await copying.copies.doubt("copy_0", "interrupted")
    placed = copying.emulator.place_file("kimi", names[1].replace(".txt", "(1).txt"), "file-extract", CONTENT)
    copy = await copying.copy("alice", file_id)
    assert (copy.file_id, copy.was_sent) == (placed.id, False)
    assert await copying.statuses() == [Status.DOUBTFUL, Status.READY]
    assert await copying.remote.settle_lost() == 0
    shift(copying, timedelta(minutes=16))
    assert await copying.remote.settle_lost() == 1
    assert await copying.statuses() == [Status.FAILED, Status.READY]


async def test_what_nobody_asks_for_again_is_settled_by_the_sweep(copying: Copying, open_one: Open) -> None:
    """Found: it is used, unless its file was removed meanwhile; then it is deleted."""
    ids = [
        await copying.shelf.put("alice", f"{number}.txt", CONTENT + bytes([65 + number]))
        for number in range(2)
    ]
    for file_id in ids:
        copying.emulator.faults.add("kimi", Fault(path="/files", cut="reset", at="before_headers"))
        copying.emulator.faults.add("kimi", Fault(path="/files", error="server_error", times=2))
        assert isinstance(await failing(copying.copy("alice", file_id)), ProviderFailed)
        assert len(copying.there()) == len(await copying.rows())
    assert await copying.statuses() == [Status.DOUBTFUL, Status.DOUBTFUL]
    condemned = await copying.shelf.shelf.remove("alice", ids[1])
    assert len(condemned) == 1
    other = await open_one()
    assert await other.remote.settle_lost() == 1
    shift(other, timedelta(minutes=16))
    assert await other.remote.settle_lost() == 1
    assert await copying.statuses() == [Status.READY, Status.DELETING]


async def test_a_file_that_is_removed_while_it_is_sent_is_deleted_where_it_arrives(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    source = await copying.source("alice", file_id)
    copying.emulator.faults.add("kimi", Fault(path="/files", before_headers_ms=500))
    sending = asyncio.create_task(copying.copy("alice", file_id))
    await copying.emulator.log.wait_for(lambda record: record.path.endswith("/files"))
    await copying.shelf.shelf.remove("alice", file_id)
    assert isinstance(await failing(sending), CopyUnwanted)
    assert await copying.statuses() == [Status.DELETING]
    late = copying.remote.copy(
        "alice", source, "kimi", "file-extract", Method.GATEWAY, deadline=copying.clock.monotonic() + 9
    )
    assert isinstance(await failing(late), CopyUnwanted)
    assert copying.sent() == 1


@pytest.mark.parametrize("cut", ["reset", "close"])
async def test_a_connection_that_breaks_while_bytes_are_sent_is_tried_once_more(
    copying: Copying, cut: Literal["reset", "close"]
) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    broken = Fault(path="/files", cut=cut, at="while_receiving", after_bytes=100_000)
    copying.emulator.faults.add("kimi", broken)
    assert (await copying.copy("alice", file_id)).was_sent
    assert await copying.statuses() == [Status.DOUBTFUL, Status.READY]
    assert len(copying.there()) == 1


async def test_a_file_that_is_listed_late_is_deleted_once_another_took_its_place(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    copying.emulator.accounts["kimi"].state.files = FileState(list_delay_s=3600)
    copying.emulator.faults.add("kimi", Fault(path="/files", cut="reset", at="before_headers"))
    assert (await copying.copy("alice", file_id)).was_sent
    assert len(copying.there()) == 2
    copying.emulator.accounts["kimi"].state.files = FileState()
    assert await copying.remote.settle_lost() == 1
    assert await copying.statuses() == [Status.DELETING, Status.READY]


async def test_a_cancelled_upload_is_looked_for(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    copying.emulator.faults.add("kimi", Fault(path="/files", before_headers_ms=60_000))
    sending = asyncio.create_task(copying.copy("alice", file_id))
    await copying.emulator.log.wait_for(lambda record: record.path.endswith("/files"))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    copying.emulator.faults.clear()
    await copying.copy("alice", file_id)
    assert len([row for row in await copying.rows() if row.status is Status.READY]) == 1


@pytest.mark.parametrize("moment", ["begin", "settle", "fail", "unforeseen"])
async def test_another_process_does_not_wait_for_an_upload_that_ended_between_two_steps(
    moment: str, copying: Copying, open_one: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is in doubt at once, though whoever sent it still runs."""
    other = await open_one()
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    if moment == "fail":
        copying.emulator.faults.add("kimi", Fault(path="/files", error="invalid_request"))
    step = "settle" if moment == "unforeseen" else moment
    reached = asyncio.Event()
    original = getattr(copying.copies, step)

    async def held(*arguments: Any) -> Any:
        if moment == "begin":
            await original(*arguments)
        reached.set()
        if moment == "unforeseen":
            raise ZeroDivisionError
        await asyncio.Event().wait()

    monkeypatch.setattr(copying.copies, step, held)
    sending = asyncio.create_task(copying.copy("alice", file_id))
    await reached.wait()
    if moment != "unforeseen":
        sending.cancel()
    with pytest.raises((asyncio.CancelledError, ZeroDivisionError)):
        await sending
    monkeypatch.undo()
    async with asyncio.timeout(60):
        await other.copy("alice", file_id)
    assert await copying.remote.settle_lost() == 0
    assert len(copying.there()) == 1


async def test_an_upload_of_another_process_is_waited_for_as_long_as_the_call_has_time(
    copying: Copying, open_one: Open
) -> None:
    other = await open_one()
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    copying.emulator.faults.add("kimi", Fault(path="/files", before_headers_ms=60_000))
    sending = asyncio.create_task(copying.copy("alice", file_id))
    await copying.emulator.log.wait_for(lambda record: record.path.endswith("/files"))
    assert await copying.statuses() == [Status.SENDING]
    async with asyncio.timeout(60):
        assert isinstance(await failing(other.copy("alice", file_id, within_s=1)), DeadlineExceeded)
    sending.cancel()


@pytest.mark.parametrize(
    ("error", "kind"), [("rate_limit_rpm", ProviderThrottled), ("invalid_request", ProviderRefused)]
)
async def test_a_refusal_is_noted_and_asked_again_later(
    copying: Copying, error: str, kind: type[ExaiError]
) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    copying.emulator.faults.add("kimi", Fault(path="/files", error=error))
    fault = await failing(copying.copy("alice", file_id))
    assert isinstance(fault, kind)
    (row,) = await copying.rows()
    assert (row.status, row.error_code) == (Status.FAILED, fault.code)
    assert (await copying.copy("alice", file_id)).was_sent


async def test_damaged_bytes_are_never_a_copy(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    (blob,) = (file for file in (copying.shelf.folder / "blobs").rglob("*") if file.is_file())
    blob.write_bytes(CONTENT[:-1] + b"X")
    assert isinstance(await failing(copying.copy("alice", file_id)), FileDamaged)
    assert copying.there() == []
    assert await copying.statuses() == [Status.FAILED]
    await copying.shelf.put("alice", "a.txt", CONTENT)
    assert (await copying.copy("alice", file_id)).was_sent


async def test_what_a_provider_does_not_take_is_refused_before_it_is_read(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, empty = [await copying.shelf.put("alice", "a.txt", content) for content in (b"text", b"")]
    for work, kind in (
        (copying.copy("alice", text, "kimi", "nonsense"), PurposeUnknown),
        (copying.copy("alice", text, "glm", "user_data"), PurposeUnknown),
        (copying.copy("alice", text, "other"), PurposeUnknown),
        (copying.copy("alice", empty), FileEmpty),
    ):
        assert isinstance(await failing(work), kind)
    copies = copying.router.file_hosts["kimi"].copies
    assert copies is not None
    small = {"file-extract": Purpose(3)}
    monkeypatch.setattr(copies.files, "dialect", replace(copies.files.dialect, purposes=small))
    fault = await failing(copying.copy("alice", text))
    assert isinstance(fault, FileTooLargeForProvider)
    assert "Kimi takes files of at most" in str(fault)
    assert copying.emulator.log.requests == []


async def test_near_the_limits_unused_copies_go_first_and_then_the_call_fails(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [
        await copying.shelf.put("alice", f"{number}.txt", f"content {number}".encode()) for number in range(4)
    ]
    copies = copying.router.file_hosts["kimi"].copies
    assert copies is not None
    monkeypatch.setattr(copies.files, "dialect", replace(copies.files.dialect, max_files=3))
    for file_id in ids[:2]:
        await copying.copy("alice", file_id)
    shift(copying, timedelta(hours=2))
    await copying.copy("alice", ids[2])
    assert await copying.statuses() == [Status.DELETING, Status.DELETING, Status.READY]
    fault = await failing(copying.copy("alice", ids[3]))
    assert isinstance(fault, ProviderFilesFull)
    assert "holds 3 files" in str(fault)
    assert copying.sent() == 3


async def test_a_full_account_is_the_providers_refusal(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    copying.emulator.accounts["kimi"].state.files = FileState(max_files=0)
    assert isinstance(await failing(copying.copy("alice", file_id)), ProviderRefused)
    assert await copying.copies.usage(copying.remote.stores["kimi"]) == StoreUsage(0, 0)


@pytest.mark.parametrize("form", ["json", "text"])
async def test_the_text_of_a_document_is_read_and_its_copy_condemned(
    database_settings: config.Database, tmp_path: Path, form: str
) -> None:
    options = EmulatorOptions(kimi_file_content=form)  # type: ignore[arg-type]
    async with running(options) as emulator:
        database = await Database.open(database_settings, tmp_path / "data")
        one = Copying(emulator, database, tmp_path / "files", SystemClock())
        text = '{"content":"not this","filename":"a"}\nlast line'
        file_id = await one.shelf.put("alice", "a.txt", text.encode())
        one.emulator.accounts["kimi"].state.files = FileState(content_delay_s=0)
        assert await one.text("alice", file_id) == text
        assert await one.statuses() == [Status.DELETING]
        assert one.copies.deletions_due.is_set()
        (row,) = await one.rows()
        assert row.upload_method == "extract"
        await one.router.close()
        one.shelf.blobs.close()
        await database.close()


async def test_a_document_that_stays_for_its_text_is_a_setting(open_one: Open) -> None:
    keeping = await open_one(keep_copies=True)
    file_id = await keeping.shelf.put("alice", "a.txt", CONTENT)
    for _ in range(2):
        assert await keeping.text("alice", file_id) == CONTENT.decode()
    assert await keeping.statuses() == [Status.READY]


async def test_a_document_that_the_provider_cannot_read_is_deleted_there(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.bin", bytes(range(256)) * 50)
    assert isinstance(await failing(copying.text("alice", file_id)), FileUnreadable)
    assert await copying.statuses() == [Status.DELETING]
    (row,) = await copying.rows()
    assert row.error_code == "file_unreadable"


async def test_a_text_that_is_not_there_in_time_is_said_to_be_late(copying: Copying) -> None:
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    copying.emulator.accounts["kimi"].state.files = FileState(content_delay_s=600)
    fault = await failing(copying.text("alice", file_id, within_s=3))
    assert isinstance(fault, FileUnreadable | DeadlineExceeded)
    assert await copying.statuses() == [Status.DELETING]


async def test_a_deletion_is_confirmed_by_what_the_provider_says_or_lists(copying: Copying) -> None:
    store = copying.remote.stores["kimi"]
    placed = copying.emulator.place_file("kimi", "exai-a.txt", "file-extract", CONTENT)
    path = f"/files/{placed.id}"
    copying.emulator.faults.add("kimi", Fault(path=path, status=200, body="<html>"))
    assert isinstance(await failing(copying.remote.delete(store, placed.id)), ProviderFailed)
    copying.emulator.faults.add("kimi", Fault(path=path, status=200, body="{}", takes_effect=True))
    assert isinstance(await failing(copying.remote.delete(store, placed.id)), ProviderFailed)
    assert await copying.remote.delete(store, placed.id) == "not_found"
    glm = copying.emulator.place_file("glm", "exai-a.txt", "agent", CONTENT)
    for confirmed_by in ("deleted", "not_found"):
        assert await copying.remote.delete(copying.remote.stores["glm"], glm.id) == confirmed_by


async def test_lists_of_many_pages_are_read_whole(copying: Copying) -> None:
    for number in range(205):
        copying.emulator.place_file("glm", f"{number}.pdf", "user_data", b"%PDF-")
    copies = copying.router.file_hosts["glm"].copies
    assert copies is not None
    request = copying.router.file_hosts["glm"].file_request(copying.clock.monotonic() + 30)
    assert len(await copies.files.entries(request, "user_data")) == 205


async def test_a_list_that_never_ends_or_is_none_is_a_failure(copying: Copying) -> None:
    kimi = copying.router.file_hosts["kimi"]
    assert kimi.copies is not None
    request = kimi.file_request(copying.clock.monotonic() + 30)
    for body in ("[]", '{"data":5}', "{" * 40_000, '{"data":[],"next_page_token":'):
        copying.emulator.faults.add("kimi", Fault(path="/files", status=200, body=body))
        assert isinstance(await failing(kimi.copies.files.entries(request)), ProviderFailed)
    odd = json.dumps({"data": [None, 5, {"id": "../x"}, {"id": "file_1", "bytes": -1, "expires_at": 1e300}]})
    copying.emulator.faults.add("kimi", Fault(path="/files", status=200, body=odd))
    (entry,) = await kimi.copies.files.entries(request)
    assert (entry.id, entry.bytes, entry.expires_at) == ("file_1", None, None)


async def test_without_a_key_there_are_no_copies(emulator: Emulator, open_one: Open) -> None:
    one = await open_one()
    hosts = {name: host for name, host in one.router.file_hosts.items() if name == "kimi"}
    hosts["kimi"].copies = None  # type: ignore[misc]
    file_id = await one.shelf.put("alice", "a.txt", CONTENT)
    assert isinstance(await failing(one.copy("alice", file_id)), ProviderUnconfigured)
    assert set(one.remote.stores) == {"glm"}


async def test_a_copy_is_looked_for_again_once_it_was_not_seen_for_the_setting(open_one: Open) -> None:
    copying = await open_one(verify_after_hours=3)
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    await copying.copy("alice", file_id)
    looked = []
    for hours in (2, 2, 2, 2):
        shift(copying, timedelta(hours=hours))
        before = len(copying.emulator.log.requests)
        assert not (await copying.copy("alice", file_id)).was_sent
        looked.append(len(copying.emulator.log.requests) - before)
    assert looked == [0, 1, 0, 1]


async def test_unused_copies_and_proofs_of_ended_ones_go_after_their_settings(open_one: Open) -> None:
    copying = await open_one(kimi={"keep_uploads_days": 3}, keep_proof_days=5)
    file_id = await copying.shelf.put("alice", "a.txt", CONTENT)
    await copying.copy("alice", file_id)
    shift(copying, timedelta(days=2))
    assert await copying.remote.condemn_unused() == 0
    shift(copying, timedelta(days=2))
    assert await copying.remote.condemn_unused() == 1
    assert await copying.statuses() == [Status.DELETING]
    (row,) = await copying.rows()
    await copying.copies.lose(row.copy_id, copying.clock.utc())
    other = await copying.shelf.put("alice", "b.txt", b"other")
    ended = await copying.copy("alice", other)
    await copying.copies.lose(ended.copy_id, copying.clock.utc())
    shift(copying, timedelta(days=4))
    await copying.remote.condemn_unused()
    assert Status.MISSING in await copying.statuses()
    shift(copying, timedelta(days=2))
    await copying.remote.condemn_unused()
    assert Status.MISSING not in await copying.statuses()
