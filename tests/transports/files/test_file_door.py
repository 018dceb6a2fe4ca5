"""Stored files over HTTP, on a real port."""

import asyncio
import base64
import hashlib
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from exai.auth.scopes import FILES
from exai.events.events import IncidentRecorded
from exai.files import compared as compared_files
from exai.runtime.open_file import OpenFile
from exai.storage.database import Database
from support.file_ports import FilePort, file_port
from support.shelves import sha256_of
from support.waiting import wait_until

pytestmark = pytest.mark.sqlite

CONTENT = os.urandom(2**21 + 5)
DIGEST = sha256_of(CONTENT)


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[FilePort]:
    async with file_port(database, tmp_path / "files") as opened:
        yield opened


async def test_a_content_is_put_by_its_digest_and_comes_back(port: FilePort) -> None:
    reply = await port.ask("PUT", f"/files/sha256/{DIGEST}?name=data.bin", body=CONTENT)
    assert reply.status == 201
    entry = reply.json
    assert {name: entry[name] for name in ("name", "bytes", "sha256", "kind", "damaged")} == {
        "name": "data.bin",
        "bytes": len(CONTENT),
        "sha256": DIGEST,
        "kind": "binary",
        "damaged": False,
    }
    shown = (await port.ask("GET", f"/files/{entry['id']}")).json
    assert shown == {**entry, "copies": [], "references": [{"reason": "file", "subject": entry["id"]}]}
    got = await port.ask("GET", f"/files/{entry['id']}/content")
    assert (got.status, got.body) == (200, CONTENT)
    assert got.headers["etag"] == f'"{DIGEST}"'
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert got.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''data.bin"


async def test_a_content_that_the_caller_has_is_not_read_again(port: FilePort) -> None:
    first = await port.put(CONTENT)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port.url.rpartition(":")[2]))
    token = port.authenticator.issue("alice", "alice", FILES)["Authorization"]
    writer.write(
        f"PUT /files/sha256/{DIGEST}?name=a.bin HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
        f"Content-Length: {len(CONTENT)}\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    writer.transport.abort()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert (await port.ask("GET", "/files")).json["files"][0]["id"] == first


async def test_looking_for_a_content_finds_only_ones_own(port: FilePort) -> None:
    file_id = await port.put(CONTENT)
    mine = await port.ask("HEAD", f"/files/sha256/{DIGEST.upper()}")
    assert (mine.status, mine.headers["exai-file"]) == (200, file_id)
    assert mine.headers["content-length"] == str(len(CONTENT))
    foreign = await port.ask("HEAD", f"/files/sha256/{DIGEST}", "bob")
    nobodys = await port.ask("HEAD", f"/files/sha256/{'0' * 64}", "bob")
    for reply in (foreign, nobodys):
        reply.headers.pop("date", None)
    assert foreign == nobodys
    assert foreign.status == 404


async def test_files_of_others_are_answered_as_unknown_ones(port: FilePort) -> None:
    file_id = await port.put(CONTENT)
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        foreign = await port.ask(method, f"/files/{file_id}{rest}", "bob")
        unknown = await port.ask(method, f"/files/file_{'0' * 32}{rest}", "bob")
        assert (foreign.status, foreign.body) == (unknown.status, unknown.body)
        assert (foreign.status, foreign.code) == (404, "unknown_file")
    assert (await port.ask("GET", "/files", "bob")).json == {"files": [], "next": None}


async def test_what_is_meant_for_another_content_is_not_done(port: FilePort) -> None:
    file_id = await port.put(CONTENT)
    path, other = f"/files/{file_id}", "0" * 64
    foreign = await port.ask("DELETE", path, "bob", If_Match=f'"{DIGEST}"')
    assert (foreign.status, foreign.code) == (404, "unknown_file")
    for tags in (f'"{other}"', f'W/"{DIGEST}"', DIGEST, ""):
        for method, place, body in (("DELETE", path, None), ("PUT", f"/files/sha256/{DIGEST}", CONTENT)):
            refused = await port.ask(method, place, body=body, If_Match=tags)
            assert (refused.status, refused.code) == (412, "not_matched")
    absent = await port.ask("PUT", f"/files/sha256/{sha256_of(b'x')}", body=b"x", If_Match="*")
    assert (absent.status, absent.code) == (412, "not_matched")
    same = await port.ask("PUT", f"/files/sha256/{DIGEST}?name=b", body=CONTENT, If_Match=f'"x", "{DIGEST}"')
    assert same.status == 200
    assert (await port.ask("DELETE", path, If_Match=f'"{other}", "{DIGEST}"')).status == 202
    assert (await port.ask("DELETE", f"/files/{same.json['id']}", If_Match="*")).status == 202
    assert port.shelf.on_disk == {DIGEST}


async def test_a_form_stores_its_file(port: FilePort) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", io.BytesIO(CONTENT), filename="../naïve name.txt")
    reply = await port.ask("POST", "/files", body=form)
    assert (reply.status, reply.json["name"], reply.json["sha256"]) == (201, "naïve name.txt", DIGEST)


@pytest.mark.parametrize("boundary", [b"x", b"a" * 70])
async def test_a_file_that_holds_what_looks_like_its_boundary_comes_whole(
    port: FilePort, boundary: bytes
) -> None:
    content = b"\r\n--" + boundary[:-1] + b"\r\n" * 5 + b"!--" + boundary
    body = (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        b"" + content + b"\r\n--" + boundary + b"--\r\n"
    )
    kind = f"multipart/form-data; boundary={boundary.decode()}"
    reply = await port.ask("POST", "/files", body=body, Content_Type=kind)
    assert reply.status == 201, reply.json
    assert reply.json["sha256"] == sha256_of(content)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"x", 415),
        ("multipart/form-data; boundary=x", b"no form", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\na\r\n--x--\r\n',
            400,
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno end',
            400,
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na\r\n' * 2 + b"--x--\r\n",
            400,
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: " + b"y" * 9_000, 400),
        ("multipart/form-data; boundary=x", b"", 400),
    ],
)
async def test_what_is_no_form_with_one_file_is_refused(
    port: FilePort, kind: str, body: bytes, status: int
) -> None:
    reply = await port.ask("POST", "/files", body=body, Content_Type=kind)
    assert reply.status == status
    assert "tus-resumable" not in reply.headers
    assert (await port.ask("GET", "/files")).json["files"] == []
    assert (port.shelf.on_disk, port.shelf.incoming) == (set(), [])


