"""`exai files`: stored files from the terminal, with a running daemon and without."""

import asyncio
import errno
import json
import os
import pty
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.errors import StartFault
from support.daemons import EXAI, StartDaemon, clean_environ, free_port
from support.failing_writes import fail_writes

CONTENT = os.urandom(3 * 2**20 + 17)


@dataclass(frozen=True)
class Files:
    """The commands, on one store."""

    options: tuple[str, ...]

    async def run(self, *arguments: str) -> Result:
        """Run one in a thread, while a daemon may answer in this one's loop."""
        command = ["files", *arguments, *self.options]
        return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), command))

    async def json(self, *arguments: str) -> Any:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def unfinished(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".*.part")]


@pytest.fixture(params=["daemon", "data folder"])
async def files(
    request: pytest.FixtureRequest, data_dir: Path, tmp_path: Path, start_daemon: StartDaemon
) -> AsyncIterator[Files]:
    if request.param == "data folder":
        yield Files(("--set", f"server.port={free_port()}"))
        return
    async with start_daemon() as daemon:
        yield Files(("--url", daemon.mcp_ws))


async def test_a_file_comes_back_as_it_was_put(files: Files, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    put = await files.run("put", "data.bin")
    assert put.exit_code == 0, put.stderr
    file_id, size, unit, kind, name = put.stdout.split()
    assert (size, unit, kind, name) == ("3.0", "MiB", "binary", "data.bin")
    (tmp_path / "data.bin").unlink()
    got = await files.run("get", file_id)
    assert (got.exit_code, got.stderr) == (0, "")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    out = await files.run("get", file_id, "-o", "-")
    assert out.stdout_bytes == CONTENT
    assert unfinished(tmp_path) == []


async def test_files_are_listed_described_and_removed(files: Files, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    stored = (await files.json("put", "a.txt", "b.txt", "c.txt"))["files"]
    again = (await files.json("put", "b.txt"))["files"]
    assert again == [stored[1]]
    assert (await files.json("ls")) == {"files": stored[::-1], "next": None}
    first = await files.json("ls", "--most", "2")
    assert (first["files"], first["next"]) == (stored[:0:-1], stored[1]["id"])
    assert (await files.run("ls", "--most", "1")).stdout.endswith("There are more; --most shows them.\n")
    shown = await files.json("show", stored[0]["id"])
    assert {name: shown[name] for name in stored[0]} == stored[0]
    assert shown["copies"] == []
    described = (await files.run("show", stored[0]["id"])).stdout
    assert "sha256      " in described
    assert "copies      none\n" in described
    assert f"references  file {stored[0]['id']}\n" in described
    removed = await files.json("rm", stored[0]["id"], f"exai://files/{stored[1]['id']}")
    assert [answer["removed"] for answer in removed["files"]] == [True, True]
    assert (await files.json("ls"))["files"] == [stored[2]]


async def test_a_text_is_printed_by_lines(files: Files, tmp_path: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(1, 4_501))
    (tmp_path / "long.txt").write_text(text)
    (tmp_path / "data.bin").write_bytes(CONTENT)
    long, binary = (file["id"] for file in (await files.json("put", "long.txt", "data.bin"))["files"])
    whole = (await files.run("read", long)).stdout.splitlines()
    assert (len(whole), whole[0], whole[-1]) == (4_500, "   1│line 1", "4500│line 4500")
    assert (
        await files.run("read", long, "--lines", "2000-2001")
    ).stdout == "2000│line 2000\n2001│line 2001\n"
    assert (await files.run("read", long, "--lines", "7")).stdout == "   7│line 7\n"
    assert (await files.run("read", long, "--lines", "4500-")).stdout == "4500│line 4500\n"
    page = await files.json("read", long, "--lines", "1-4000")
    assert (page["from"], page["to"], page["lines"], page["next"]) == (1, 4_000, 4_500, None)
    assert page["text"].splitlines() == whole[:4_000]
    refused = await files.run("read", binary)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "no text" in refused.stderr
    for wrong in ("x", "0", "5-2"):
        assert (await files.run("read", long, "--lines", wrong)).exit_code == 2


async def test_every_command_takes_the_address_of_a_file(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    file_id = (await files.json("put", "a.txt"))["files"][0]["id"]
    address = f"exai://files/{file_id}"
    assert (await files.json("show", address))["id"] == file_id
    assert (await files.json("proof", address))["id"] == file_id
    assert (await files.run("get", address, "-o", "-")).stdout == "one\ntwo\nthree\n"
    assert "two" in (await files.run("read", f"{address}/lines/2-2")).stdout
    assert "one" not in (await files.run("read", f"{address}/lines/2-2")).stdout
    assert "three" in (await files.run("read", f"{address}/lines/2-2", "--lines", "3")).stdout
    part = await files.run("rm", f"{address}/lines/2-2")
    assert (part.exit_code, "the whole of it" in part.stderr) == (2, True)
    assert (await files.json("rm", address))["files"] == [{"id": file_id, "removed": True, "pending": []}]


async def test_what_cannot_be_done_is_told_and_the_rest_is_done(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    os.mkfifo(tmp_path / "pipe")
    put = await files.run("put", "missing.txt", ".", "pipe", "a.txt")
    assert put.exit_code == 1
    assert put.stdout.endswith("a.txt\n")
    for said in ("missing.txt cannot be read", ". is a folder", "pipe is no regular file"):
        assert said in put.stderr
    file_id = put.stdout.split()[0]
    wrong = ("file_unknown", "../a", "..", "", "trees/tree_unknown", "exai://files/file_unknown")
    removed = await files.run("rm", *wrong, file_id)
    assert (removed.exit_code, removed.stdout) == (1, f"{file_id}  removed\n")
    assert removed.stderr.count("You have no file with this id") == len(wrong)
    for command in ("show", "get"):
        unknown = await files.run(command, file_id)
        assert (unknown.exit_code, unknown.stdout) == (1, "")
        assert "You have no file with this id" in unknown.stderr


async def test_limits_of_the_store_are_named_and_leave_nothing(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = ("files.max_upload_bytes=1000", "files.max_owner_bytes=1500", f"server.port={free_port()}")
    files = Files(tuple(word for each in limits for word in ("--set", each)))
    for name, size in (("large.bin", 1_001), ("first.bin", 1_000), ("second.bin", 501), ("third.bin", 300)):
        (tmp_path / name).write_bytes(os.urandom(size))
    refused = await files.run("put", "large.bin", "first.bin", "second.bin")
    assert refused.exit_code == 1
    assert refused.stdout.endswith("first.bin\n")
    for setting in (
        "large.bin: One file may have 1000 bytes (`files.max_upload_bytes`)",
        "`files.max_owner_bytes`",
    ):
        assert setting in refused.stderr
    for code, said in ((errno.ENOSPC, "`files.keep_free_bytes`"), (errno.EROFS, "try again later")):
        with monkeypatch.context() as broken:
            fail_writes(broken, code)
            failed = await files.run("put", "third.bin")
        assert (failed.exit_code, said in failed.stderr) == (1, True), failed.output
    assert [file["name"] for file in (await files.json("ls"))["files"]] == ["first.bin"]
    assert (await files.run("put", "third.bin")).exit_code == 0


async def test_a_file_that_is_there_is_kept_unless_it_is_named(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("stored")
    file_id = (await files.json("put", "a.txt", "--name", "../b.txt"))["files"][0]["id"]
    (tmp_path / "b.txt").write_text("mine")
    refused = await files.run("get", file_id)
    assert isinstance(refused.exception, StartFault)
    assert (tmp_path / "b.txt").read_text() == "mine"
    assert (await files.json("get", file_id, "-o", "b.txt"))["path"] == "b.txt"
    assert (tmp_path / "b.txt").read_text() == "stored"
    nowhere = await files.run("get", file_id, "-o", "no/such/folder")
    assert isinstance(nowhere.exception, StartFault)
    assert "cannot be written" in str(nowhere.exception)


async def test_contents_without_a_file_are_collected_after_a_dry_run(
    files: Files, data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("unneeded")
    (file,) = (await files.json("put", "a.txt"))["files"]
    await files.json("rm", file["id"])
    own = Files(())
    kept = {"contents": 0, "bytes": 0, "waiting": 1, "waiting_bytes": 8}
    assert await own.json("gc") == {"dry_run": False, **kept}
    due = ("--set", "files.grace_hours=0")
    would = await own.run("gc", "--dry-run", *due)
    assert would.stdout == "Would delete: 1 content, 8 B.\n"
    blobs = data_dir / "files" / "blobs"
    assert [path.name for path in blobs.rglob("*") if path.is_file()] == [file["sha256"]]
    assert (await own.run("gc", *due)).stdout == "Deleted: 1 content, 8 B.\n"
    assert [path for path in blobs.rglob("*") if path.is_file()] == []


async def test_a_running_daemon_is_found_by_itself(
    start_daemon: StartDaemon, data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    async with start_daemon(EXAI_FILES__MAX_UPLOAD_BYTES="3"):
        (tmp_path / "large.txt").write_text("large")
        stored = await Files(()).run("put", "a.txt", "large.txt")
    assert stored.exit_code == 1
    assert stored.stdout.endswith("a.txt\n")
    assert "3 bytes" in stored.stderr


async def test_files_behind_tokens_take_the_token_of_the_environment_and_its_scope(
    start_daemon: StartDaemon, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("a")
    required = ("--set", "auth.mode=required")

    async def key(subject: str, scope: str) -> str:
        command = ["token", "create", subject, "--key", "--scope", scope, "--json", *required]
        made = await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), command))
        assert made.exit_code == 0, repr(made.exception)
        token: str = json.loads(made.stdout)["access_token"]
        return token

    alice, nobody = await key("alice", "files"), await key("nobody", "tools:models")
    async with start_daemon(EXAI_AUTH__MODE="required") as daemon:
        files = Files(("--url", daemon.mcp_ws))
        refused = await files.run("ls")
        assert isinstance(refused.exception, StartFault)
        assert "exai token create" in str(refused.exception)
        monkeypatch.setenv("EXAI_TOKEN", nobody)
        forbidden = await files.run("put", "a.txt")
        assert (forbidden.exit_code, forbidden.stdout) == (1, "")
        assert "files" in forbidden.stderr
        monkeypatch.setenv("EXAI_TOKEN", alice)
        (file,) = (await files.json("put", "a.txt"))["files"]
    without_daemon = ("--set", f"server.port={free_port()}", *required)
    assert isinstance((await Files(without_daemon).run("ls")).exception, StartFault)
    assert (await Files((*without_daemon, "--owner", "alice")).json("ls"))["files"] == [file]
    assert (await Files((*without_daemon, "--owner", "bob")).json("ls"))["files"] == []


@pytest.mark.usefixtures("data_dir")
async def test_a_daemon_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    result = await Files(("--url", f"ws://127.0.0.1:{free_port()}/mcp")).run("put", "a.txt")
    assert isinstance(result.exception, StartFault)
    assert "does not answer" in str(result.exception)


async def test_a_terminal_sees_how_far_a_transfer_is(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    terminal, inside = pty.openpty()
    environ = {"EXAI_SERVER__PORT": str(free_port()), "TERM": "xterm"}
    process = await asyncio.create_subprocess_exec(
        *EXAI,
        *("files", "put", "data.bin"),
        stdout=asyncio.subprocess.PIPE,
        stderr=inside,
        env=clean_environ(tmp_path / "data", environ),
        cwd=tmp_path,
    )
    os.close(inside)
    out, _ = await process.communicate()
    shown = await asyncio.to_thread(os.read, terminal, 65_536)
    os.close(terminal)
    assert process.returncode == 0, shown
    assert out.decode().rstrip().endswith("data.bin")
    assert b"100%" in shown
