"""What nobody uses any more is deleted at the provider, whenever the processes that do it are killed."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exai.app import daemon as daemon_module
from exai.app import jobs, services, upload_deletions
from exai.app.upload_deletions import UploadDeletions
from exai.config import Settings
from exai.jobs.job import State
from exai.jobs.testing import JobsByHand
from exai.providers.remote_files.accounts import account_fingerprint
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.router import ModelRouter
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import CopyKey, Status, Store
from exai_emulator import Emulator, Fault
from support.copies import keep
from support.daemons import Daemon, StartDaemon, clean_environ
from support.forked_runs import ForkedRuns, forked_runs
from support.mcp_websocket import mcp_socket
from support.upload_deletion_process import BOUNDARIES
from support.waiting import wait_until

PROCESS = Path(__file__).parents[1] / "support" / "upload_deletion_process.py"
UNUSED = timedelta(days=31)
CONDEMNED = {Status.DELETING, Status.UNDELETED}


class Account:
    """Kimi's file store of the emulator, and what EXAI knows of it."""

    def __init__(self, emulator: Emulator, settings: Settings, database: Database) -> None:
        self.emulator = emulator
        self.table = CopyTables(database)
        self.database = database
        self.settings = settings
        there = emulator.addresses
        self.store = Store("kimi", account_fingerprint(there.kimi, there.kimi_key))

    async def put(
        self, name: str, *, content: str | None = None, unused_for: timedelta = timedelta(0)
    ) -> str:
        """A file of Alice's there with its row; its id."""
        now = datetime.now(UTC)
        file = self.emulator.place_file("kimi", name, "image", name.encode(), file_id=f"file_{name}")
        digest = f"sha256 of {content or name}"
        await keep(self.table, self.store, "image", "alice", digest, file.id, now - unused_for)
        return file.id

    @property
    def files(self) -> set[str]:
        return {file.id for file in self.emulator.accounts["kimi"].files}

    def deletions(self) -> Counter[str]:
        """How often each file was deleted, as far as the provider did it."""
        return Counter(
            record.path.rpartition("/")[2]
            for record in self.emulator.log.requests
            if record.method == "DELETE" and record.status == 200
        )

    async def rows(self) -> tuple[set[str], set[str]]:
        """Ids in use, and condemned ones."""
        rows = await self.table.of_store(self.store)
        used = {row.provider_file_id or "" for row in rows if row.status is Status.READY}
        return used, {row.provider_file_id or "" for row in rows if row.status in CONDEMNED}


@pytest.fixture
def settings(emulator: Emulator, tmp_path: Path) -> dict[str, Any]:
    there = emulator.addresses
    return {
        "data_dir": str(tmp_path / "data"),
        "jobs": {"poll_s": 0.02},
        "providers": {"kimi": {"base_url": there.kimi, "api_key": there.kimi_key}},
    }


@pytest.fixture
async def account(emulator: Emulator, settings: dict[str, Any]) -> AsyncIterator[Account]:
    tree = Settings.model_validate(settings)
    database = await Database.open(tree.database, tree.data_dir)
    yield Account(emulator, tree, database)
    await database.close()


@pytest.fixture
async def processes() -> AsyncIterator[ForkedRuns]:
    async with forked_runs(PROCESS) as runs:
        yield runs


async def test_killed_at_each_boundary_every_unused_file_is_deleted_once_and_no_other(
    account: Account, settings: dict[str, Any], processes: ForkedRuns
) -> None:
    """Each process finds what the one before left, and further files of its own."""
    unused, used = set(), {await account.put("used")}
    ends = [(boundary, 1) for boundary in BOUNDARIES]
    ends += [(boundary, 2) for boundary in BOUNDARIES if "record" in boundary]
    for number, (boundary, times) in enumerate(ends):
        unused |= {await account.put(f"{number}_{each}", unused_for=UNUSED) for each in range(2)}
        order = {"settings": settings, "boundary": boundary, "times": times}
        assert await processes.run(order) == [-9], boundary
        if f"file_{number}_0" not in (await account.rows())[0]:
            # What is condemned comes again, and lies there anew whatever becomes of the older file.
            used.add(await account.put(f"{number}_again", content=f"{number}_0"))
    assert len(used) > 3
    assert await processes.run({"settings": settings}) == [0]
    assert account.files == used
    assert await account.rows() == (used, set())
    assert account.deletions() == Counter(unused)


