"""Texts that are extracted once, stored, and gone with their documents."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Connection, func, select

from exai.files.documents.extraction import PROGRAMS
from exai.files.faults import DocumentUnreadable, FileDamaged, NoText
from exai.storage.database import Database
from exai.storage.files.extracts import ExtractTable
from exai.storage.schema import extracts, file_references, file_uploads
from support.document_parts import archive_of, docx_of, pdf_of, scan
from support.shelves import OpenShelf, sha256_of
from support.waiting import wait_until

MakeShelf = Callable[..., OpenShelf]
TEXT = "[page 1]\nonce\n"


@pytest.fixture
def make(database: Database, tmp_path: Path) -> MakeShelf:
    def shelf(**settings: object) -> OpenShelf:
        return OpenShelf(database, tmp_path / "files", **settings)

    return shelf


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that were begun."""
    methods: list[str] = []
    original = asyncio.create_subprocess_exec

    async def counted(*command: Any, **options: Any) -> Process:
        methods.append(command[3])
        return await original(*command, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    return methods


@pytest.fixture
def ended_by(monkeypatch: pytest.MonkeyPatch) -> list[signal.Signals]:
    """The signals that end the next programs, one each, before their document comes."""
    signals: list[signal.Signals] = []
    original = asyncio.create_subprocess_exec

    async def ended(*command: Any, **options: Any) -> Process:
        process = await original(*command, **options)
        if signals:
            process.send_signal(signals.pop(0))
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", ended)
    return signals


async def test_ten_readers_at_once_and_one_later_extract_once(make: MakeShelf, begun: list[str]) -> None:
    shelf = make()
    owners = [f"owner{n}" for n in range(10)]
    ids = [await shelf.put(owner, "a.pdf", pdf_of(["once"])) for owner in owners]
    read = await asyncio.gather(*map(shelf.text.read, owners, ids))
    again = await make().text.read(owners[0], ids[0])
    assert begun == [PROGRAMS["pdfium"]]
    assert {each.lines for each in (*read, again)} == {("[page 1]", "once")}
    assert (again.method, again.pages) == ("pdfium", 1)


async def test_the_text_goes_with_its_document(make: MakeShelf, database: Database) -> None:
    shelf = make(grace_hours=0)
    file_id = await shelf.put("alice", "a.pdf", pdf_of(["once"]))
    await shelf.text.read("alice", file_id)
    shelf.clock.advance(1)
    assert (await shelf.shelf.collect()).contents == 0
    assert sha256_of(TEXT.encode()) in shelf.on_disk
    await shelf.shelf.remove("alice", file_id)
    for _ in range(2):  # the document, then the text that only it referred to
        shelf.clock.advance(1)
        assert (await shelf.shelf.collect()).contents == 1
    assert shelf.on_disk == set()
    for table in (extracts, file_references, file_uploads):
        query = select(func.count()).select_from(table)
        assert await database.read(partial(Connection.scalar, statement=query)) == 0


async def test_a_text_that_is_also_somebodys_file_stays(make: MakeShelf) -> None:
    shelf = make(grace_hours=0)
    document = await shelf.put("alice", "a.pdf", pdf_of(["once"]))
    await shelf.text.read("alice", document)
    own = await shelf.put("bob", "text.txt", TEXT.encode())
    await shelf.shelf.remove("alice", document)
    for _ in range(3):
        shelf.clock.advance(1)
        await shelf.shelf.collect()
    assert await shelf.read("bob", own) == TEXT.encode()
    assert shelf.on_disk == {sha256_of(TEXT.encode())}


async def test_a_damaged_text_is_extracted_again(make: MakeShelf, begun: list[str]) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.pdf", pdf_of(["once"]))
    await shelf.text.read("alice", file_id)
    digest = sha256_of(TEXT.encode())
    place = shelf.folder / "blobs" / digest[:2] / digest[2:4] / digest
    place.write_bytes(b"rotten")
    other = make()
    assert (await other.text.read("alice", file_id)).lines == ("[page 1]", "once")
    assert place.read_bytes() == TEXT.encode()
    assert begun == [PROGRAMS["pdfium"]] * 2


async def test_a_document_without_text_is_looked_at_once(make: MakeShelf, begun: list[str]) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "scan.pdf", scan())
    for _ in range(2):
        with pytest.raises(NoText, match="pictures") as caught:
            await shelf.text.read("alice", file_id)
        assert caught.value.why == "no_text"
    assert begun == [PROGRAMS["pdfium"]]
    assert shelf.incoming == []
    assert len(shelf.on_disk) == 1