async def test_one_range_is_answered_alone(port: FilePort) -> None:
    file_id = await port.put(CONTENT)
    path = f"/files/{file_id}/content"
    part = await port.ask("GET", path, Range="bytes=10-19")
    assert (part.status, part.body) == (206, CONTENT[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(CONTENT)}"
    behind = await port.ask("GET", path, Range=f"bytes={len(CONTENT)}-")
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")
    several = await port.ask("GET", path, Range="bytes=0-1,5-6")
    assert (several.status, several.body) == (200, CONTENT)
    other = await port.ask("GET", path, Range="bytes=10-19", If_Range='"other"')
    assert other.status == 200
    same = await port.ask("GET", path, If_None_Match=f'"x", W/"{DIGEST}"')
    assert (same.status, same.body) == (304, b"")
    for method in ("GET", "HEAD"):
        assert (await port.ask(method, path, If_None_Match="*")).status == 304
    head = await port.ask("HEAD", path)
    assert (head.status, head.headers["content-length"]) == (200, str(len(CONTENT)))


async def test_files_are_listed_page_by_page(port: FilePort) -> None:
    ids = []
    for number in range(5):
        ids.append(await port.put(str(number).encode(), f"{number}.txt"))
        port.shelf.clock.advance(1)
    first = (await port.ask("GET", "/files?limit=3")).json
    assert [file["id"] for file in first["files"]] == ids[:1:-1]
    second = (await port.ask("GET", f"/files?limit=3&after={first['next']}")).json
    assert [file["id"] for file in second["files"]] == ids[1::-1]
    assert second["next"] is None
    for limit in ("0", "101", "-1", "x", "\u0661"):
        refused = await port.ask("GET", f"/files?limit={limit}")
        assert (refused.status, refused.code) == (400, "bad_arguments")


async def test_files_are_listed_by_their_name(port: FilePort) -> None:
    ids = []
    for number in range(3):
        ids.append(await port.put(str(number).encode(), "a.txt"))
        await port.put(f"other {number}".encode(), "ab.txt")
        port.shelf.clock.advance(1)
    await port.put(b"0", "a.txt", "bob")
    first = (await port.ask("GET", "/files?name=a.txt&limit=2")).json
    assert [file["id"] for file in first["files"]] == ids[:0:-1]
    second = (await port.ask("GET", f"/files?name=./a.txt&limit=2&after={first['next']}")).json
    assert ([file["id"] for file in second["files"]], second["next"]) == (ids[:1], None)
    assert (await port.ask("GET", "/files?name=%25.txt")).json == {"files": [], "next": None}
    refused = await port.ask("GET", "/files?name=")
    assert (refused.status, refused.code) == (400, "bad_arguments")


async def test_a_removed_file_is_gone_and_its_content_after_the_grace(port: FilePort) -> None:
    file_id = await port.put(CONTENT)
    removed = await port.ask("DELETE", f"/files/{file_id}")
    assert (removed.status, removed.json) == (202, {"removed": True, "pending": []})
    assert (await port.ask("GET", f"/files/{file_id}/content")).status == 404
    assert (await port.ask("HEAD", f"/files/sha256/{DIGEST}")).status == 404
    port.shelf.clock.advance(25 * 3600)
    await port.shelf.shelf.collect()
    assert port.shelf.on_disk == set()


async def test_bad_puts_are_refused_and_leave_nothing(port: FilePort) -> None:
    wrong = await port.ask("PUT", f"/files/sha256/{'0' * 64}", body=CONTENT)
    assert (wrong.status, wrong.code) == (422, "digest_differs")
    no_digest = await port.ask("PUT", "/files/sha256/abc", body=CONTENT)
    assert (no_digest.status, no_digest.code) == (400, "bad_arguments")

    async def unknown_length() -> AsyncIterator[bytes]:
        yield CONTENT

    chunked = await port.ask("PUT", f"/files/sha256/{DIGEST}", body=unknown_length())
    assert (chunked.status, chunked.code) == (411, "length_missing")
    assert (await port.ask("GET", "/files")).json["files"] == []
    assert (port.shelf.on_disk, port.shelf.incoming) == (set(), [])


async def test_limits_are_named_before_a_byte_is_read(database: Database, tmp_path: Path) -> None:
    async with file_port(database, tmp_path / "files", max_upload_bytes=1000, max_owner_bytes=1500) as port:
        large = await port.ask("PUT", f"/files/sha256/{DIGEST}", body=CONTENT)
        assert large.status == 413
        await port.put(b"x" * 1000)
        over = await port.ask("PUT", f"/files/sha256/{sha256_of(b'y' * 501)}", body=b"y" * 501)
        assert (over.status, over.code) == (413, "file_quota_exceeded")


async def test_a_client_that_goes_in_the_middle_leaves_nothing(port: FilePort) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(port.url.rpartition(":")[2]))
    token = port.authenticator.issue("alice", "alice", FILES)["Authorization"]
    writer.write(
        f"PUT /files/sha256/{DIGEST} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
        f"Content-Length: {len(CONTENT)}\r\n\r\n".encode()
        + CONTENT[: 2**20]
    )
    await wait_until(lambda: port.shelf.incoming, what="the upload has begun")
    writer.transport.abort()
    await wait_until(lambda: not port.shelf.incoming, what="its part is removed")

    async def nothing_reserved() -> bool:
        return (await port.shelf.tables.usage("alice")).bytes == 0

    await wait_until(nothing_reserved, what="its space is free again")


