"""How requests for stored files are refused: one form, with the limit and what to do, on a real port."""

import base64
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from exai.errors import StoreFailed
from exai.storage.database import Database
from support.failing_writes import fail_writes
from support.file_ports import FilePort, Reply, file_port
from support.shelves import sha256_of

pytestmark = pytest.mark.sqlite

NOBODYS = f"file_{'0' * 32}"
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[FilePort]:
    async with file_port(
        database, tmp_path / "files", max_upload_bytes=1_000, max_owner_bytes=1_500
    ) as opened:
        yield opened


def assert_form(reply: Reply, status: int, code: str, *, retryable: bool = False) -> str:
    """Check the form of a refusal, and return its sentence."""
    assert (reply.status, reply.headers["x-content-type-options"]) == (status, "nosniff")
    assert reply.headers["content-type"] == "application/json"
    error = reply.json["error"]
    message: str = error.pop("message")
    assert error == {"code": code, "retryable": retryable}
    assert ("retry-after" in reply.headers) is retryable
    return message


def form_of(content: bytes) -> bytes:
    return FORM + content + b"\r\n--b--\r\n"


async def post(port: FilePort, path: str, body: bytes) -> Reply:
    return await port.ask("POST", path, body=body, Content_Type="multipart/form-data; boundary=b")


async def test_every_refusal_has_one_form(port: FilePort) -> None:
    kept = await port.put(b"kept")
    content = f"/files/{kept}/content"
    for method, path, headers, status, code in (
        ("GET", f"/files/{NOBODYS}", {}, 404, "unknown_file"),
        ("DELETE", f"/files/{NOBODYS}", {}, 404, "unknown_file"),
        ("GET", f"/files/{NOBODYS}/content", {}, 404, "unknown_file"),
        ("GET", f"/files/{NOBODYS}/text", {}, 404, "unknown_file"),
        ("GET", f"/files/{NOBODYS}/proof", {}, 404, "unknown_file"),
        ("GET", f"/files?after={NOBODYS}", {}, 404, "unknown_file"),
        ("GET", "/files/trees/tree_x", {}, 404, "unknown_tree"),
        ("DELETE", "/files/trees/tree_x", {}, 404, "unknown_tree"),
        ("GET", "/files/trees/tree_x/manifest", {}, 404, "unknown_tree"),
        ("GET", "/files/trees/tree_x/content?path=a", {}, 404, "unknown_tree"),
        ("GET", "/files/trees/tree_x/content", {}, 400, "bad_arguments"),
        ("GET", "/files/trees?after=tree_x", {}, 404, "unknown_tree"),
        ("GET", "/files/trees?manifest=x", {}, 400, "bad_arguments"),
        ("GET", f"/files/{kept}/text?from=0", {}, 400, "bad_arguments"),
        ("GET", f"/files/{kept}/text?to={'9' * 4_400}", {}, 400, "bad_arguments"),
        ("GET", f"/files?limit={'9' * 4_400}", {}, 400, "bad_arguments"),
        ("GET", content, {"Range": "bytes=4-"}, 416, "range_behind_end"),
        ("GET", content, {"Range": f"bytes={'9' * 4_400}-"}, 416, "range_behind_end"),
        ("POST", "/files", {"Tus-Resumable": "0.2"}, 412, "tus_version"),
        ("POST", "/files", {"Tus-Resumable": "1.0.0"}, 400, "bad_arguments"),
        ("PUT", "/files/sha256/x", {}, 400, "bad_arguments"),
        ("PUT", content, {}, 405, "method_not_allowed"),
        ("DELETE", "/files", {}, 405, "method_not_allowed"),
    ):
        reply = await port.ask(method, path, **headers)
        if code == "method_not_allowed":
            assert reply.headers["allow"] in assert_form(reply, status, code)
        else:
            assert_form(reply, status, code)
    late = await port.ask("GET", content, Range=f"bytes=1-{'9' * 4_400}")
    assert (late.status, late.body) == (206, b"ept")
    assert (await port.ask("GET", f"/files?after=exai://files/{kept}")).json == {"files": [], "next": None}


async def test_whose_token_is_none_is_refused_in_the_same_form(port: FilePort) -> None:
    bad = {"Authorization": "Bearer nonsense"}
    async with aiohttp.ClientSession(headers=bad) as http, http.get(port.url + "/files") as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"], error["retryable"]) == (401, "unauthenticated", False)


async def test_limits_are_named_with_their_settings_by_every_way_in(port: FilePort) -> None:
    large = b"x" * 70_000
    digest = sha256_of(large)
    ticket = await port.shelf.tickets.issue("alice", None, None, None)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1001"}
    for reply in (
        await port.ask("PUT", f"/files/sha256/{digest}", body=large),
        await post(port, "/files", form_of(large)),
        await post(port, "/files", form_of(b"x" * 1_001)),
        await port.ask("POST", "/files", **{name.replace("-", "_"): value for name, value in tus.items()}),
        await post(port, ticket.path, form_of(large)),
        await post(port, ticket.path, form_of(b"x" * 1_001)),
    ):
        message = assert_form(reply, 413, "file_too_large")
        assert "1000 bytes" in message
        assert "`files.max_upload_bytes`" in message
    await port.put(b"y" * 1_000)
    for reply in (
        await port.ask("PUT", f"/files/sha256/{sha256_of(b'z' * 501)}", body=b"z" * 501),
        await post(port, "/files", form_of(b"z" * 501)),
        await port.ask("POST", "/files", Tus_Resumable="1.0.0", Upload_Length="501"),
    ):
        message = assert_form(reply, 413, "file_quota_exceeded")
        assert "`files.max_owner_bytes`" in message
    assert port.shelf.incoming == []


