"""Files that `exai connect` carries to its daemon, for a client that knows nothing of it."""

import asyncio
import errno
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters

from exai.auth.scopes import FILES, MODELS
from exai.client.file_carrier import CarryFailed, FileCarrier, open_carrier
from exai.client.tokens import FixedToken
from exai.files.faults import UploadLocked
from exai.storage.database import Database
from exai.storage.files.resumable import ResumableUpload
from exai.tools.listing.entries import ToolDescription
from support.daemons import EXAI, clean_environ
from support.failing_writes import fail_writes
from support.file_ports import FilePort, file_port
from support.foreign_clients import ForeignClient, python_client
from support.scripted_engine import ScriptedEngine
from support.shelves import sha256_of
from support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.sqlite

CONTENT = os.urandom(3 * 2**20 + 11)
SECRET = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"
OBJECT: dict[str, Any] = {"type": "object"}
RESULT = OBJECT | {"properties": {"notes": {"type": "array", "items": {"type": "string"}}}}


@pytest.fixture
async def port(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FilePort]:
    echo = ToolDescription(
        "echo", "Echo", "Echoes.", OBJECT, RESULT, {}, {"exai/file-arguments": ["paths", "picture"]}
    )
    monkeypatch.setattr(ScriptedEngine, "listing", lambda *_: (echo,))
    async with file_port(database, tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "data.bin").write_bytes(CONTENT)
    (folder / "src" / "a.py").write_text("print(1)\n")
    (folder / "src" / "b.py").write_text("print(2)\n")
    (folder / "key.pem").write_text(SECRET)
    (tmp_path / "outside.txt").write_text("outside")
    return folder


def token_of(port: FilePort, *scopes: str) -> str:
    return port.authenticator.issue("alice", "alice", *scopes)["Authorization"].removeprefix("Bearer ")


@asynccontextmanager
async def connected(
    port: FilePort,
    project: Path,
    *options: str,
    mode: str = "legacy",
    scopes: tuple[str, ...] = (FILES, MODELS),
) -> AsyncIterator[ForeignClient]:
    """The official client, before `exai connect` that is started in the project."""
    command, *arguments = EXAI
    server = StdioServerParameters(
        command=command,
        args=[*arguments, "connect", port.doors.ws, *options],
        env=clean_environ(project.parent / "client", {"EXAI_TOKEN": token_of(port, *scopes)}),
        cwd=project,
    )
    version = "2025-11-25" if mode == "legacy" else mode
    async with python_client(server, mode=mode, expected_version=version) as client:
        yield client


async def content_of(port: FilePort, handle: str) -> bytes:
    return (await port.ask("GET", f"/files/{handle}/content")).body


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_paths_arrive_as_handles_and_everything_else_as_it_is(
    port: FilePort, project: Path, mode: str
) -> None:
    same = ["relative.txt", "file_0123", "tree_0123", "exai://files/file_0123", "data:image/png;base64,AA=="]
    async with connected(port, project, "--files", mode=mode) as client:
        given = {
            "paths": [str(project / "data.bin"), (project / "src" / "a.py").as_uri(), *same],
            "picture": str(project / "src"),
            "prompt": f"/not/an/argument {project / 'data.bin'}",
        }
        got = (await client.call("echo", given)).structured["arguments"]
    data, script, *rest = got["paths"]
    assert await content_of(port, data) == CONTENT
    assert await content_of(port, script) == b"print(1)\n"
    entry = (await port.ask("GET", f"/files/{data}")).json
    assert entry["name"] == "data.bin"
    assert rest == same
    assert got["prompt"] == given["prompt"]
    manifest = (await port.ask("GET", f"/files/trees/{got['picture']}/manifest")).body.decode()
    assert [line.split('"')[3] for line in manifest.splitlines()] == ["a.py", "b.py"]


async def test_what_may_not_leave_is_refused_as_a_tool_error_and_stays(port: FilePort, project: Path) -> None:
    (project / "link").symlink_to(project.parent / "outside.txt")
    said = {}
    async with connected(port, project, "--files") as client:
        for name in ("key.pem", "../outside.txt", "../missing.txt", "link", "gone.txt"):
            answer = await client.call("echo", {"paths": [str(project / name)]})
            assert answer.is_error, name
            said[name] = answer.text
        assert not (await client.call("echo", {"paths": [str(project / "src" / "a.py")]})).is_error
    assert "private key" in said["key.pem"]
    assert said["../outside.txt"].replace("outside", "missing") == said["../missing.txt"].replace(
        "outside", "missing"
    )
    assert "--root" in said["../outside.txt"]
    assert "--root" in said["link"]
    assert "does not exist" in said["gone.txt"]
    assert port.shelf.on_disk == {sha256_of(b"print(1)\n")}


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_what_stayed_of_a_folder_is_told_with_its_reason(
    port: FilePort, project: Path, mode: str
) -> None:
    for number in range(12):
        (project / f".env.{number:02}").write_text("KEY=1")
    async with connected(port, project, "--files", mode=mode) as client:
        told = await client.call("echo", {"paths": [str(project)], "picture": str(project)})
        silent = await client.call("echo", {"paths": [str(project / "src")]})
    (note,) = told.structured["notes"]
    assert told.text.startswith(f"Note: {note}\n")
    assert note.startswith(f"Of the folder `{project}`, 13 ")
    assert "`.env.00` (looks as if it held environment secrets); `.env.01`" in note
    assert note.count("`.env") == 10
    assert note.endswith("; and 3 more.")
    assert "notes" not in silent.structured
    assert "Note:" not in silent.text


