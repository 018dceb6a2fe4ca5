"""Resumable uploads by tus 1.0.0, on a real port. The clients that others wrote are in `tests/foreign`."""

import asyncio
import base64
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from exai.storage.database import Database
from support.faulty_disk import FaultyDisk
from support.file_ports import FilePort, Reply, file_port
from support.shelves import sha256_of
from support.waiting import wait_until

pytestmark = pytest.mark.sqlite

CONTENT = os.urandom(2**20 + 5)
DIGEST = sha256_of(CONTENT)
HALF = len(CONTENT) // 2
VERSION = {"Tus_Resumable": "1.0.0"}
BYTES = {**VERSION, "Content_Type": "application/offset+octet-stream"}


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[FilePort]:
    async with file_port(database, tmp_path / "files", max_upload_bytes=2**22) as opened:
        yield opened


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


async def created(port: FilePort, length: int = len(CONTENT), **headers: str) -> str:
    reply = await port.ask("POST", "/files", Upload_Length=str(length), **VERSION, **headers)
    assert (reply.status, reply.headers["tus-resumable"]) == (201, "1.0.0")
    return reply.headers["location"]


async def patch(port: FilePort, place: str, offset: int, body: Any, **headers: str) -> Reply:
    return await port.ask("PATCH", place, body=body, Upload_Offset=str(offset), **BYTES, **headers)


async def offset_of(port: FilePort, place: str) -> int:
    return int((await port.ask("HEAD", place, **VERSION)).headers["upload-offset"])


async def test_what_is_supported_is_told(port: FilePort) -> None:
    reply = await port.ask("OPTIONS", "/files")
    told = {name: value for name, value in reply.headers.items() if name.startswith("tus-")}
    assert (reply.status, told) == (
        204,
        {
            "tus-resumable": "1.0.0",
            "tus-version": "1.0.0",
            "tus-extension": "creation,creation-with-upload,expiration,checksum,termination",
            "tus-max-size": str(2**22),
            "tus-checksum-algorithm": "sha256,sha1",
        },
    )


async def test_an_upload_is_created_continued_and_names_its_file(port: FilePort) -> None:
    metadata = (
        f"filename {encoded('../näme.bin')},filetype {encoded('text/html')},sha256 {encoded(DIGEST)},flag"
    )
    place = await created(port, Upload_Metadata=metadata)
    first = await patch(port, place, 0, CONTENT[:HALF])
    assert (first.status, first.headers["upload-offset"]) == (204, str(HALF))
    looked = await port.ask("HEAD", place, **VERSION)
    assert (looked.status, looked.headers["upload-offset"]) == (200, str(HALF))
    assert looked.headers["upload-length"] == str(len(CONTENT))
    assert looked.headers["upload-metadata"] == metadata
    assert looked.headers["cache-control"] == "no-store"
    assert parsedate_to_datetime(looked.headers["upload-expires"]) > port.shelf.clock.utc()
    last = await patch(port, place, HALF, CONTENT[HALF:])
    assert (last.status, last.headers["exai-sha256"]) == (204, DIGEST)
    entry = (await port.ask("GET", f"/files/{last.headers['exai-file']}")).json
    assert (entry["name"], entry["kind"], entry["bytes"]) == ("näme.bin", "binary", len(CONTENT))
    assert (await port.ask("HEAD", place, **VERSION)).headers["exai-file"] == entry["id"]


async def test_an_upload_is_created_with_its_bytes(port: FilePort) -> None:
    length = str(len(CONTENT))
    whole = await port.ask("POST", "/files", body=CONTENT, Upload_Length=length, **BYTES)
    assert (whole.status, whole.headers["upload-offset"]) == (201, length)
    assert whole.headers["exai-sha256"] == DIGEST
    part = await port.ask("POST", "/files", body=CONTENT[:HALF], Upload_Length=length, **BYTES)
    assert (part.status, part.headers["upload-offset"]) == (201, str(HALF))
    rest = await patch(port, part.headers["location"], HALF, CONTENT[HALF:])
    assert rest.headers["exai-sha256"] == DIGEST
    empty = await port.ask("POST", "/files", Upload_Length="0", **VERSION)
    assert (empty.status, empty.headers["exai-sha256"]) == (201, sha256_of(b""))