async def test_two_at_once_delete_each_file_once(
    account: Account, settings: dict[str, Any], processes: ForkedRuns
) -> None:
    unused = {await account.put(f"unused_{each}", unused_for=UNUSED) for each in range(10)}
    order = {"settings": settings}
    assert await processes.run(order, order) == [0, 0]
    assert account.files == set()
    assert account.deletions() == Counter(unused)


async def test_what_is_used_again_before_it_is_condemned_stays(
    account: Account, settings: dict[str, Any], processes: ForkedRuns
) -> None:
    again = await account.put("again", unused_for=UNUSED)
    gone = await account.put("gone", unused_for=UNUSED)
    key = CopyKey(account.store, "image", "alice", "sha256 of again")
    found = await account.table.use(key, datetime.now(UTC))
    assert found is not None
    assert found.provider_file_id == again
    assert await processes.run({"settings": settings}) == [0]
    assert account.files == {again}
    assert account.deletions() == Counter([gone])


@pytest.fixture
async def remote(account: Account) -> AsyncIterator[RemoteFiles]:
    tree = account.settings
    router = ModelRouter.from_settings(
        tree.providers, tree.models, tree.timeouts, SystemClock(), copies=account.table
    )
    yield RemoteFiles(router.file_hosts, account.table, SystemClock(), tree.files, request_s=10)
    await router.close()


async def test_a_provider_that_fails_for_days_is_asked_again_until_it_does(
    account: Account, remote: RemoteFiles
) -> None:
    file = await account.put("unused", unused_for=UNUSED)
    account.emulator.faults.add("kimi", Fault(path=f"/files/{file}", error="server_error", times=30))
    deletions = UploadDeletions(remote, account.table)
    clock = ManualClock()
    began = clock.wall()
    jobs = JobsByHand([deletions.kind(account.settings.jobs)], clock)
    assert await deletions.delete_unused(jobs) == 1
    assert await deletions.start_jobs(jobs) == 1
    (job,) = await jobs.drain(waiting=True)
    assert (job.state, job.failures, job.principal) == (State.DONE, 30, "alice")
    assert 4 * 86_400 < clock.wall() - began < 14 * 86_400
    assert account.files == set()
    assert await account.rows() == (set(), set())


async def test_a_provider_that_never_does_it_leaves_a_dead_job_and_the_row(
    account: Account, remote: RemoteFiles
) -> None:
    file = await account.put("unused", unused_for=UNUSED)
    account.emulator.faults.add("kimi", Fault(path=f"/files/{file}", error="server_error", times=None))
    deletions = UploadDeletions(remote, account.table)
    jobs = JobsByHand([deletions.kind(account.settings.jobs)], ManualClock())
    await deletions.delete_unused(jobs)
    (job,) = await jobs.drain(waiting=True)
    assert job.state is State.DEAD
    assert job.last_error is not None
    assert job.last_error.startswith("provider_failed: ")
    assert await account.rows() == (set(), {file})
    await deletions.delete_unused(jobs)
    assert jobs.enqueued() == []
    (row,) = await account.table.of_store(account.store)
    assert (row.status, row.error_code) == (Status.UNDELETED, "provider_failed")
    assert await account.table.retry() == 1
    account.emulator.faults.clear()
    assert await deletions.start_jobs(jobs) == 1
    (job,) = await jobs.drain(waiting=True)
    assert job.state is State.DONE
    assert account.files == set()
    assert await account.rows() == (set(), set())


