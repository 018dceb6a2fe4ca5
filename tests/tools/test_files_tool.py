"""`files`: one's own stored files, through the registry, on both databases."""

import errno
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import jsonschema
import msgspec
import pytest

from exai.callers import Caller, Door
from exai.errors import BadArguments, ExaiError, FileRefused
from exai.files.faults import (
    FileTooLarge,
    NoText,
    QuotaExceeded,
    SecretFound,
    StoreFull,
    StoreUnavailable,
    UnknownFile,
)
from exai.files.heavy_work import HeavyWork
from exai.files.paths.storing import PathStore
from exai.files.secrets.checks import SecretCheck
from exai.files.secrets.scanner import SecretScanner
from exai.providers.remote_files.stored_source import StoredSource
from exai.storage.database import Database
from exai.storage.files.copy_rows import Method
from exai.storage.files.scans import ScanTable
from exai.tools.envelope import answer_of
from exai.tools.files import Files, FileServices
from exai.tools.registry import Registry
from support.document_parts import docx_of
from support.drawn_pictures import drawn
from support.failing_writes import fail_writes
from support.shelves import OpenShelf, sha256_of

BLOCKS = os.urandom(2**21 + 5)


class Sent:
    """Takes what would go to a provider."""

    def __init__(self) -> None:
        self.copies: list[tuple[str, str, str, str]] = []

    def check(self, source: StoredSource, to: str, purpose: str) -> None:
        assert source.size, (to, purpose)

    async def copy(
        self, owner: str, source: StoredSource, to: str, purpose: str, method: Method, *, deadline: float
    ) -> Any:
        assert (method, deadline) == (Method.GATEWAY, 1e9)
        self.copies.append((owner, to, purpose, source.suffix))
        return SimpleNamespace(file_id=f"{to}-1")