async def test_a_broken_connection_keeps_what_came(port: FilePort) -> None:
    place = await created(port)
    _, writer = await asyncio.open_connection("127.0.0.1", int(port.url.rpartition(":")[2]))
    head = (
        f"PATCH {place} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {port.token()['Authorization']}\r\n"
        "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
        f"Content-Length: {len(CONTENT)}\r\n\r\n"
    )
    writer.write(head.encode() + CONTENT[:HALF])
    await writer.drain()
    (part,) = port.shelf.parts
    writer.close()

    async def all_came() -> bool:
        return await offset_of(port, place) == HALF

    await wait_until(all_came, what="what came is kept")
    assert (await patch(port, place, HALF, CONTENT[HALF:])).headers["exai-sha256"] == DIGEST
    assert part not in port.shelf.parts


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [(errno.ENOSPC, 507, "store_full"), (errno.EIO, 503, "store_unavailable")],
)
async def test_a_disk_that_refuses_is_told_and_the_upload_goes_on_once_it_is_mended(
    port: FilePort, database: Database, code: int, status: int, expected: str
) -> None:
    place = await created(port)
    assert (await patch(port, place, 0, CONTENT[:HALF])).status == 204
    for lasting in (False, True):
        disk = FaultyDisk(1, code, lasting=lasting)
        with disk.attached(database):
            refused = await patch(port, place, HALF, CONTENT[HALF:])
            assert (refused.status, refused.code) == (status, expected)
            disk.mend()
            assert await offset_of(port, place) == HALF
    done = await patch(port, place, HALF, CONTENT[HALF:])
    assert done.headers["exai-sha256"] == DIGEST
    content = await port.ask("GET", f"/files/{done.headers['exai-file']}/content")
    assert sha256_of(content.body) == DIGEST
    assert port.shelf.parts == []


async def test_a_checksum_is_compared(port: FilePort) -> None:
    place = await created(port)
    digest = base64.b64encode(hashlib.sha256(CONTENT[:HALF]).digest()).decode()
    wrong = await patch(port, place, 0, CONTENT[1 : HALF + 1], Upload_Checksum=f"sha256 {digest}")
    assert (wrong.status, wrong.code) == (460, "checksum_differs")
    assert await offset_of(port, place) == 0
    right = await patch(port, place, 0, CONTENT[:HALF], Upload_Checksum=f"sha256 {digest}")
    assert right.status == 204
    for bad in (f"md5 {digest}", "sha256 x", "sha256", f"sha1 {digest}"):
        refused = await patch(port, place, HALF, CONTENT[HALF:], Upload_Checksum=bad)
        assert (refused.status, refused.code) == (400, "bad_arguments")
    assert await offset_of(port, place) == HALF


async def test_another_content_than_was_announced_is_not_kept(port: FilePort) -> None:
    place = await created(port, Upload_Metadata=f"sha256 {encoded('0' * 64)}")
    reply = await patch(port, place, 0, CONTENT)
    assert (reply.status, reply.code) == (460, "checksum_differs")
    assert (await port.ask("HEAD", place, **VERSION)).status == 404
    assert (port.shelf.on_disk, port.shelf.parts) == (set(), [])


async def test_an_upload_is_ended(port: FilePort) -> None:
    place = await created(port)
    await patch(port, place, 0, CONTENT[:HALF])
    assert (await port.ask("DELETE", place, **VERSION)).status == 204
    assert (await port.ask("HEAD", place, **VERSION)).status == 404
    assert port.shelf.parts == []


