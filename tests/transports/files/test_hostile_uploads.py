"""Uploads made to break the store: names, framing, lengths, aborts and archives. Each is refused or kept as bytes.

No answer is of 5xx, nothing is logged as unforeseen, and nothing is outside the store's own folder.
"""

import asyncio
import base64
import io
import os
import random
import re
import threading
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import structlog

from exai.errors import ExaiError
from exai.files.documents.extraction import PROGRAMS
from exai.files.heavy_work import HeavyWork
from exai.files.paths.storing import PathStore
from exai.storage.database import Database
from support.file_ports import FilePort, file_port
from support.hostile_documents import hostile_documents
from support.hostile_readings import read_each
from support.shelves import sha256_of
from support.waiting import wait_until

NAMES = (
    "../../../etc/passwd",
    "..\\..\\windows\\system32\\config",
    "/etc/shadow",
    "C:\\autoexec.bat",
    "a/../../b",
    "..",
    ".",
    "",
    "nul\0byte",
    "line\r\nSet-Cookie: a=b",
    "\u202egnp.exe",
    "\ud800half",
    "x" * 10_000,
    "\u00e9" * 300 + ".pdf",
    "incoming/../blobs/00/00/" + "0" * 64,
    '"; filename="other',
    "$(touch pwned)",
    "%2e%2e%2f%2e%2e%2fx",
)
CONTENT = b"hostile"
TRIES = 150
LINK_RACES = 300
DOCUMENTS = 20
"""Of the 200 that `scripts/bench hostile-documents` reads."""


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[FilePort]:
    async with file_port(database, tmp_path / "store" / "files", max_upload_bytes=2**20) as opened:
        yield opened


@pytest.fixture
def log() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines  # type: ignore[misc]


def escaped(tmp_path: Path) -> Iterator[Path]:
    """Where the archives of this test would have put something."""
    return (
        each for each in (Path("/tmp/escaped-exai.txt"), tmp_path.parent / "escaped.txt") if each.exists()
    )


async def assert_harmless(port: FilePort, tmp_path: Path, log: list[dict[str, object]]) -> None:
    """Nothing but contents by their digest is in the store, and nothing but the store is there."""
    await wait_until(lambda: port.shelf.incoming == [], what="the end of every upload")
    outside = {each.name for each in tmp_path.iterdir()} - {"store", "runs"}  # noqa: ASYNC240 - a few names
    assert {name for name in outside if not name.startswith("exai.sqlite")} == set()
    assert list(escaped(tmp_path)) == []
    for file in (tmp_path / "store").rglob("*"):
        assert not file.is_symlink()
        if file.is_file() and file.parent.name != "resumable":
            assert re.fullmatch(r"[0-9a-f]{64}", file.name), file
            assert sha256_of(file.read_bytes()) == file.name
    assert [line for line in log if "incident" in str(line) or line.get("exc_info")] == []


def head(port: FilePort, method: str, path: str, *fields: str) -> bytes:
    token = port.token()["Authorization"]
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: {token}", *fields, "", "")
    return "\r\n".join(lines).encode("utf-8", "surrogatepass")