async def test_what_passes_says_when_to_ask_again(port: FilePort, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await port.put(b"kept")

    monkeypatch.setattr(port.shelf.shelf, "_tables", _Failing(port.shelf.shelf._tables))
    for reply in (
        await port.ask("PUT", f"/files/sha256/{sha256_of(b'z')}", body=b"z"),
        await post(port, "/files", form_of(b"z")),
    ):
        assert_form(reply, 503, "store_failed", retryable=True)
        assert reply.headers["retry-after"] == "5"
    read = await port.ask("GET", f"/files/{kept}/content")
    assert (read.status, read.body) == (200, b"kept"), "what is there can be read"


class _Failing:
    """Tables that take no writes."""

    def __init__(self, tables: object) -> None:
        self._tables = tables

    def __getattr__(self, name: str) -> object:
        if name in {"reserve", "link", "claim", "commit"}:
            return _no_write
        return getattr(self._tables, name)


async def _no_write(*_: object, **__: object) -> None:
    raise StoreFailed("The database takes no writes now.")


@pytest.mark.parametrize(
    ("code", "status", "named"), [(errno.ENOSPC, 507, "store_full"), (errno.EROFS, 503, "store_unavailable")]
)
async def test_a_disk_that_takes_nothing_is_told_by_every_way_in_and_can_be_read(
    port: FilePort, monkeypatch: pytest.MonkeyPatch, code: int, status: int, named: str
) -> None:
    kept = await port.put(b"kept")
    ticket = await port.shelf.tickets.issue("alice", None, None, None)
    begun = await port.ask("POST", "/files", Tus_Resumable="1.0.0", Upload_Length="3")
    chunk = {
        "Tus_Resumable": "1.0.0",
        "Upload_Offset": "0",
        "Content_Type": "application/offset+octet-stream",
    }
    with monkeypatch.context() as broken:
        fail_writes(broken, code)
        for reply in (
            await port.ask("PUT", f"/files/sha256/{sha256_of(b'z')}", body=b"z"),
            await post(port, "/files", form_of(b"z")),
            await post(port, ticket.path, form_of(b"z")),
            await port.ask("PATCH", begun.headers["location"], body=b"abc", **chunk),
        ):
            assert_form(reply, status, named, retryable=status == 503)
        assert (await port.ask("GET", f"/files/{kept}/content")).body == b"kept"
        assert port.shelf.incoming == []
    assert (await port.ask("PATCH", begun.headers["location"], body=b"abc", **chunk)).status == 204


async def test_a_list_does_not_end_early_where_its_last_file_was_removed(port: FilePort) -> None:
    ids = []
    for number in range(3):
        ids.append(await port.put(str(number).encode(), f"{number}.txt"))
        port.shelf.clock.advance(1)
    first = (await port.ask("GET", "/files?limit=2")).json
    assert first["next"] == ids[1]
    await port.ask("DELETE", f"/files/{ids[1]}")
    second = (await port.ask("GET", f"/files?limit=2&after={ids[1]}")).json
    assert [file["id"] for file in second["files"]] == [ids[0]]
    await port.ask("DELETE", f"/files/{ids[0]}")
    assert (await port.ask("GET", f"/files?after={ids[0]}")).json == {"files": [], "next": None}
    message = assert_form(await port.ask("GET", f"/files?after={NOBODYS}"), 404, "unknown_file")
    assert "from the beginning" in message
    foreign = await port.ask("GET", f"/files?after={ids[0]}", "bob")
    unknown = await port.ask("GET", f"/files?after={NOBODYS}", "bob")
    assert (foreign.status, foreign.body) == (unknown.status, unknown.body)


async def test_a_checksum_that_is_none_is_refused_in_the_same_form(port: FilePort) -> None:
    metadata = f"filename {base64.b64encode(b'a').decode()}"
    begun = await port.ask(
        "POST", "/files", Tus_Resumable="1.0.0", Upload_Length="3", Upload_Metadata=metadata
    )
    place = begun.headers["location"]
    chunk = {"Tus_Resumable": "1.0.0", "Content_Type": "application/offset+octet-stream"}
    for headers, status, code in (
        ({"Upload_Offset": "1"}, 409, "wrong_offset"),
        ({"Upload_Offset": "0", "Upload_Checksum": "md5 eA=="}, 400, "bad_arguments"),
        (
            {"Upload_Offset": "0", "Upload_Checksum": f"sha1 {base64.b64encode(b'x' * 20).decode()}"},
            460,
            "checksum_differs",
        ),
    ):
        assert_form(await port.ask("PATCH", place, body=b"abc", **chunk, **headers), status, code)
    assert_form(
        await port.ask("PATCH", place, body=b"abc", Tus_Resumable="1.0.0", Upload_Offset="0"),
        415,
        "bad_request",
    )
