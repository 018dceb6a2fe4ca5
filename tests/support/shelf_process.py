"""Puts, removals and deletions of stored files, in a process that kills itself at one of their steps.

Steps are each write, flush, rename and unlink of the store's folder, each transaction, and each request to
a bucket, where contents are kept in one: before and after.
"""

import asyncio
import json
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from exai import config
from exai.storage.database import Database
from support.buckets import OpenBucket
from support.forked_runs import Order, serve_runs
from support.shelves import OpenShelf

CONTENTS = {"small": b"small", "large": bytes(range(256)) * 9_000, "other": b"other" * 70_000}
OPERATIONS = 16
"""Of a run that is drawn."""
DISK_CALLS = ("write", "writev", "fsync", "ftruncate", "rename", "unlink")


def run(order: Order) -> None:
    """Do everything, or die at step `kill_at`; what was acknowledged is written into `acknowledged`.

    With a `seed`, what is done is drawn by it.
    """
    asyncio.run(_run(Path(order["data_dir"]), int(order["kill_at"]), order.get("s3"), order.get("seed")))


def open_shelf(database: Database, data_dir: Path, s3: str | None) -> tuple[OpenShelf, OpenBucket | None]:
    """Open the store of a run; `s3` is the address of the bucket that has its contents, if one has."""
    shelf = OpenShelf(database, data_dir / "files", grace_hours=0)
    if s3 is None:
        return shelf, None
    bucket = OpenBucket(s3, data_dir / "files", prefix="killed" + str(data_dir))
    shelf.keep_in(bucket.blobs)
    return shelf, bucket


async def _run(data_dir: Path, kill_at: int, s3: str | None, seed: int | None) -> None:
    database = await Database.open(config.Database(), data_dir)
    shelf, bucket = open_shelf(database, data_dir, s3)
    note = _acknowledger(data_dir / "acknowledged")
    count_steps(database, kill_at, bucket)
    operations = _Operations(shelf, note)
    if seed is None:
        await _all_kinds(operations)
    else:
        await _drawn(operations, random.Random(seed))
    shelf.blobs.close()
    await database.close()


class _Operations:
    """Puts, removals and collections that are noted before and after."""

    def __init__(self, shelf: OpenShelf, note: Callable[..., None]) -> None:
        self._shelf = shelf
        self._note = note
        self.files: list[tuple[str, str, str]] = []
        """By owner, id and the content's name."""
        self._puts = 0

    async def put(self, owner: str, name: str) -> None:
        self._puts += 1
        stored_as = f"{name}-{self._puts}"  # under a name that it had it were the same file
        file_id = await self._shelf.put(owner, stored_as, CONTENTS[name])
        self._note("put", owner, file_id, name)
        self.files.append((owner, file_id, name))

    async def remove(self, at: int) -> None:
        owner, file_id, name = self.files.pop(at)
        self._note("removing", owner, file_id, name)
        await self._shelf.shelf.remove(owner, file_id)
        self._note("removed", owner, file_id, name)

    async def collect(self) -> None:
        self._shelf.clock.advance(1)
        await self._shelf.shelf.collect()


async def _all_kinds(operations: _Operations) -> None:
    for owner, name in (("alice", "small"), ("bob", "small"), ("alice", "large"), ("bob", "other")):
        await operations.put(owner, name)
    await operations.remove(0)
    await operations.remove(1)
    await operations.collect()
    await operations.put("alice", "large")


async def _drawn(operations: _Operations, draw: random.Random) -> None:
    for _ in range(OPERATIONS):
        kind = draw.choice(("put", "put", "remove", "remove", "collect"))
        if kind == "put":
            await operations.put(draw.choice(("alice", "bob")), draw.choice(sorted(CONTENTS)))
        elif kind == "collect":
            await operations.collect()
        elif operations.files:
            await operations.remove(draw.randrange(len(operations.files)))


def _acknowledger(file: Path) -> Callable[..., None]:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write = os.write

    def note(*words: str) -> None:
        write(descriptor, json.dumps(words).encode() + b"\n")

    return note


def count_steps(database: Database, kill_at: int, bucket: OpenBucket | None = None) -> None:
    """Have the process kill itself at a step; at none for 0."""
    steps = iter(range(1, 10_000))

    def step() -> None:
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in DISK_CALLS:
        setattr(os, name, _counted(getattr(os, name), step))
    backend = database._backend
    transact = backend.transact

    async def counted(work: Callable[[Any], Any]) -> Any:
        step()
        result = await transact(work)
        step()
        return result

    database._writer._transact = counted
    if bucket is not None:
        for name in ("put", "remove"):
            setattr(bucket.bucket, name, _counted_request(getattr(bucket.bucket, name), step))


def _counted_request(
    original: Callable[..., Awaitable[Any]], step: Callable[[], None]
) -> Callable[..., Awaitable[Any]]:
    async def counted(*arguments: Any) -> Any:
        step()
        result = await original(*arguments)
        step()
        return result

    return counted


def _counted(original: Callable[..., Any], step: Callable[[], None]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        step()
        result = original(*arguments, **options)
        step()
        return result

    return counted


def acknowledged(data_dir: Path) -> Iterator[tuple[str, str, str, str]]:
    """What a run noted before it died: what was done, the owner, the file's id, the content's name."""
    file = data_dir / "acknowledged"
    for line in file.read_text().splitlines() if file.exists() else []:
        done, owner, file_id, name = json.loads(line)
        yield done, owner, file_id, name


if __name__ == "__main__":
    serve_runs(run)
