"""Many puts and removals of few contents by few owners, in processes that collect as well; and what is left of them.

As a program it is one of the processes: it reads its order from its argument, and prints what it has kept.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from exai import config
from exai.errors import StoreFailed
from exai.files.faults import FileDamaged, StoreBusy, UnknownFile
from exai.files.store.shelf import Shelf
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.schema import blobs, file_references, file_uploads
from support.shelves import OpenShelf, sha256_of

__all__ = ["StormOrder", "audit_storm", "run_storm"]

OWNERS = ("alice", "bob", "carol")
CONTENTS = {f"content-{n}": f"content {n} ".encode() * 40 * (n + 1) for n in range(20)}
COLLECT_EVERY = 20
READ_SHARE = 0.1
MOST_KEPT = 6
"""Files of one process, so that contents are without a file again and again."""
EQUAL = b"the same by all at once" * 1000


@dataclass(frozen=True)
class StormOrder:
    """What one process does."""

    data_dir: str
    seed: int
    operations: int
    at_once: int = 16
    equal_uploads: int = 0
    """Of one content, by owners of their own, all at once."""


@dataclass
class _Kept:
    """What one process has put, not removed, and seen."""

    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By id, whose it is and which content."""
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class _Storm:
    """The operations of one process."""

    def __init__(self, shelf: OpenShelf, order: StormOrder) -> None:
        self.kept = _Kept()
        self._shelf = shelf
        self._draw = random.Random(order.seed)
        self._left = order.operations
        self._held: set[str] = set()

    async def work(self) -> None:
        """Do one operation after the other, until all are done."""
        while self._left > 0:
            self._left -= 1
            if self._left % COLLECT_EVERY == 0:
                await self._collect()
            try:
                await self._one()
            except StoreBusy:
                self.kept.counts["busy"] += 1
            except StoreFailed:
                self.kept.counts["refused by the database"] += 1

    async def _one(self) -> None:
        free = [file_id for file_id in self.kept.files if file_id not in self._held]
        if free and self._draw.random() < READ_SHARE:
            await self._read(self._draw.choice(free))
        elif free and (len(free) > MOST_KEPT or self._draw.random() < 0.5):
            await self._remove(self._draw.choice(free))
        else:
            await self._put(self._draw.choice(OWNERS), self._draw.choice(sorted(CONTENTS)))

    async def _put(self, owner: str, name: str) -> None:
        self.kept.counts["put"] += 1
        stored_as = (
            f"{name}-{os.getpid()}-{self.kept.counts['put']}"  # under the same name it were the same file
        )
        file_id = await self._shelf.put(owner, stored_as, CONTENTS[name])
        self.kept.files[file_id] = owner, name

    async def _remove(self, file_id: str) -> None:
        self._held.add(file_id)
        try:
            await self._shelf.shelf.remove(self.kept.files[file_id][0], file_id)
        except UnknownFile:
            self.kept.wrong.append("lost: a file that was put")
        del self.kept.files[file_id]
        self.kept.counts["removed"] += 1

    async def _read(self, file_id: str) -> None:
        self._held.add(file_id)
        owner, name = self.kept.files[file_id]
        try:
            if await self._shelf.read(owner, file_id) != CONTENTS[name]:
                self.kept.wrong.append("diverged: a file has other bytes")
        except (UnknownFile, FileDamaged):
            self.kept.wrong.append("lost: a file that was put is not readable")
        self._held.discard(file_id)
        self.kept.counts["read"] += 1

    async def _collect(self) -> None:
        try:
            self.kept.counts["collected"] += (await self._shelf.shelf.collect()).contents
        except StoreFailed:
            self.kept.counts["refused by the database"] += 1


def _by_the_systems_clock(database: Database, data_dir: Path) -> OpenShelf:
    """Open a shelf whose contents may go as soon as nothing refers to them."""
    shelf = OpenShelf(database, data_dir / "files", grace_hours=0)
    shelf.shelf = Shelf(
        shelf.tables, shelf.removals, shelf.blobs, shelf.blobs, shelf.settings, SystemClock(), lambda _: None
    )
    return shelf


async def _run(order: StormOrder) -> dict[str, Any]:
    database = await Database.open(config.Database(), Path(order.data_dir))
    shelf = _by_the_systems_clock(database, Path(order.data_dir))
    storm = _Storm(shelf, order)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(order.at_once):
            tasks.create_task(storm.work())
    owners = [f"equal-{os.getpid()}-{n}" for n in range(order.equal_uploads)]
    await asyncio.gather(*(shelf.put(owner, "equal", EQUAL) for owner in owners))
    shelf.blobs.close()
    await database.close()
    kept = storm.kept
    return {"files": kept.files, "counts": kept.counts, "wrong": kept.wrong, "equal_owners": owners}


async def run_storm(orders: Sequence[StormOrder]) -> list[dict[str, Any]]:
    """Run each order in a process of its own, side by side; what each has kept."""
    programs = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            __file__,
            json.dumps(asdict(order)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        for order in orders
    ]
    outputs = await asyncio.gather(*(program.communicate() for program in programs))
    return [json.loads(output) for output, _ in outputs]


async def audit_storm(data_dir: Path, results: Sequence[dict[str, Any]]) -> list[str]:
    """Compare rows and bytes with what the processes have kept; what is wrong."""
    database = await Database.open(config.Database(), data_dir)
    shelf = _by_the_systems_clock(database, data_dir)
    await shelf.shelf.sweep()
    await shelf.shelf.collect()
    wrong = [fault for result in results for fault in result["wrong"]]
    model = {
        file_id: (owner, sha256_of(CONTENTS[name]))
        for result in results
        for file_id, (owner, name) in result["files"].items()
    }
    equal = [owner for result in results for owner in result["equal_owners"]]
    found = {
        row.file_id: (owner, row.sha256)
        for owner in OWNERS
        for row in await shelf.shelf.newest(owner, 10_000)
    }
    if found != model:
        wrong.append(f"files: {len(found)} in the store, {len(model)} in the model")
    for owner in equal:
        listed = await shelf.shelf.newest(owner, 10)
        if [row.sha256 for row in listed] != [sha256_of(EQUAL)]:
            wrong.append("equal uploads: one is not there")
    wanted = {digest for _, digest in model.values()} | ({sha256_of(EQUAL)} if equal else set())
    if shelf.on_disk != wanted or shelf.incoming:
        wrong.append(f"bytes: {len(shelf.on_disk)} contents for {len(wanted)}, {len(shelf.incoming)} parts")
    states, uploads, references = await database.read(
        lambda connection: (
            connection.execute(select(blobs.c.sha256, blobs.c.state)).all(),
            connection.execute(select(file_uploads)).all(),
            connection.execute(select(file_references)).all(),
        )
    )
    if {tuple(row) for row in states} != {(digest, "live") for digest in wanted}:
        wrong.append("blobs: the rows are not those of the contents, all live")
    if uploads or len(references) != len(model) + len(equal):
        wrong.append(
            f"references: {len(references)} for {len(model) + len(equal)} files, {len(uploads)} uploads"
        )
    shelf.blobs.close()
    await database.close()
    return wrong


if __name__ == "__main__":
    logs.configure(config.Logging(level="error", format="json"))
    print(json.dumps(asyncio.run(_run(StormOrder(**json.loads(sys.argv[1]))))))
