"""A storm of mixed operations on stored files and their copies, while the providers fail in every way."""

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from exai import config
from exai.app.upload_deletions import UploadDeletions
from exai.errors import ExaiError
from exai.jobs.testing import JobsByHand
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage.database import Database
from exai.storage.files.copy_rows import KNOWN
from exai_emulator import Emulator, Fault, FileState
from support.copying import Copying

__all__ = ["Storm", "StormResult", "run_copies_storm"]

OWNERS = ("alice", "bob")
CONTENTS = 6
AT_ONCE = 8
PLACES = (("kimi", "file-extract"), ("glm", "file-extract"), ("glm", "agent"))
FAULTS: tuple[dict[str, Any], ...] = (
    {"cut": "reset", "at": "before_headers"},
    {"cut": "close", "at": "after_headers"},
    {"cut": "reset", "at": "while_receiving", "after_bytes": 2_000},
    {"cut": "close", "at": "while_receiving", "after_bytes": 1},
    {"cut": "truncate"},
    {"status": 502},
    {"status": 503, "takes_effect": True},
    {"status": 500, "takes_effect": True},
    {"status": 429},
    {"status": 200, "body": "<html>"},
)
"""What goes wrong with requests to the file stores."""


class ShiftedClock(SystemClock):
    """A wall clock that the storm moves, with real waits."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def wall(self) -> float:
        return super().wall() + self.ahead.total_seconds()


@dataclass
class StormResult:
    """What was done, and what is wrong afterwards."""

    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    """Operations that ended with an error, by its code."""
    faults: int = 0
    objects_without_row: int = 0
    rows_without_object: int = 0
    objects_after_deletion: int = 0
    contents_after_deletion: int = 0
    unforeseen: list[str] = field(default_factory=list)


class Storm:
    """Two processes' parts on one database, and one emulator."""

    def __init__(
        self, emulator: Emulator, databases: list[Database], folder: Path, seed: int, *, faults: float
    ) -> None:
        self._emulator = emulator
        self._clock = ShiftedClock()
        self._parts = [
            Copying(emulator, database, folder, self._clock, grace_hours=0) for database in databases
        ]
        self._dice = random.Random(seed)
        self._faults = faults
        self._files: list[tuple[str, str]] = []
        self._names = itertools.count()
        self._jobs_clock = ManualClock()
        deletions = [UploadDeletions(part.remote, part.copies) for part in self._parts]
        self._deletions = deletions[0]
        self._jobs = JobsByHand([deletions[0].kind(config.Jobs())], self._jobs_clock)
        self.result = StormResult()

    async def run(self, operations: int) -> StormResult:
        """Do so many operations, then settle, look, delete everything, and look again."""
        left = iter(range(operations))

        async def work() -> None:
            for _ in left:
                await self._one()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        self._emulator.faults.clear()
        for provider in ("kimi", "glm"):
            self._emulator.accounts[provider].state.files = FileState()
        await self._settle()
        await self._look()
        await self._delete_everything()
        return self.result

    async def close(self) -> None:
        """Close what is open."""
        for part in self._parts:
            await part.router.close()
            part.shelf.blobs.close()

    async def _one(self) -> None:
        if self._dice.random() < self._faults:
            provider = self._dice.choice(("kimi", "glm"))
            path = self._dice.choice(("/files", None))
            self._emulator.faults.add(provider, Fault(path=path, **self._dice.choice(FAULTS)))
            self.result.faults += 1
        part = self._dice.choice(self._parts)
        name = self._dice.choices(
            ("put", "send", "cancel", "text", "remove", "settle", "delete", "late"),
            weights=(25, 30, 5, 8, 18, 4, 8, 2),
        )[0]
        try:
            await getattr(self, f"_{name}")(part)
            self.result.done[name] += 1
        except ExaiError as fault:
            self.result.failed[fault.code] += 1
        except Exception as error:  # noqa: BLE001 - counted, and named
            self.result.unforeseen.append(repr(error))

    async def _put(self, part: Copying) -> None:
        owner, number = self._dice.choice(OWNERS), self._dice.randrange(CONTENTS)
        content = f"content {number}\n".encode() * 1_000
        name = f"{next(self._names)}.txt"  # one file per owner, name and content
        self._files.append((owner, await part.shelf.put(owner, name, content)))

    async def _send(self, part: Copying) -> None:
        if self._files:
            owner, file_id = self._dice.choice(self._files)
            to, purpose = self._dice.choice(PLACES)
            await part.copy(owner, file_id, to, purpose)

    async def _cancel(self, part: Copying) -> None:
        sending = asyncio.create_task(self._send(part))
        await asyncio.sleep(self._dice.random() * 0.05)
        sending.cancel()
        await asyncio.wait([sending])
        if not sending.cancelled():
            sending.exception()

    async def _text(self, part: Copying) -> None:
        if self._files:
            owner, file_id = self._dice.choice(self._files)
            await part.text(owner, file_id, within_s=3)

    async def _remove(self, part: Copying) -> None:
        if self._files:
            owner, file_id = self._files.pop(self._dice.randrange(len(self._files)))
            await part.shelf.shelf.remove(owner, file_id)

    async def _settle(self, part: Copying | None = None) -> None:
        """Look for lost copies; at the end of the storm as often as it takes."""
        if part is not None:
            await part.remote.settle_lost()
            return
        self._clock.ahead += timedelta(minutes=16)
        for each in self._parts:
            await each.remote.settle_lost()
        await self._delete(self._parts[0])

    async def _delete(self, _part: Copying) -> None:
        await self._deletions.start_jobs(self._jobs)
        await self._jobs.drain(waiting=True)
        await self._deletions.delete_unused(self._jobs)

    async def _late(self, _part: Copying) -> None:
        """List new files late for a while."""
        provider = self._dice.choice(("kimi", "glm"))
        self._emulator.accounts[provider].state.files = FileState(list_delay_s=self._dice.choice((0, 0.5)))

    async def _look(self) -> None:
        for provider in ("kimi", "glm"):
            there = {file.id for file in self._parts[0].there(provider)}
            rows = await self._parts[0].rows(provider)
            known = {row.provider_file_id for row in rows if row.status in KNOWN}
            self.result.objects_without_row += len(there - known)
            self.result.rows_without_object += len(known - there)

    async def _delete_everything(self) -> None:
        shelf = self._parts[0].shelf
        for owner, file_id in self._files:
            await shelf.shelf.remove(owner, file_id)
        await self._delete(self._parts[0])
        for provider in ("kimi", "glm"):
            self.result.objects_after_deletion += len(self._parts[0].there(provider))
        shelf.clock.advance(60)
        await shelf.shelf.collect()
        self.result.contents_after_deletion = len(shelf.on_disk)


async def run_copies_storm(
    emulator: Emulator, data_dir: Path, seed: int, operations: int, *, faults: float = 0.15
) -> StormResult:
    """Run a storm in two processes' parts on a database of its own."""
    databases = [await Database.open(config.Database(), data_dir) for _ in range(2)]
    storm = Storm(emulator, databases, data_dir / "files", seed, faults=faults)
    try:
        return await storm.run(operations)
    finally:
        await storm.close()
        for database in databases:
            await database.close()