async def test_what_does_not_fit_is_refused_with_its_status(port: FilePort) -> None:
    place = await created(port)
    refusals = {
        "another offset": (await patch(port, place, 5, b"x"), 409, "wrong_offset"),
        "no offset": (await port.ask("PATCH", place, body=b"x", **BYTES), 400, "bad_arguments"),
        "other type": (
            await port.ask(
                "PATCH", place, body=b"x", Upload_Offset="0", Content_Type="text/plain", **VERSION
            ),
            415,
            "bad_request",
        ),
        "too long": (await patch(port, place, 0, CONTENT + b"x"), 400, "length_wrong"),
        "no version": (await port.ask("PATCH", place, body=b"x", Upload_Offset="0"), 412, "tus_version"),
        "other version": (await port.ask("POST", "/files", Tus_Resumable="0.2.2"), 412, "tus_version"),
        "no length": (await port.ask("POST", "/files", **VERSION), 400, "bad_arguments"),
        "deferred": (
            await port.ask("POST", "/files", Upload_Defer_Length="1", **VERSION),
            400,
            "bad_arguments",
        ),
        "too large": (
            await port.ask("POST", "/files", Upload_Length=str(2**22 + 1), **VERSION),
            413,
            "file_too_large",
        ),
    }
    for why, (reply, status, code) in refusals.items():
        assert (reply.status, reply.code) == (status, code), why
        assert reply.headers["tus-resumable"] == "1.0.0", why
    assert refusals["no version"][0].headers["tus-version"] == "1.0.0"
    assert await offset_of(port, place) == 0
    await patch(port, place, 0, CONTENT)
    assert (await patch(port, place, len(CONTENT), b"")).status == 403
    port.shelf.clock.advance(25 * 3600)
    late = await created(port)
    port.shelf.clock.advance(25 * 3600)
    assert (await patch(port, late, 0, b"x")).status == 410


async def test_a_header_that_is_sent_twice_is_refused(port: FilePort) -> None:
    fields = [
        *port.token().items(),
        ("Tus-Resumable", "1.0.0"),
        ("Upload-Length", "5"),
        ("Upload-Length", "6"),
    ]
    async with port.http.post(f"{port.url}/files", headers=CIMultiDict(fields)) as answer:
        assert (answer.status, answer.headers["tus-resumable"]) == (400, "1.0.0")
        assert "`upload-length` is there 2 times" in (await answer.json())["error"]["message"]
    assert port.shelf.parts == []


async def test_a_second_request_to_an_upload_waits_outside(port: FilePort) -> None:
    place = await created(port)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[:HALF]
        begun.set()
        await may_end.wait()
        yield CONTENT[HALF:]

    first = asyncio.ensure_future(patch(port, place, 0, slow()))
    await begun.wait()

    async def is_locked() -> bool:
        return (await patch(port, place, 0, CONTENT)).status == 423

    await wait_until(is_locked, what="the first request has the upload")
    may_end.set()
    assert (await first).headers["exai-sha256"] == DIGEST


async def test_uploads_of_others_are_answered_as_unknown_ones(port: FilePort) -> None:
    place = await created(port)
    for method in ("PATCH", "DELETE"):
        foreign = await port.ask(method, place, "bob", body=b"x", Upload_Offset="0", **BYTES)
        unknown = await port.ask(
            method, "/files/uploads/upload_0", "bob", body=b"x", Upload_Offset="0", **BYTES
        )
        assert (foreign.status, foreign.body) == (unknown.status, unknown.body) == (404, unknown.body)
    assert (await port.ask("HEAD", place, "bob", **VERSION)).status == 404


async def test_a_client_without_patch_sends_it_by_post(port: FilePort) -> None:
    place = await created(port)
    sent = await port.ask(
        "POST", place, body=CONTENT, Upload_Offset="0", X_HTTP_Method_Override="PATCH", **BYTES
    )
    assert (sent.status, sent.headers["exai-sha256"]) == (204, DIGEST)
    assert (await port.ask("POST", place, X_HTTP_Method_Override="DELETE", **VERSION)).status == 204
    assert (await port.ask("POST", place, X_HTTP_Method_Override="GET", **VERSION)).status == 400