REFUSED_ONCE = {
    "broken": ("a.docx", docx_of("x" * 9_000)[:-50]),
    "unpacks to more": ("a.docx", docx_of("x" * 2**22)),
}


@pytest.mark.parametrize("words", REFUSED_ONCE)
async def test_a_refused_document_is_read_once(words: str, make: MakeShelf, begun: list[str]) -> None:
    shelf = make()
    ids = [await shelf.put(owner, *REFUSED_ONCE[words]) for owner in ("alice", "bob")]
    for owner, file_id in zip(("alice", "bob"), ids, strict=True):
        with pytest.raises(DocumentUnreadable, match=words):
            await make().text.read(owner, file_id)
    assert begun == [PROGRAMS["ooxml"]]


@pytest.mark.parametrize("sort", [signal.SIGKILL, signal.SIGALRM, signal.SIGSEGV])
async def test_what_its_reader_did_not_survive_is_read_again_after_a_day(
    sort: signal.Signals, make: MakeShelf, begun: list[str], ended_by: list[signal.Signals]
) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.pdf", pdf_of(["once"]))
    ended_by.append(sort)
    for hours in (0, 12, 11):
        shelf.clock.advance(timedelta(hours=hours).total_seconds())
        with pytest.raises(DocumentUnreadable, match="took over 60 s"):
            await shelf.text.read("alice", file_id)
    assert (begun, shelf.incoming) == ([PROGRAMS["pdfium"]], [])
    assert (await shelf.tables.usage("")).files == 0
    shelf.clock.advance(timedelta(hours=1).total_seconds())
    for _ in range(2):
        assert (await shelf.text.read("alice", file_id)).lines == ("[page 1]", "once")
    assert begun == [PROGRAMS["pdfium"]] * 2


async def test_a_reader_that_somebody_stopped_says_nothing_of_the_document(
    make: MakeShelf, ended_by: list[signal.Signals]
) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.pdf", pdf_of(["once"]))
    ended_by.append(signal.SIGTERM)
    with pytest.raises(DocumentUnreadable, match="Try again"):
        await shelf.text.read("alice", file_id)
    assert (await shelf.text.read("alice", file_id)).lines == ("[page 1]", "once")


async def test_a_document_that_goes_while_its_reader_fails_is_gone(
    make: MakeShelf, monkeypatch: pytest.MonkeyPatch, ended_by: list[signal.Signals]
) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.pdf", pdf_of(["once"]))
    ended_by.append(signal.SIGKILL)

    async def gone(*_: object) -> bool:
        return False

    monkeypatch.setattr(ExtractTable, "keep", gone)
    with pytest.raises(FileDamaged, match="removed while"):
        await shelf.text.read("alice", file_id)


async def test_a_broken_document_is_told_and_leaves_nothing(make: MakeShelf) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.docx", docx_of("x" * 9_000)[:-50])
    with pytest.raises(DocumentUnreadable, match="broken"):
        await shelf.text.read("alice", file_id)
    assert (shelf.incoming, len(shelf.on_disk)) == ([], 1)
    assert (await shelf.tables.usage("")).files == 0


async def test_what_its_readers_are_told_is_no_failure_of_ours_in_the_log(make: MakeShelf) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.pdf", pdf_of(["once"]))
    (only,) = shelf.on_disk
    (shelf.folder / "blobs" / only[:2] / only[2:4] / only).write_bytes(b"rotten")
    with structlog.testing.capture_logs() as lines:
        told = await asyncio.gather(
            *(shelf.text.read("alice", file_id) for _ in range(2)), return_exceptions=True
        )
    assert [type(fault) for fault in told] == [FileDamaged] * 2
    assert not [line for line in lines if line["event"] == "background task failed"]


async def test_kinds_without_text_say_what_has_it(make: MakeShelf) -> None:
    shelf = make()
    for content, words in (
        (b"\x89PNG\r\n\x1a\n", "kind png has no text"),
        (b"\x1f\x8b\x08\0", "store the files in it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Save it as DOCX"),
        (archive_of({"a.txt": "text"}), "no Office document"),
    ):
        file_id = await shelf.put("alice", "file", content)
        with pytest.raises(NoText, match=words):
            await shelf.text.read("alice", file_id)


async def test_a_reader_that_gives_up_does_not_end_it_for_others(make: MakeShelf, begun: list[str]) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.pdf", pdf_of(["once"]))
    first = asyncio.get_running_loop().create_task(shelf.text.read("alice", file_id))
    second = asyncio.get_running_loop().create_task(shelf.text.read("alice", file_id))
    await wait_until(lambda: begun, what="the document is being extracted")
    first.cancel()
    assert (await second).lines == ("[page 1]", "once")
    await shelf.extracts.close()
