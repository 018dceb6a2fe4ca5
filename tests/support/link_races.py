"""Links that are swapped in and out of a path while it is read: does anything come from outside?"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exai.cli.stored_files.sources import Source, Unreadable
from exai.client.file_carrier import CarryFailed, FileCarrier
from exai.client.folder_sync import sync_folder
from exai.client.local_files import LocalFiles
from exai.errors import ExaiError, FileRefused
from exai.files.heavy_work import HeavyWork
from exai.files.paths.storing import PathStore
from support.shelves import OpenShelf, sha256_of

__all__ = ["INSIDE", "OUTSIDE", "Ground", "race"]

INSIDE, OUTSIDE = b"inside", b"canary of somebody else"


class Ground:
    """A root with a folder and a file, both of which become links that lead out of it, and back."""

    def __init__(self, place: Path) -> None:
        self.root, outside = place / "root", place / "outside"
        for folder in (self.root / "sub", outside):
            folder.mkdir(parents=True)
        (self.root / "sub" / "a.txt").write_bytes(INSIDE)
        (self.root / "b.txt").write_bytes(INSIDE)
        (outside / "a.txt").write_bytes(OUTSIDE)
        (self.root / "link").symlink_to(outside)
        (self.root / "file-link").symlink_to(outside / "a.txt")
        self.paths = (self.root / "sub" / "a.txt", self.root / "b.txt")

    @contextmanager
    def swapping(self) -> Iterator[None]:
        """Exchange folder and file for links and back, all the time."""
        ended = threading.Event()
        thread = threading.Thread(target=self._swap, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _swap(self, ended: threading.Event) -> None:
        while not ended.is_set():
            for name, link in (("sub", "link"), ("b.txt", "file-link")):
                path, other, aside = (self.root / each for each in (name, link, f"{name}.aside"))
                path.rename(aside)
                other.rename(path)
                path.rename(other)
                aside.rename(path)


class _Contents:
    """A store behind the bridge and the command, which keeps what it was sent."""

    def __init__(self) -> None:
        self.came: set[bytes] = set()

    async def look(self, _: str) -> None:
        return None

    async def upload(
        self, _: str, sha256: str, __: int, body_from: Callable[[int], AsyncIterator[bytes]]
    ) -> str:
        return str((await self.put("", sha256, 0, lambda: body_from(0)))["id"])

    async def put(
        self, _: str, sha256: str, __: int, body: Callable[[], AsyncIterator[bytes]]
    ) -> dict[str, str]:
        content = b"".join([block async for block in body()])
        self.came.add(content)
        if sha256_of(content) != sha256:
            raise FileRefused("it changed meanwhile")
        return {"id": f"file_{sha256[:32]}"}

    async def remove(self, _: str) -> dict[str, object]:
        return {}

    async def find_tree(self, _: str) -> None:
        return None

    async def tree(self, manifest: bytes) -> dict[str, object]:
        missing = {sha256_of(each) for each in (INSIDE, OUTSIDE)}
        return {"missing": [each for each in missing if each.encode() in manifest], "id": "tree_1"}


async def race(place: Path, shelf: OpenShelf, rounds: int) -> tuple[Counter[str], dict[str, set[bytes]]]:
    """Store by tool, by bridge and by command, each `rounds` times; what came of it, and which contents came."""
    ground, done = Ground(place), Counter[str]()
    settings = shelf.settings.model_copy(update={"roots": [ground.root]})
    work = HeavyWork(settings)
    tool, bridge, command, synced = (
        PathStore(shelf.shelf, settings, work),
        _Contents(),
        _Contents(),
        _Contents(),
    )
    carrier = FileCarrier(bridge, LocalFiles([ground.root]))  # type: ignore[arg-type]  # the part that it uses

    async def by_tool(path: Path) -> None:
        await tool.put("alice", str(path))

    async def by_bridge(path: Path) -> None:
        await carrier.carry({"path": str(path)}, ["path"])

    async def by_command(path: Path) -> None:
        source = Source(path)
        digest = await source.sha256()
        await command.put(path.name, digest, source.size, lambda: source.blocks(lambda _: None))

    async def by_sync(_: Path) -> None:
        await sync_folder(synced, ground.root)

    ways = {"tool": by_tool, "bridge": by_bridge, "command": by_command, "sync": by_sync}
    with ground.swapping():
        for number in range(rounds):
            for name, way in ways.items():
                try:
                    await way(ground.paths[number % 2])
                    done[f"{name}: stored"] += 1
                except (ExaiError, CarryFailed, Unreadable):
                    done[f"{name}: refused"] += 1
            await asyncio.sleep(0)
    work.close()
    kept = {file.read_bytes() for file in (shelf.folder / "blobs").glob("??/??/*")}
    return done, {"tool": kept, "bridge": bridge.came, "command": command.came, "sync": synced.came}
