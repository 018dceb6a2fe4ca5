"""Whatever goes wrong with uploads: rows and objects agree afterwards, and all can be deleted."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from exai import config
from exai.errors import ExaiError
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import Status
from exai_emulator import Emulator, EmulatorOptions, Fault, FileState, ready_fault, running
from support.copying import Copying

pytestmark = pytest.mark.sqlite

MP4 = b"\0\0\0\x20ftypisom"
PDF = b"%PDF-1.4\n"
PLACES = {"kimi": ("video", MP4), "glm": ("user_data", PDF)}
UPLOAD_FAULTS = [
    "upload_cut",
    "upload_closed",
    "upload_stall",
    "upload_refused_early",
    "upload_answer_lost",
    "upload_kept_502",
]
DOUBT = timedelta(minutes=16)
"""After it, what was not found never arrived."""
DAY = timedelta(hours=25)
"""After it, a copy is asked for before it is relied upon."""
OPERATIONS = 150
SIZE = 300_000


class Shifted(SystemClock):
    """A wall clock that is moved, with real waits."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def wall(self) -> float:
        return super().wall() + self.ahead.total_seconds()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with running(EmulatorOptions()) as emulator:
        yield emulator


@pytest.fixture
def clock() -> Shifted:
    return Shifted()


@pytest.fixture
async def copying(
    emulator: Emulator, clock: Shifted, database_settings: config.Database, tmp_path: Path
) -> AsyncIterator[Copying]:
    async with AsyncExitStack() as stack:
        database = await Database.open(database_settings, tmp_path / "data")
        stack.push_async_callback(database.close)
        one = Copying(emulator, database, tmp_path / "files", clock)
        stack.push_async_callback(one.router.close)
        stack.callback(one.shelf.blobs.close)
        yield one


async def tried(copying: Copying, owner: str, file_id: str, to: str, within_s: float = 20) -> bool:
    """Whether there is a copy now; what fails, fails with an error of ours."""
    try:
        await copying.copy(owner, file_id, to, PLACES[to][0], within_s=within_s)
    except ExaiError:
        return False
    return True


async def settled(copying: Copying, clock: Shifted) -> None:
    """Let nothing wait for anything."""
    copying.emulator.faults.clear()
    copying.emulator.clock.advance(DOUBT.total_seconds())
    clock.ahead += DOUBT
    await copying.remote.settle_lost()


async def differences(copying: Copying) -> dict[str, set[str]]:
    """Objects without a row that knows them, and rows that rely on an object which is not there."""
    objects = {held.file.id for held in copying.emulator.held_files()}
    rows = [row for to in PLACES for row in await copying.rows(to)]
    ready = {row.provider_file_id or "" for row in rows if row.status is Status.READY}
    going = {row.provider_file_id or "" for row in rows if row.status is Status.DELETING}
    unsure = {row.copy_id for row in rows if row.status in {Status.SENDING, Status.DOUBTFUL}}
    return {"unknown": objects - ready - going, "missing": ready - objects, "unsure": unsure}


AGREED: dict[str, set[str]] = {"unknown": set(), "missing": set(), "unsure": set()}


async def deleted(copying: Copying) -> int:
    """Delete what is condemned, as the jobs do, and return how much that was."""
    tables: CopyTables = copying.copies
    condemned = await tables.condemned(1_000)
    for file in condemned:
        store = copying.remote.stores[file.provider]
        how = await copying.remote.delete(store, file.provider_file_id)
        await copying.remote.confirm_deleted(file, how)
    return len(condemned)


@pytest.mark.parametrize("name", UPLOAD_FAULTS)
@pytest.mark.parametrize("to", PLACES)
async def test_after_a_fault_of_an_upload_rows_and_objects_agree(
    copying: Copying, clock: Shifted, to: str, name: str
) -> None:
    file_id = await copying.shelf.put("alice", "a", PLACES[to][1] + bytes(40 * SIZE))
    copying.emulator.faults.add(to, ready_fault(to, name))
    await tried(copying, "alice", file_id, to, within_s=2)
    assert copying.emulator.faults.struck[to] == 1
    assert await tried(copying, "alice", file_id, to)
    await settled(copying, clock)
    assert await differences(copying) == AGREED
    assert len(copying.there(to)) == 1
    await copying.shelf.shelf.remove("alice", file_id)
    assert await deleted(copying) == 1
    assert (copying.there(to), await differences(copying)) == ([], AGREED)


def weather(luck: random.Random) -> Fault:
    """Something that goes wrong with an upload, a list, a look or a deletion."""
    path = luck.choice(["/files", None])
    return luck.choice(
        [
            Fault(path=path, cut="reset", at="before_headers"),
            Fault(path=path, cut="truncate"),
            Fault(path=path, error="empty_502", takes_effect=True),
            Fault(path=path, status=503),
            Fault(path="/files", cut="reset", at="while_receiving", after_bytes=luck.randrange(SIZE)),
            Fault(path="/files", status=429, at="while_receiving", after_bytes=luck.randrange(SIZE)),
            Fault(path=path, frame="not_json", before_first_byte_ms=20),
        ]
    )


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_mixed_operations_with_faults_rows_and_objects_agree(
    copying: Copying, clock: Shifted, seed: int
) -> None:
    luck = random.Random(seed)
    emulator = copying.emulator
    emulator.accounts["kimi"].state.files = FileState(name_suffix="always")
    files: list[tuple[str, str, str]] = []
    for number in range(OPERATIONS):
        to, owner = luck.choice(list(PLACES)), luck.choice(["alice", "bob"])
        if luck.random() < 0.3:
            emulator.faults.add(to, weather(luck))
        drawn = luck.random()
        if drawn < 0.4 or not files:
            content = PLACES[to][1] + bytes([luck.randrange(12)]) * SIZE
            file_id = await copying.shelf.put(owner, f"{number}", content)
            files.append((owner, file_id, to))
            await tried(copying, owner, file_id, to)
        elif drawn < 0.75:
            await tried(copying, *luck.choice(files))
        elif drawn < 0.9:
            owner, file_id, _ = files.pop(luck.randrange(len(files)))
            await copying.shelf.shelf.remove(owner, file_id)
        elif held := list(emulator.held_files()):
            emulator.lose_files(to, luck.choice(held).file.id)
    assert emulator.faults.struck.total() > OPERATIONS // 10
    await settled(copying, clock)
    clock.ahead += DAY
    assert all([await tried(copying, *each) for each in files])
    assert await differences(copying) | {"missing": set()} == AGREED
    await deleted(copying)
    wanted = {
        (owner, to, (await copying.shelf.shelf.get(owner, file_id)).sha256) for owner, file_id, to in files
    }
    assert len(list(emulator.held_files())) == len(wanted)
    for owner, file_id, _ in files:
        await copying.shelf.shelf.remove(owner, file_id)
    await deleted(copying)
    assert list(emulator.held_files()) == []
