"""What keeping a folder moves, counted on the socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exai.auth.scopes import FILES
from exai.client.folder_sync import sync_folder
from exai.client.stored_files import StoredFiles, open_stored_files
from exai.client.tokens import FixedToken
from exai.storage.database import Database
from support.file_ports import FilePort, file_port
from support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.sqlite

FILE_COUNT = 2_000
MOST_MOVED = 100_000


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[FilePort]:
    async with file_port(database, tmp_path / "store") as opened:
        yield opened


def project(tmp_path: Path, files: int) -> Path:
    """Make a folder of files, which share one content."""
    folder = tmp_path / "project"
    for number in range(files):
        file = folder / f"{number % 20}" / f"{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("print(1)\n")
    return folder


@asynccontextmanager
async def counted(port: FilePort) -> AsyncIterator[tuple[StoredFiles, TcpProxy]]:
    """A client of the store, and the wire between them."""
    token = port.authenticator.issue("alice", "alice", FILES)["Authorization"].removeprefix("Bearer ")
    async with (
        tcp_proxy(port.doors.http) as (proxy, url),
        open_stored_files(url, FixedToken(token, "")) as files,
    ):
        yield files, proxy


async def test_an_unchanged_folder_of_2000_files_is_one_small_request(port: FilePort, tmp_path: Path) -> None:
    folder = project(tmp_path, FILE_COUNT)
    async with counted(port) as (files, _):
        first = await sync_folder(files, folder)
    async with counted(port) as (files, proxy):
        again = await sync_folder(files, folder)
    assert (first.sent_files, len(first.listing.entries)) == (1, FILE_COUNT)
    assert (again.tree_id, again.sent_files, again.sent_bytes) == (first.tree_id, 0, 0)
    assert len(proxy.client_ports) == 1
    assert sum(proxy.carried.values()) <= MOST_MOVED
    assert proxy.requests == 1


async def test_a_changed_file_is_five_requests(port: FilePort, tmp_path: Path) -> None:
    folder = project(tmp_path, 50)
    async with counted(port) as (files, _):
        await sync_folder(files, folder)
    (folder / "7" / "7.py").write_text("print(2)\n")
    async with counted(port) as (files, proxy):
        again = await sync_folder(files, folder)
    assert (again.sent_files, again.sent_bytes) == (1, 9)
    # The snapshot by its digest, what is missing, the file, the snapshot, and the file's handle that goes.
    assert proxy.requests == 5