async def test_further_folders_are_named_by_an_option(port: FilePort, project: Path) -> None:
    outside = project.parent / "outside.txt"
    async with connected(port, project, "--files", "--root", str(project.parent)) as client:
        got = await client.call("echo", {"paths": [str(outside)]})
    assert await content_of(port, got.structured["arguments"]["paths"][0]) == b"outside"


async def test_a_daemon_on_this_machine_reads_files_itself(port: FilePort, project: Path) -> None:
    given = {"paths": [str(project / "data.bin")]}
    async with connected(port, project) as client:
        assert (await client.call("echo", given)).structured["arguments"] == given
    assert port.shelf.on_disk == set()


async def test_a_token_without_the_scope_is_told_what_is_missing(port: FilePort, project: Path) -> None:
    async with connected(port, project, "--files", scopes=(MODELS,)) as client:
        answer = await client.call("echo", {"paths": [str(project / "data.bin")]})
    assert answer.is_error
    assert "`files`" in answer.text


@pytest.fixture
def proxied(port: FilePort) -> TcpProxy:
    return TcpProxy("127.0.0.1", int(port.url.rpartition(":")[2]))


@asynccontextmanager
async def carrier_over(proxy: TcpProxy, port: FilePort, project: Path) -> AsyncIterator[FileCarrier]:
    await proxy.start()
    try:
        tokens = FixedToken(token_of(port, FILES), "")
        async with open_carrier(f"ws://127.0.0.1:{proxy.port}/mcp", tokens, [project]) as carrier:
            yield carrier
    finally:
        await proxy.stop()


async def test_a_file_arrives_whole_over_a_connection_that_is_cut_again_and_again(
    port: FilePort, project: Path, proxied: TcpProxy
) -> None:
    large = random.Random(7).randbytes(24 * 2**20)
    (project / "large.bin").write_bytes(large)
    proxied.cuts_at = [share * 2**20 for share in (3, 9, 15)]
    async with carrier_over(proxied, port, project) as carrier:
        handle = (await carrier.carry({"f": str(project / "large.bin")}, ["f"])).arguments["f"]
    assert proxied.cuts_at == []
    assert await content_of(port, handle) == large


async def test_a_file_whose_upload_is_being_finished_when_its_connection_breaks_is_waited_for(
    port: FilePort, project: Path, proxied: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    finishing, asked, may_finish = asyncio.Event(), asyncio.Event(), asyncio.Event()
    place, look = port.shelf.shelf.place, port.shelf.uploads.look

    async def place_later(*arguments: Any) -> None:
        finishing.set()
        await may_finish.wait()
        await place(*arguments)

    async def note_locked(owner: str, upload_id: str) -> ResumableUpload:
        try:
            return await look(owner, upload_id)
        except UploadLocked:
            asked.set()
            raise

    monkeypatch.setattr(port.shelf.shelf, "place", place_later)
    monkeypatch.setattr(port.shelf.uploads, "look", note_locked)
    async with carrier_over(proxied, port, project) as carrier:
        carrying = asyncio.ensure_future(carrier.carry({"f": str(project / "data.bin")}, ["f"]))
        await finishing.wait()
        proxied.cut()
        await asked.wait()
        may_finish.set()
        handle = (await carrying).arguments["f"]
    assert await content_of(port, handle) == CONTENT


async def test_a_content_that_is_there_is_not_sent_again_and_a_changed_one_is(
    port: FilePort, project: Path, proxied: TcpProxy
) -> None:
    file = project / "data.bin"
    async with carrier_over(proxied, port, project) as carrier:
        first = (await carrier.carry({"f": str(file)}, ["f"])).arguments["f"]
        assert (await carrier.carry({"f": str(file)}, ["f"])).arguments["f"] == first
        file.write_bytes(CONTENT[::-1])
        other = (await carrier.carry({"f": str(file)}, ["f"])).arguments["f"]
        assert await content_of(port, other) == CONTENT[::-1]


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (
            None,
            {"file_too_large": "`files.max_upload_bytes`", "file_quota_exceeded": "`files.max_owner_bytes`"},
        ),
        (errno.ENOSPC, {"store_full": "`files.keep_free_bytes`"}),
        (errno.EROFS, {"store_unavailable": "try again later"}),
    ],
)
async def test_what_the_daemon_cannot_take_is_told_with_its_limit(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int | None,
    named: dict[str, str],
) -> None:
    monkeypatch.setattr("exai.client.stored_files.PATIENCE_S", 0.0)
    sizes = {"file_too_large": 1_001, "file_quota_exceeded": 900, "store_full": 800, "store_unavailable": 800}
    async with file_port(database, tmp_path / "store", max_upload_bytes=1_000, max_owner_bytes=1_500) as port:
        await port.put(b"x" * 700)
        if code is not None:
            fail_writes(monkeypatch, code)
        tokens = FixedToken(token_of(port, FILES), "")
        async with open_carrier(port.doors.ws, tokens, [tmp_path]) as carrier:
            for fault, setting in named.items():
                (tmp_path / "file.bin").write_bytes(os.urandom(sizes[fault]))
                with pytest.raises(CarryFailed, match=setting) as failed:
                    await carrier.carry({"f": str(tmp_path / "file.bin")}, ["f"])
                assert (failed.value.code, failed.value.retryable) == (fault, fault == "store_unavailable")


async def test_a_daemon_that_is_away_is_a_refusal_that_may_be_tried_again(
    port: FilePort, project: Path, proxied: TcpProxy
) -> None:
    async with carrier_over(proxied, port, project) as carrier:
        proxied.refuses = True
        with pytest.raises(CarryFailed) as failed:
            await carrier.carry({"f": str(project / "data.bin")}, ["f"])
    assert failed.value.retryable
