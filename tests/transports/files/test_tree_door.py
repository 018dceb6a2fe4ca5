"""Snapshots over HTTP, on a real port."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exai.files.snapshots.manifests import ManifestEntry, encoded
from exai.storage.database import Database
from support.file_ports import FilePort, file_port
from support.shelves import sha256_of

pytestmark = pytest.mark.sqlite

CONTENT = b"print(1)\n"
MANIFEST = encoded([ManifestEntry("src/a.py", "755", len(CONTENT), sha256_of(CONTENT))])


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[FilePort]:
    async with file_port(database, tmp_path / "files") as opened:
        yield opened


async def test_a_snapshot_is_made_read_listed_and_removed(port: FilePort) -> None:
    missing = await port.ask("POST", "/files/trees", body=MANIFEST)
    assert (missing.status, missing.json) == (200, {"missing": [sha256_of(CONTENT)]})
    file_id = await port.put(CONTENT)
    made = await port.ask("POST", "/files/trees", body=MANIFEST)
    assert (made.status, made.json["entries"], made.json["bytes"]) == (201, 1, len(CONTENT))
    place = f"/files/trees/{made.json['id']}"
    assert (await port.ask("POST", "/files/trees", body=MANIFEST)).json == made.json
    assert (await port.ask("GET", place)).json == made.json
    assert (await port.ask("GET", "/files/trees")).json == {"trees": [made.json], "next": None}
    assert (await port.ask("GET", f"{place}/manifest")).body == MANIFEST
    by_manifest = f"/files/trees?manifest={sha256_of(MANIFEST)}"
    assert (await port.ask("GET", by_manifest)).json["trees"] == [made.json]
    assert (await port.ask("GET", by_manifest, "bob")).json["trees"] == []
    assert (await port.ask("DELETE", f"/files/{file_id}")).status == 202
    content = await port.ask("GET", f"{place}/content?path=src/a.py", Range="bytes=0-4")
    assert (content.status, content.body) == (206, CONTENT[:5])
    assert content.headers["content-disposition"].endswith("a.py")
    assert (await port.ask("GET", f"{place}/content")).code == "bad_arguments"
    assert (await port.ask("GET", f"{place}/content?path=../a")).code == "unknown_file"
    assert (await port.ask("DELETE", place)).json == {"removed": True}
    assert (await port.ask("GET", place)).code == "unknown_tree"


async def test_snapshots_of_others_are_answered_as_unknown_ones(port: FilePort) -> None:
    await port.put(CONTENT)
    tree_id = (await port.ask("POST", "/files/trees", body=MANIFEST)).json["id"]
    for method, rest in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/manifest"),
        ("GET", "/content?path=src/a.py"),
    ):
        foreign = await port.ask(method, f"/files/trees/{tree_id}{rest}", "bob")
        unknown = await port.ask(method, f"/files/trees/tree_{'0' * 32}{rest}", "bob")
        assert (foreign.status, foreign.body) == (unknown.status, unknown.body) == (404, unknown.body)
    assert (await port.ask("POST", "/files/trees", "bob", MANIFEST)).json["missing"]


async def test_a_manifest_that_is_none_is_refused_by_its_first_bad_entry(port: FilePort) -> None:
    bad = await port.ask("POST", "/files/trees", body=MANIFEST + MANIFEST.replace(b"src/a.py", b"../a"))
    assert (bad.status, bad.code) == (400, "bad_arguments")
    assert "Entry 2" in bad.json["error"]["message"]
    assert (await port.ask("GET", "/files/trees")).json["trees"] == []
