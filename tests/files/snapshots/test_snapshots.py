"""Snapshots of owners, on both databases and a real folder."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from exai.errors import BadArguments
from exai.files.faults import QuotaExceeded, UnknownFile, UnknownTree
from exai.files.snapshots.manifests import ManifestEntry, encoded
from exai.files.snapshots.snapshots import Missing
from exai.storage.database import Database
from exai.storage.files.snapshots import Snapshot
from support.shelves import OpenShelf, sha256_of

FILES = {"README.md": b"read me", "src/a.py": b"print(1)\n", "src/b.py": b"print(1)\n"}


@pytest.fixture
def make(database: Database, tmp_path: Path) -> Callable[..., OpenShelf]:
    def shelf(**settings: object) -> OpenShelf:
        return OpenShelf(database, tmp_path / "files", grace_hours=0, **settings)

    return shelf


def manifest_of(files: dict[str, bytes]) -> bytes:
    return encoded(
        [ManifestEntry(path, "644", len(content), sha256_of(content)) for path, content in files.items()]
    )


async def put_all(shelf: OpenShelf, owner: str = "alice") -> list[str]:
    return [await shelf.put(owner, path, content) for path, content in FILES.items()]


async def snapshot(shelf: OpenShelf, owner: str = "alice", files: dict[str, bytes] = FILES) -> Snapshot:
    made = await shelf.snapshots.create(owner, manifest_of(files))
    assert isinstance(made, Snapshot)
    return made


async def test_what_is_missing_is_named_until_nothing_is(make: Callable[..., OpenShelf]) -> None:
    shelf = make()
    missing = await shelf.snapshots.create("alice", manifest_of(FILES))
    assert missing == Missing([sha256_of(FILES["README.md"]), sha256_of(FILES["src/a.py"])])
    await put_all(shelf, "bob")
    assert await shelf.snapshots.create("alice", manifest_of(FILES)) == missing
    await put_all(shelf)
    tree = await snapshot(shelf)
    assert (tree.entries, tree.bytes) == (3, len(b"read me") + len(b"print(1)\n"))
    assert await shelf.snapshots.manifest("alice", tree.tree_id) == manifest_of(FILES)
    row = await shelf.snapshots.file("alice", tree.tree_id, "src/b.py")
    assert (row.name, row.sha256, row.kind) == ("b.py", sha256_of(FILES["src/b.py"]), "text")
    assert shelf.incoming == []


async def test_the_same_folder_is_the_same_snapshot(make: Callable[..., OpenShelf]) -> None:
    shelf = make()
    await put_all(shelf)
    first = await snapshot(shelf)
    assert await snapshot(shelf, files=dict(reversed(FILES.items()))) == first
    together = await asyncio.gather(*(snapshot(shelf, files={"one": FILES["README.md"]}) for _ in range(3)))
    assert len({tree.manifest_sha256 for tree in together}) == 1


async def test_a_snapshot_keeps_contents_whose_files_are_removed(make: Callable[..., OpenShelf]) -> None:
    shelf = make()
    ids = await put_all(shelf)
    tree = await snapshot(shelf)
    for file_id in ids:
        await shelf.shelf.remove("alice", file_id)
    shelf.clock.advance(1)
    await shelf.shelf.collect()
    row = await shelf.snapshots.file("alice", tree.tree_id, "README.md")
    content = await shelf.shelf.open(row)
    assert b"".join([block async for block in content.read(0, content.size)]) == b"read me"
    smaller = await snapshot(shelf, files={"only": FILES["README.md"]})
    for each in (tree, smaller):
        await shelf.snapshots.remove("alice", each.tree_id)
    shelf.clock.advance(1)
    await shelf.shelf.collect()
    assert shelf.on_disk == set()
    assert (await shelf.tables.usage("alice")).bytes == 0


async def test_snapshots_of_others_are_unknown(make: Callable[..., OpenShelf]) -> None:
    shelf = make()
    await put_all(shelf)
    tree = await snapshot(shelf)
    for tree_id in (tree.tree_id, "tree_" + "0" * 32, "\0"):
        for attempt in (
            shelf.snapshots.get("bob", tree_id),
            shelf.snapshots.manifest("bob", tree_id),
            shelf.snapshots.file("bob", tree_id, "README.md"),
            shelf.snapshots.remove("bob", tree_id),
        ):
            with pytest.raises(UnknownTree):
                await attempt
    with pytest.raises(UnknownFile):
        await shelf.snapshots.file("alice", tree.tree_id, "other")


async def test_what_snapshots_alone_keep_counts_for_the_quota(make: Callable[..., OpenShelf]) -> None:
    shelf = make(max_owner_bytes=2_000)
    first = await shelf.put("alice", "a", b"a" * 800)
    await snapshot(shelf, files={"a": b"a" * 800})
    before = await shelf.tables.usage("alice")
    await shelf.shelf.remove("alice", first)
    after = await shelf.tables.usage("alice")
    assert after.bytes == before.bytes
    assert after.files == before.files - 1
    with pytest.raises(QuotaExceeded):
        await shelf.put("alice", "b", b"b" * 1_150)


async def test_an_entry_that_gives_another_size_is_named(make: Callable[..., OpenShelf]) -> None:
    shelf = make()
    await put_all(shelf)
    wrong = encoded([ManifestEntry("README.md", "644", 5, sha256_of(FILES["README.md"]))])
    with pytest.raises(BadArguments, match=r"Entry 1 .* 5 bytes"):
        await shelf.snapshots.create("alice", wrong)


async def test_snapshots_are_listed_newest_first(make: Callable[..., OpenShelf]) -> None:
    shelf = make()
    await put_all(shelf)
    ids = []
    for path in "abc":
        ids.append((await snapshot(shelf, files={path: FILES["README.md"]})).tree_id)
        shelf.clock.advance(1)
    first = [tree.tree_id for tree in await shelf.snapshots.newest("alice", 2)]
    rest = [tree.tree_id for tree in await shelf.snapshots.newest("alice", 2, after=first[-1])]
    assert first + rest == ids[::-1]
    assert await shelf.snapshots.newest("bob", 2) == []