async def send(port: FilePort, *pieces: bytes, ends: bool = True) -> list[int]:
    """Send bytes as they are; the statuses of what comes back until the connection is closed, or nothing comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port.url.rpartition(":")[2]))
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if ends and writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(30):
            answer = await reader.read(2**20)
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


async def test_names_stay_names(port: FilePort, tmp_path: Path, log: list[dict[str, object]]) -> None:
    for number, name in enumerate(NAMES):
        content = CONTENT + str(number).encode()
        raw = name.encode("utf-8", "surrogatepass")
        quoted = "".join(f"%{byte:02x}" for byte in raw)
        put = head(
            port,
            "PUT",
            f"/files/sha256/{sha256_of(content)}?name={quoted}",
            f"Content-Length: {len(content)}",
        )
        form = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
            + raw
            + b'"\r\n\r\n'
            + content
            + b"f\r\n--b--\r\n"
        )
        post = head(
            port,
            "POST",
            "/files",
            "Content-Type: multipart/form-data; boundary=b",
            f"Content-Length: {len(form)}",
        )
        metadata = f"Upload-Metadata: filename {base64.b64encode(raw).decode()}"
        tus = head(
            port, "POST", "/files", "Tus-Resumable: 1.0.0", "Upload-Length: 0", metadata, "Content-Length: 0"
        )
        for pieces in ((put, content), (post, form), (tus,)):
            statuses = await send(port, *pieces)
            assert all(status < 500 for status in statuses), (name, statuses)
    for row in await port.shelf.shelf.newest("alice", 100):
        assert "/" not in row.name
        assert row.name not in {"", ".", ".."}
        assert row.name.isprintable()
        assert len(row.name.encode()) <= 255
    await assert_harmless(port, tmp_path, log)


async def test_framing_lengths_and_aborts_that_are_wrong(
    port: FilePort, tmp_path: Path, log: list[dict[str, object]]
) -> None:
    draw = random.Random(11)
    digest = sha256_of(CONTENT)
    framings = (
        (f"Content-Length: {len(CONTENT) + 1}",),
        (f"Content-Length: {len(CONTENT) - 1}",),
        ("Content-Length: -1",),
        ("Content-Length: 99999999999999999999",),
        ("Content-Length: 0x7",),
        ("Content-Length: 7", "Content-Length: 8"),
        ("Content-Length: 7", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked",),
        ("Transfer-Encoding: gzip, chunked",),
        ("Content-Length: 7", "Expect: nothing"),
        ("Content-Length: 7", "Content-Encoding: gzip"),
        (),
    )
    chunked = (
        b"7\r\nhostile\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"zz\r\n",
        b"7\r\nhostil",
        b"-7\r\nhostile\r\n",
    )
    targets = (
        ("PUT", f"/files/sha256/{digest}"),
        ("PUT", "/files/sha256/" + "f" * 64),
        ("PUT", "/files/sha256/..%2f..%2f"),
        ("POST", "/files"),
    )
    for _ in range(TRIES):
        method, path = draw.choice(targets)
        fields = draw.choice(framings)
        body = draw.choice((CONTENT, b"", *chunked, draw.randbytes(draw.randrange(2000))))
        kind = draw.choice((("Content-Type: multipart/form-data; boundary=b",), ("Content-Type: x",), ()))
        statuses = await send(port, head(port, method, path, *fields, *kind), body, ends=draw.random() < 0.9)
        assert all(status < 500 for status in statuses), (fields, body, statuses)
    await assert_harmless(port, tmp_path, log)
    rows = await port.shelf.shelf.newest("alice", 100)

    async def is_released() -> bool:
        return (await port.shelf.tables.usage("alice")).bytes == sum(row.bytes for row in rows)

    await wait_until(is_released, what="the release of what was reserved")


async def test_a_boundary_that_is_too_long_is_refused(
    port: FilePort, tmp_path: Path, log: list[dict[str, object]]
) -> None:
    for boundary in ("b" * 257, "b" * 9_000):
        form = f"--{boundary}--".encode()
        kind = f"Content-Type: multipart/form-data; boundary={boundary}"
        assert await send(port, head(port, "POST", "/files", kind, f"Content-Length: {len(form)}"), form) == [
            400
        ]
    await assert_harmless(port, tmp_path, log)


def archives() -> Iterator[bytes]:
    """Archives whose entries climb, link, lie about their sizes or unfold without end."""
    for entry in ("../../escaped.txt", "/tmp/escaped-exai.txt", "word/document.xml"):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr(entry, b"0" * 2**20 * 20)
        yield made.getvalue()
    link = io.BytesIO()
    with zipfile.ZipFile(link, "w") as archive:
        info = zipfile.ZipInfo("word/document.xml")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    yield link.getvalue()
    yield link.getvalue()[:-10]
    yield b"PK\x03\x04" + os.urandom(500)


async def test_archives_are_bytes(port: FilePort, tmp_path: Path, log: list[dict[str, object]]) -> None:
    for content in archives():
        reply = await port.ask("PUT", f"/files/sha256/{sha256_of(content)}?name=a.docx", body=content)
        assert reply.status == 201
        read = await port.ask("GET", f"/files/{reply.json['id']}/text")
        assert read.status < 500
    await assert_harmless(port, tmp_path, log)


async def test_documents_that_are_bombs_loops_or_cut_are_read_or_refused(
    port: FilePort, tmp_path: Path, log: list[dict[str, object]]
) -> None:
    readings = await read_each(port, hostile_documents(DOCUMENTS, seed=11))
    assert readings.wrong == []
    assert {"text", "no_text", "document_unreadable"} <= set(readings.answers)
    assert [each for each in psutil.Process().children() if {*PROGRAMS.values()} & {*each.cmdline()}] == []
    await assert_harmless(port, tmp_path, log)


@pytest.mark.sqlite
async def test_links_that_change_under_a_path_lead_no_outside_byte_into_the_store(
    port: FilePort, tmp_path: Path
) -> None:
    root, outside = tmp_path / "store" / "root", tmp_path / "store" / "outside"
    for folder, content in ((root / "real", b"inside"), (outside, b"OUTSIDE")):
        folder.mkdir(parents=True)
        (folder / "file.txt").write_bytes(content)
    ended = threading.Event()

    def swap() -> None:
        place = root / "changing"
        while not ended.is_set():
            for target in (outside, root / "real"):
                place.unlink(missing_ok=True)
                place.symlink_to(target)

    swapping = threading.Thread(target=swap)
    swapping.start()
    settings = port.shelf.settings.model_copy(update={"roots": (root,)})
    work = HeavyWork(settings)
    store = PathStore(port.shelf.shelf, settings, work)
    refused = kept = 0
    try:
        for _ in range(LINK_RACES):
            try:
                row = await store.put("alice", str(root / "changing" / "file.txt"))
                kept += 1
                assert row.sha256 == sha256_of(b"inside")
            except ExaiError:
                refused += 1
    finally:
        ended.set()
        swapping.join()
        work.close()
    assert refused + kept == LINK_RACES
    assert port.shelf.on_disk <= {sha256_of(b"inside")}


async def test_a_body_that_stalls_is_answered_by_every_way_in_and_leaves_nothing(
    port: FilePort, tmp_path: Path, log: list[dict[str, object]]
) -> None:
    digest = sha256_of(CONTENT)
    ticket = await port.shelf.tickets.issue("alice", None, None, None)
    begun = await port.ask("POST", "/files", Tus_Resumable="1.0.0", Upload_Length=str(len(CONTENT)))
    form = ("Content-Type: multipart/form-data; boundary=b", "Content-Length: 900")
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + CONTENT
    tus = ("Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream", "Upload-Offset: 0")
    place = begun.headers["location"]
    answers = await asyncio.gather(
        send(
            port, head(port, "PUT", f"/files/sha256/{digest}", "Content-Length: 7"), CONTENT[:3], ends=False
        ),
        send(port, head(port, "POST", "/files", *form), part, ends=False),
        send(port, head(port, "POST", ticket.path, *form), part, ends=False),
        send(port, head(port, "PATCH", place, *tus, "Content-Length: 7"), CONTENT[:3], ends=False),
    )
    assert list(answers) == [[408]] * 4
    await assert_harmless(port, tmp_path, log)
    assert (await port.ask("GET", "/files")).json["files"] == []
    kept = await port.ask("HEAD", place, Tus_Resumable="1.0.0")
    assert kept.headers["upload-offset"] == "3", "a resumable upload goes on where it was"
    assert (await port.shelf.tables.usage("alice")).bytes == len(CONTENT), "of which the space is reserved"