class FileTool:
    """The tool, over a folder whose files may be named."""

    def __init__(self, database: Database, folder: Path, **settings: object) -> None:
        self.folder = folder / "work"
        self.folder.mkdir(exist_ok=True)
        self.shelf = OpenShelf(database, folder / "files", **{"roots": (self.folder,), **settings})
        work = HeavyWork(self.shelf.settings)
        paths = PathStore(self.shelf.shelf, self.shelf.settings, work)
        self.remote = Sent()
        remote: Any = self.remote
        services = FileServices(
            self.shelf.shelf,
            paths,
            self.shelf.text,
            self.shelf.tickets,
            remote,
            SecretCheck(
                self.shelf.settings,
                self.shelf.text,
                ScanTable(database),
                SecretScanner(uses_kingfisher=False),
                self.shelf.clock,
            ),
            "http://localhost:8079",
        )
        self.tool = Files(services).tool()
        self._registry = Registry([self.tool])

    def file(self, name: str, content: bytes = b"content") -> str:
        """Write a file that may be named; its path."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def scopes_of(self, arguments: Mapping[str, Any]) -> Sequence[str]:
        """What a caller needs for a call."""
        return self._registry.find("files", arguments).scopes

    async def answer(
        self, subject: str = "alice", /, tool: str = "files", door: Door = Door.HTTP, **arguments: Any
    ) -> Any:
        """Call it; the whole answer, which fits its schema."""
        caller = Caller(subject=subject, door=door)
        invocation = self._registry.find(tool, arguments)
        context: Any = SimpleNamespace(
            caller=caller, ask=SimpleNamespace(terms=SimpleNamespace(deadline=1e9))
        )
        answer = answer_of(await self.tool.run(invocation.arguments(), context))  # type: ignore[arg-type]
        jsonschema.validate(answer.structured, self._registry.listing[0].output_schema or {})
        return answer

    async def __call__(self, subject: str = "alice", /, **arguments: Any) -> Mapping[str, Any]:
        structured: Mapping[str, Any] = (await self.answer(subject, **arguments)).structured
        return structured


@pytest.fixture
def files(database: Database, tmp_path: Path) -> FileTool:
    return FileTool(database, tmp_path)


async def test_a_file_is_put_by_its_path_once_and_described(files: FileTool) -> None:
    path = files.file("data.bin", BLOCKS)
    put = await files(action="put", path=path)
    assert next(iter(put)) == "id", "what the next step needs stands first"
    assert put == {"id": put["id"], "name": "data.bin", "bytes": len(BLOCKS), "kind": "binary"}
    assert await files.shelf.read("alice", put["id"]) == BLOCKS
    assert await files(action="put", path=f"file://{path}") == put
    shown = await files(action="show", id=f"exai://files/{put['id']}")
    assert {name: shown[name] for name in put} == put
    assert shown["sha256"] == sha256_of(BLOCKS)
    assert await files(action="put", path=put["id"]) == put, "as `exai connect` names what it has sent"
    renamed = await files(action="put", path=path, name="other.bin")
    assert renamed["id"] != put["id"]
    assert files.shelf.on_disk == {sha256_of(BLOCKS)}


async def test_the_list_is_ones_own_in_pages_and_costs_little(files: FileTool) -> None:
    for number in range(25):
        await files(action="put", path=files.file(f"{number}.txt", str(number).encode()))
        files.shelf.clock.advance(1)
    first = await files(action="list")
    assert [file["name"] for file in first["files"]] == [f"{number}.txt" for number in range(24, 4, -1)]
    rest = await files(action="list", id=first["next"])
    assert [file["name"] for file in rest["files"]] == [f"{number}.txt" for number in range(4, -1, -1)]
    assert "next" not in rest
    assert await files("bob", action="list") == {"files": []}
    text = (await files.answer(action="list")).text
    assert text.splitlines()[0] == f"{first['files'][0]['id']} 24.txt (text, 2 bytes)"
    assert text.splitlines()[-1] == f"There are more: list with id {first['next']}."


async def test_a_copy_is_placed_at_a_provider_on_purpose(files: FileTool) -> None:
    notes = await files(action="put", path=files.file("notes.md", b"three herons"))
    sent = await files(action="send", id=notes["id"], provider="kimi")
    assert sent == {**notes, "sent_to": "kimi", "provider_id": "kimi-1"}
    await files(action="send", id=notes["id"], provider="glm")
    await files(action="send", id=notes["id"], provider="kimi", purpose="batch")
    await files(action="put", path=files.file("dot.png", drawn("png", 4, 4)), provider="kimi")
    assert files.remote.copies == [
        ("alice", "kimi", "file-extract", "md"),
        ("alice", "glm", "user_data", "md"),
        ("alice", "kimi", "batch", "md"),
        ("alice", "kimi", "image", "png"),
    ]
    with pytest.raises(BadArguments, match="needs `provider`"):
        await files(action="send", id=notes["id"])
    with pytest.raises(UnknownFile):
        await files("bob", action="send", id=notes["id"], provider="kimi")
    secret = await files.shelf.put("alice", "a.txt", b"exk_0123456789abcdef_" + b"x" * 43)
    with pytest.raises(FileRefused, match="a token"):
        await files(action="send", id=secret, provider="kimi")
    forge = await files.shelf.put("alice", "b.txt", b"token = 'ghp_" + b"aB3" * 12 + b"'")
    with pytest.raises(SecretFound):
        await files(action="send", id=forge, provider="kimi")
    packed = await files.shelf.put("alice", "c.docx", docx_of("one", "AKIAABCDEFGH23456723"))
    with pytest.raises(SecretFound, match=r"aws-access-key, in line 2 of its text"):
        await files(action="send", id=packed, provider="kimi")
    assert len(files.remote.copies) == 4
    for each in (secret, forge, packed):
        await files(action="send", id=each, provider="kimi", send_secrets=True)
    assert len(files.remote.copies) == 7


@pytest.mark.parametrize("tool", ["files", "glm_upload_file"])
async def test_a_file_that_is_stored_and_not_sent_is_named(tool: str, files: FileTool) -> None:
    path = files.file("a.txt", b"token = 'ghp_" + b"aB3" * 12 + b"'")
    given: dict[str, Any] = {"action": "put", "provider": "glm"} if tool == "files" else {}
    with pytest.raises(SecretFound, match=r"files:secrets`\. Stored all the same: file_") as caught:
        await files.answer(tool=tool, path=path, **given)
    (row,) = await files.shelf.shelf.newest("alice", 5)
    assert str(caught.value).endswith(f" {row.file_id}.")
    with pytest.raises(FileRefused, match=row.file_id):
        await files(action="put", paths=[path, str(files.folder / "no such.txt")])


def test_secrets_are_sent_for_whoever_has_the_scope(files: FileTool) -> None:
    wanted = {"action": "send", "id": "file_0", "provider": "kimi", "send_secrets": True}
    assert set(files.scopes_of(wanted)) == {"files", "tools:models", "files:secrets"}


async def test_over_stdio_no_address_is_named(files: FileTool) -> None:
    file_id = (await files(action="put", path=files.file("a.txt")))["id"]
    shown = await files.answer(door=Door.STDIO, action="show", id=file_id)
    assert "address" not in shown.structured
    assert "http" not in shown.text
    with pytest.raises(BadArguments, match="no address to upload to"):
        await files.answer(door=Door.STDIO, action="authorize")


async def test_a_ticket_makes_a_command_that_uploads(files: FileTool) -> None:
    made = await files(action="authorize", path='/tmp/a "b".txt', bytes=5, sha256=sha256_of(b"hello"))
    words = shlex.split(made["command"])
    assert words[:4] == ["curl", "-fsS", "-F", 'file=@"/tmp/a \\"b\\".txt"']
    base, _, secret = words[4].rpartition("/")
    assert base == "http://localhost:8079/files/tickets"
    ticket = await files.shelf.tickets.find(secret)
    assert (ticket.owner, ticket.bytes, ticket.sha256) == ("alice", 5, sha256_of(b"hello"))
    assert "curl" in (await files.answer(action="authorize")).text


async def test_what_a_bridge_has_stored_on_the_way_is_the_file(files: FileTool) -> None:
    stored = await files(action="put", path=files.file("a.txt"))
    assert await files(action="authorize", path=stored["id"]) == stored
    other = await files(action="put", path=stored["id"], name="b.txt")
    assert (other["name"], other["id"] != stored["id"]) == ("b.txt", True)
    for action in ("put", "authorize"):
        with pytest.raises(BadArguments, match="is a snapshot of a folder"):
            await files(action=action, path=f"tree_{'0' * 32}")


@pytest.mark.parametrize(
    ("name", "arguments", "outcome"),
    [
        ("kimi_upload_files", {"files": ["a.txt", "b.txt"], "purpose": "file-extract"}, ["a.txt", "b.txt"]),
        ("kimi_upload_files", {"files": "a.txt", "purpose": "assistants"}, "a.txt"),
        ("glm_upload_file", {"file": "a.txt", "purpose": "agent"}, "a.txt"),
        ("supabase_upload", {"file_path": "a.txt", "bucket": "user-files"}, "a.txt"),
    ],
)
async def test_older_names_upload(
    files: FileTool, name: str, arguments: dict[str, Any], outcome: str | list[str]
) -> None:
    for each in ("a.txt", "b.txt"):
        files.file(each, each.encode())
    argument = next(iter(arguments))
    given = arguments[argument]
    paths = [str(files.folder / each) for each in given] if isinstance(given, list) else files.folder / given
    answer = await files.answer(
        tool=name, **{**arguments, argument: paths if isinstance(paths, list) else str(paths)}
    )
    found = answer.structured
    assert outcome == ([file["name"] for file in found["files"]] if "files" in found else found["name"])
    sent = [(to, purpose) for _, to, purpose, _ in files.remote.copies]
    count = 2 if isinstance(outcome, list) else 1
    expected = {"kimi_upload_files": ("kimi", "file-extract"), "glm_upload_file": ("glm", "agent")}
    assert sent == ([expected[name]] * count if name in expected else [])


@pytest.mark.parametrize("name", ["smart_file_download", "supabase_download"])
async def test_older_names_of_downloads_say_where_the_bytes_are(files: FileTool, name: str) -> None:
    file_id = (await files(action="put", path=files.file("a.txt")))["id"]
    shown = (await files.answer(tool=name, file_id=file_id)).structured
    assert shown["address"] == f"http://localhost:8079/files/{file_id}/content"
    with pytest.raises(BadArguments, match="exai files get ID -o FILE"):
        await files.answer(tool=name, file_id=file_id, destination="/tmp/a")


async def test_the_older_name_of_management_lists_and_deletes_and_cleans_nothing(files: FileTool) -> None:
    file_id = (await files(action="put", path=files.file("a.txt")))["id"]

    async def manage(**arguments: Any) -> Any:
        return (await files.answer(tool="kimi_manage_files", **arguments)).structured

    assert [file["id"] for file in (await manage(operation="list", limit=50))["files"]] == [file_id]
    for operation in ("cleanup_all", "cleanup_orphaned", "cleanup_expired"):
        with pytest.raises(BadArguments, match="exai files gc --dry-run"):
            await manage(operation=operation, dry_run=True)
    with pytest.raises(BadArguments, match="dry_run"):
        await manage(operation="delete", file_id=file_id, dry_run=True)
    assert (await manage(operation="delete", file_id=file_id, dry_run=False))["removed"]


async def test_a_text_is_read_by_numbered_lines(files: FileTool) -> None:
    text = "".join(f"line {number}\n" for number in range(1, 451))
    file_id = (await files(action="put", path=files.file("a.txt", text.encode())))["id"]
    first = await files(action="read", id=file_id)
    assert {name: first[name] for name in ("id", "from_line", "to_line", "total_lines", "next_line")} == {
        "id": file_id,
        "from_line": 1,
        "to_line": 200,
        "total_lines": 450,
        "next_line": 201,
    }
    assert first["lines"].splitlines()[199] == " 200│line 200"
    some = await files.answer(action="read", id=file_id, from_line=440, to_line=460)
    assert (some.structured["to_line"], "next_line" in some.structured) == (450, False)
    assert some.text == f"{file_id}, lines 440 to 450 of 450\n{some.structured['lines']}"
    named = await files(action="read", id=f"exai://files/{file_id}/lines/440-442")
    assert (named["from_line"], named["to_line"], named["next_line"]) == (440, 442, 443)
    whole = await files(action="read", id=f"exai://files/{file_id}")
    assert whole == first
    other = await files(action="read", id=f"exai://files/{file_id}/lines/440-442", from_line=445, to_line=446)
    assert (other["from_line"], other["to_line"]) == (445, 446)
    with pytest.raises(BadArguments, match="450 lines"):
        await files(action="read", id=file_id, from_line=451)
    with pytest.raises(UnknownFile):
        await files("bob", action="read", id=file_id)


async def test_what_is_read_is_bounded_and_goes_on(files: FileTool) -> None:
    lines = [b"x" * 30_000, b"y" * 30_000, b"z" * 100_000]
    file_id = (await files(action="put", path=files.file("wide.txt", b"\n".join(lines))))["id"]
    for number in (1, 2):
        page = await files(action="read", id=file_id, from_line=number, to_line=3)
        assert (page["to_line"], page["next_line"], len(page["lines"])) == (number, number + 1, 30_006)
    last = await files(action="read", id=file_id, from_line=3, to_line=3)
    assert 39_000 < len(last["lines"]) < 40_000
    assert last["note"] == "The end of this long line is left out."
    page = await files(action="read", id=file_id)
    assert (page["to_line"], page["next_line"]) == (1, 2)
    assert 9_000 < len(page["lines"]) < 9_500
    assert "With `to_line`" in page["note"]


@pytest.mark.parametrize("line", ["word " * 30, "über € 😀 \u202e" * 9, '"quoted\\\t"' * 12, ""])
async def test_what_is_read_without_an_end_is_shown_whole_by_every_client_and_leads_on(
    files: FileTool, line: str
) -> None:
    path = files.file("a.txt", "".join(f"{line}{number}\n" for number in range(1_000)).encode())
    file_id = (await files(action="put", path=path))["id"]
    shown, first = "", cast("int | None", 1)
    while first is not None:
        page = await files.answer(action="read", id=file_id, from_line=first)
        assert len(msgspec.json.encode(page.structured)) < 10_000, "of more, Codex leaves the middle out"
        assert len(page.text.encode()) < 10_000
        shown += page.structured["lines"]
        first = page.structured.get("next_line")
    assert shown.count("\n") == 1_000
    assert [int(each[:4]) for each in shown.splitlines()] == list(range(1, 1_001))


async def test_the_roots_are_named_to_whose_process_it_is_and_to_nobody_else(files: FileTool) -> None:
    outside = str(files.folder.parent / "outside.txt")
    with pytest.raises(FileRefused) as own:
        await files.answer(action="put", path=outside, door=Door.STDIO)
    assert str(own.value).endswith(f"What is below these may be read: `{files.folder}`.")
    for door in (Door.HTTP, Door.WEBSOCKET):
        with pytest.raises(FileRefused) as foreign:
            await files.answer(action="put", path=outside, door=door)
        assert str(files.folder) not in str(foreign.value)


async def test_what_has_no_text_is_refused(files: FileTool) -> None:
    file_id = (await files(action="put", path=files.file("data.bin", BLOCKS)))["id"]
    with pytest.raises(NoText):
        await files(action="read", id=file_id)


async def test_what_is_removed_is_gone_for_its_owner(files: FileTool) -> None:
    file_id = (await files(action="put", path=files.file("a.txt")))["id"]
    assert await files(action="delete", id=file_id) == {"id": file_id, "removed": True}
    with pytest.raises(UnknownFile):
        await files(action="show", id=file_id)
    assert await files(action="list") == {"files": []}


@pytest.mark.parametrize("door", [Door.HTTP, Door.STDIO])
async def test_a_removal_names_the_copies_that_go_and_how_that_is_proven(
    files: FileTool, monkeypatch: pytest.MonkeyPatch, door: Door
) -> None:
    file_id = (await files(action="put", path=files.file("a.txt")))["id"]
    copy = SimpleNamespace(provider="kimi", purpose="file-extract", copy_id="copy_1")
    monkeypatch.setattr(files.shelf.shelf, "remove", AsyncMock(return_value=[copy]))
    removed = await files.answer(action="delete", id=file_id, door=door)
    assert removed.structured["pending"] == ["kimi file-extract copy_1"]
    for told in (removed.text, removed.structured["note"]):
        assert f"`exai files proof {file_id}`" in told
        assert (f"GET http://localhost:8079/files/{file_id}/proof" in told) is (door is Door.HTTP)


async def test_files_of_others_are_answered_as_unknown_ones(files: FileTool) -> None:
    file_id = (await files(action="put", path=files.file("a.txt")))["id"]
    for action in ("show", "read", "delete"):
        faults = []
        for asked in (file_id, f"file_{'0' * 32}", "nonsense", "\0", "\ud800"):
            with pytest.raises(UnknownFile) as caught:
                await files("bob", action=action, id=asked)
            faults.append(str(caught.value))
        assert len(set(faults)) == 1
    for asked in (file_id, f"file_{'0' * 32}"):
        with pytest.raises(UnknownFile, match="from the beginning"):
            await files("bob", action="list", id=asked)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"action": "put"}, "put needs `path`"),
        ({"action": "show"}, "show needs `id`"),
        ({"action": "delete"}, "delete needs `id`"),
        ({"action": "read"}, "read needs `id`"),
        ({"action": "read", "id": "file_1", "from_line": -1}, "from_line"),
        ({"action": "burn"}, "one of authorize, delete, list, put, read, send, show"),
        ({"action": "shwo", "id": "file_1"}, "Did you mean 'show'?"),
        ({"action": "send", "id": "file_1", "provider": "kimy"}, "Did you mean 'kimi'?"),
        ({"action": "delete", "id": "exai://files/file_1/lines/1-2"}, "give exai://files/file_1"),
        ({}, "action"),
        ({"action": "authorize", "sha256": "0" * 64 + "\n"}, "sha256"),
        ({"action": "list", "folder": "/"}, "Unknown argument 'folder'"),
    ],
)
async def test_what_is_missing_is_named(files: FileTool, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(BadArguments, match=says):
        await files(**arguments)


async def test_a_path_that_may_not_be_read_is_refused_and_leaves_nothing(
    files: FileTool, tmp_path: Path
) -> None:
    (tmp_path / "outside.txt").write_text("outside")
    (files.folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    os.mkfifo(files.folder / "pipe")
    refused = [
        str(tmp_path / "outside.txt"),
        str(tmp_path / "missing.txt"),
        str(files.folder / "link.txt"),
        str(files.folder / "pipe"),
        str(files.folder),
        "relative.txt",
        str(files.folder / "nul\0.txt"),
        files.file(".env", b"KEY=1"),
        files.file("id_rsa"),
        files.file("key.pem", b"-----BEGIN PRIVATE KEY-----\n"),
    ]
    for path in refused:
        with pytest.raises(FileRefused):
            await files(action="put", path=path)
    outside = {await _sentence(files, tmp_path / name) for name in ("outside.txt", "missing.txt")}
    assert len({sentence.replace("outside.txt", "missing.txt") for sentence in outside}) == 1
    assert await files(action="list") == {"files": []}
    assert (files.shelf.on_disk, files.shelf.incoming) == (set(), [])


async def _sentence(files: FileTool, path: Path) -> str:
    with pytest.raises(FileRefused) as caught:
        await files(action="put", path=str(path))
    return str(caught.value)


@pytest.mark.sqlite
async def test_limits_are_named_before_anything_is_kept(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FileTool(database, tmp_path, max_upload_bytes=1_000, max_owner_files=2)
    with pytest.raises(FileTooLarge, match=r"files\.max_upload_bytes"):
        await files(action="put", path=files.file("large.bin", bytes(1_001)))
    await files(action="put", path=files.file("a.txt", b"a"))
    for code, fault in ((errno.ENOSPC, StoreFull), (errno.EROFS, StoreUnavailable)):
        with monkeypatch.context() as broken, pytest.raises(fault):
            fail_writes(broken, code)
            await files(action="put", path=files.file("b.txt", b"b"))
    await files(action="put", path=files.file("b.txt", b"b"))
    with pytest.raises(QuotaExceeded, match=r"files\.max_owner_files"):
        await files(action="put", path=files.file("c.txt", b"c"))
    assert len((await files(action="list"))["files"]) == 2


@pytest.mark.sqlite
async def test_a_file_that_changes_while_it_is_stored_is_refused(
    files: FileTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.file("a.txt", b"before")
    again = files.shelf.shelf.put_again

    async def changed(*arguments: Any) -> Any:
        files.file("a.txt", b"behind")
        return await again(*arguments)

    monkeypatch.setattr(files.shelf.shelf, "put_again", changed)
    with pytest.raises(ExaiError, match="SHA-256"):
        await files(action="put", path=path)
    assert files.shelf.incoming == []


@pytest.mark.sqlite
async def test_a_damaged_file_says_so(files: FileTool) -> None:
    file_id = (await files(action="put", path=files.file("a.txt")))["id"]
    await files.shelf.tables.mark_damaged(sha256_of(b"content"))
    answer = await files.answer(action="show", id=file_id)
    assert answer.structured["state"] == "damaged"
    assert "put the same content again" in answer.text
