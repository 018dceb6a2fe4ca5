"""Clients that others wrote store files by one door, and find them by each other one, in both revisions."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from foreign.test_foreign_clients import CLIENTS, Connect
from support.daemons import daemon
from support.foreign_clients import Refused
from support.nodes import Node

NOT_FOUND = {-32002, -32602}


@pytest.fixture
async def connect(data_dir: Path, tmp_path: Path, node: Node) -> AsyncIterator[Connect]:
    roots = {"EXAI_FILES__ROOTS": f'["{tmp_path}"]'}
    async with daemon(data_dir=data_dir, arguments=["--demo"], environ=roots) as running:
        yield Connect(running, data_dir, node)


async def test_a_file_is_the_same_by_every_door(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("three herons\n")
    for name in CLIENTS:
        async with connect(name) as client:
            assert "files" in await client.tools()
            if "stdio" not in name:
                put = await client.call("files", {"action": "put", "path": str(tmp_path / "notes.txt")})
                assert put.structured["name"] == "notes.txt", put.text
                handle = put.structured["id"]
                assert put.text == f"{handle} notes.txt (text, 13 bytes)"
            listed = await client.call("files", {"action": "list"})
            assert [file["id"] for file in listed.structured["files"]] == [handle]
            shown = await client.call("files", {"action": "show", "id": handle})
            assert shown.structured["bytes"] == 13
            uri = f"exai://files/{handle}"
            assert await client.resources() == [uri]
            assert await client.read(uri) == "three herons\n"
            with pytest.raises(Refused) as refused:
                await client.read("exai://files/file_unknown")
            assert refused.value.code in NOT_FOUND
            wrong = await client.call("files", {"action": "show", "id": "file_unknown"})
            assert wrong.is_error
            assert "You have no file with this id" in wrong.text
    async with connect(CLIENTS[-1]) as client:
        deleted = await client.call("files", {"action": "delete", "id": handle})
        assert deleted.structured == {"id": handle, "removed": True}
        assert (await client.call("files", {"action": "list"})).structured == {"files": []}