async def test_dead_jobs_hold_up_no_later_file(
    account: Account, remote: RemoteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_deletions, "PAGE", 2)
    for number in range(3):
        file = await account.put(f"lasting{number}", unused_for=UNUSED)
        account.emulator.faults.add("kimi", Fault(path=f"/files/{file}", error="server_error", times=None))
    deletions = UploadDeletions(remote, account.table)
    jobs = JobsByHand([deletions.kind(account.settings.jobs)], ManualClock())
    assert await deletions.delete_unused(jobs) == 3
    assert {job.state for job in await jobs.drain(waiting=True)} == {State.DEAD}
    later = await account.put("later", unused_for=UNUSED)
    assert await deletions.delete_unused(jobs) == 4
    (job,) = await jobs.drain(waiting=True)
    assert job.state is State.DONE
    assert later not in account.files


async def test_a_file_that_has_gone_is_deleted(account: Account, remote: RemoteFiles) -> None:
    file = await account.put("unused", unused_for=UNUSED)
    account.emulator.accounts["kimi"].files.remove(file)
    deletions = UploadDeletions(remote, account.table)
    jobs = JobsByHand([deletions.kind(account.settings.jobs)], ManualClock(), at_once=True)
    await deletions.delete_unused(jobs)
    (job,) = await jobs.list()
    assert (job.state, job.attempt) == (State.DONE, 1)
    assert await account.rows() == (set(), set())


async def test_a_daemon_that_is_stopped_while_it_deletes_does_it_in_its_next_run(
    account: Account, start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    file = await account.put("unused", unused_for=UNUSED)
    emulator.faults.add("kimi", Fault(path=f"/files/{file}", before_headers_ms=600_000))
    async with start_daemon(EXAI_JOBS__POLL_S="0.05") as daemon:
        await emulator.log.wait_for(lambda record: record.method == "DELETE")
        daemon.process.terminate()
        assert await daemon.ended() == 0
    async with start_daemon(EXAI_JOBS__POLL_S="0.05") as daemon:
        await wait_until(lambda: not account.files, what="the file is deleted")
        done = 'exai_jobs{kind="delete_upload",state="done"} 1.0'
        await wait_until(lambda: _is_said(daemon, done), what="the job is counted as done")
        assert await _status(daemon) == [{"kind": "delete_upload", "state": "done", "jobs": 1}]
    assert "dbos" not in daemon.log
    assert await account.rows() == (set(), set())


async def _status(daemon: Daemon) -> Any:
    async with mcp_socket(daemon.mcp_ws) as socket:
        return (await socket.tool("status", {"section": "jobs"}))["structuredContent"]["jobs"]


async def _is_said(daemon: Daemon, line: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.operations}/metrics") as response:
        return line in (await response.text()).splitlines()


async def test_a_daemon_without_jobs_has_imported_nothing_of_their_engine(
    account: Account, settings: dict[str, Any], tmp_path: Path
) -> None:
    await account.put("used")
    ports = {"server": {"port": 0, "operations_port": 0, "errors_port": 0}}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(PROCESS.with_name("daemon_without_jobs.py")),
        json.dumps({**settings, **ports}),
        stdout=asyncio.subprocess.PIPE,
        env=clean_environ(tmp_path),
    )
    said, _ = await process.communicate()
    assert json.loads(said.splitlines()[0]) == {"begun": 0, "imported": [], "threads": []}
    assert process.returncode == 0
    assert not _jobs_file(settings).exists()


async def test_where_no_jobs_are_run_nothing_is_condemned(
    account: Account, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await account.put("unused", unused_for=UNUSED)
    opened: list[str] = []
    monkeypatch.setattr(jobs, "DurableJobs", lambda *_, **__: opened.append("jobs"))

    async def ended(*_: Any, **__: Any) -> None:
        opened.append("stdio")

    monkeypatch.setattr(daemon_module, "serve_stdio", ended)
    await daemon_module.run_stdio(account.settings, demo=False)
    tree = Settings.model_validate({**settings, "jobs": {"run": False}})
    async with services.build(tree, version="0") as built:
        assert built.jobs is None
    assert opened == ["stdio"]
    assert await account.rows() == ({file}, set())


def _jobs_file(settings: dict[str, Any]) -> Path:
    return Path(settings["data_dir"]) / "jobs.sqlite"
