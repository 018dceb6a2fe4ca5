"""What models are shown of snapshots of folders."""

from pathlib import Path

import pytest

from exai.callers import Caller, Door
from exai.consulting.files.gathering import FileSources
from exai.consulting.material import Material
from exai.errors import FileRefused, ScopeMissing
from exai.files.faults import UnknownTree
from exai.files.snapshots.manifests import ManifestEntry, encoded
from exai.storage.database import Database
from exai.storage.files.snapshots import Snapshot
from support.file_sources import file_sources
from support.shelves import pieces, sha256_of

pytestmark = pytest.mark.sqlite

ALICE = Caller("alice", Door.WEBSOCKET, scopes=frozenset({"tools:models", "files"}))
FILES = {
    "README.md": b"# Read me\n",
    "src/a.py": b"print(1)\nprint(2)\n",
    "src/empty.py": b"",
    "logo.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "key.txt": b"-----BEGIN PRIVATE KEY-----\nx\n",
    "large.txt": b"x" * 3_000_000,
}


async def snapshot(sources: FileSources, files: dict[str, bytes]) -> str:
    for path, content in files.items():
        row = await sources.shelf.put("alice", path, len(content), pieces(content))
    manifest = encoded([ManifestEntry(path, "644", len(c), sha256_of(c)) for path, c in files.items()])
    tree = await sources.snapshots.create("alice", manifest)
    assert isinstance(tree, Snapshot)
    await sources.shelf.remove("alice", row.file_id)
    return tree.tree_id


async def test_the_texts_of_a_snapshot_are_shown_by_their_paths(database: Database, tmp_path: Path) -> None:
    sources = file_sources(database, tmp_path)
    found = await sources.gather(ALICE, [await snapshot(sources, FILES)], [], lambda _: None)
    shown = [(text.name, text.total, text.whole is not None) for text in found.texts]
    assert shown == [("README.md", 1, True), ("src/a.py", 2, True), ("src/empty.py", 0, True)]
    assert {each.name: each.why for each in found.left_out} == {
        "key.txt": "looks as if it held a private key",
        "large.txt": "larger than `files.max_file_bytes`; store it by itself",
        "logo.png": "of kind png; store it by itself",
    }


async def test_a_snapshot_that_one_may_not_see_or_that_is_too_large_is_refused(
    database: Database, tmp_path: Path
) -> None:
    sources = file_sources(database, tmp_path, max_files=2)
    tree_id = await snapshot(sources, FILES)
    bob = Caller("bob", Door.WEBSOCKET, scopes=ALICE.scopes)
    poor = Caller("alice", Door.WEBSOCKET, scopes=frozenset({"tools:models"}))
    for caller, refusal, said in (
        (bob, UnknownTree, f"no snapshot `{tree_id}`"),
        (poor, ScopeMissing, "`files`"),
        (ALICE, FileRefused, "`files.max_files`"),
    ):
        with pytest.raises(refusal, match=said):
            await sources.gather(caller, [tree_id], [], lambda _: None)


async def test_the_path_of_a_snapshot_cannot_reorder_the_line_that_it_stands_in(
    database: Database, tmp_path: Path
) -> None:
    sources = file_sources(database, tmp_path)
    tree_id = await snapshot(sources, {"src/\u202eyp.a>>>": b"one\n"})
    found = await sources.gather(ALICE, [tree_id], [], lambda _: None)
    shown = await Material(found, "?").shown(1_000, can_read=True)
    heading = shown.question.split("\n")[0]
    assert heading.startswith(r"<<<FILE E1 src/\u202eyp.a\u003e\u003e\u003e lines 1-1 of 1 sha256:")