async def test_damage_breaks_the_answer_off_and_is_reported(port: FilePort) -> None:
    file_id = await port.put(CONTENT)
    (place,) = (file for file in (port.shelf.folder / "blobs").rglob("*") if file.is_file())
    place.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(aiohttp.ClientPayloadError):
        await port.ask("GET", f"/files/{file_id}/content")
    assert any(isinstance(event, IncidentRecorded) for event in port.doors.events)
    again = await port.ask("GET", f"/files/{file_id}/content")
    assert (again.status, again.code) == (500, "file_damaged")
    assert (await port.ask("HEAD", f"/files/sha256/{DIGEST}")).status == 404
    await port.put(CONTENT, subject="bob")
    assert (await port.ask("GET", f"/files/{file_id}/content")).body == CONTENT


async def test_a_download_ends_with_the_token(port: FilePort) -> None:
    large = os.urandom(64 * 2**20)
    file_id = await port.put(large)
    token = port.authenticator.issue("alice", "alice", FILES)
    async with port.http.get(f"{port.url}/files/{file_id}/content", headers=token) as response:
        await response.content.readexactly(2**20)
        port.authenticator.end("alice", "revoked")
        with pytest.raises((aiohttp.ClientPayloadError, asyncio.IncompleteReadError)):
            await response.content.readexactly(len(large) - 2**20)


async def test_damage_is_noticed_by_whoever_reads_a_range_of_what_is_whole(port: FilePort) -> None:
    file_id = await port.put(CONTENT)
    path = f"/files/{file_id}/content"
    place = next((port.shelf.folder / "blobs").glob("??/??/*"))
    place.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    for _ in range(2):
        damaged = await port.ask("GET", path, Range="bytes=0-9")
        assert (damaged.status, damaged.code) == (500, "file_damaged")
    assert (await port.ask("GET", f"/files/{file_id}")).json["damaged"]
    await port.put(CONTENT, name="again.bin")
    whole = await port.ask("GET", path, Range="bytes=0-9")
    assert (whole.status, whole.body) == (206, CONTENT[:10])
    # What changes after it was compared is compared again, as its time is another one.
    place.write_bytes(bytes(len(CONTENT)))
    assert (await port.ask("GET", path, Range="bytes=0-9")).status == 500


async def test_ranges_that_are_read_at_the_same_time_have_the_content_compared_once(
    port: FilePort, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/files/{await port.put(CONTENT)}/content"
    compared: list[str] = []
    sha256 = compared_files._sha256

    def counted(file: OpenFile) -> str:
        compared.append(sha256(file))
        return compared[-1]

    monkeypatch.setattr(compared_files, "_sha256", counted)
    parts = await asyncio.gather(
        *(port.ask("GET", path, Range=f"bytes={at}-{at + 9}") for at in range(0, 200, 10))
    )
    assert b"".join(part.body for part in parts) == CONTENT[:200]
    assert compared == [DIGEST]
