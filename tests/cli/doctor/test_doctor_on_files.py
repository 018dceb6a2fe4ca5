"""`exai doctor` on what is stored: damage, quotas, and copies that nobody deletes any more."""

import importlib.util
from pathlib import Path

import pytest

from exai.cli.doctor.files import (
    check_bucket,
    check_dead_jobs,
    check_file_store,
    check_secret_check,
    check_stored_files,
)
from exai.cli.doctor.findings import State
from exai.config.sources import Loaded, load
from exai.jobs.durable import DurableJobs
from exai.jobs.job import State as JobState
from exai.jobs.kinds import Done, End, GiveUp, Kind, RunningJob
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.fleet.runs import new_run_id
from support.shelves import OpenShelf
from support.waiting import wait_until


def loaded(home: Path, **environ: str) -> Loaded:
    given = {"HOME": str(home), "EXAI_DATA_DIR": str(home / "data"), "KIMI_API_KEY": "k", **environ}
    return load(environ=given, config_file=None, overrides=(), cwd=home)


async def test_damage_and_full_quotas_are_found(tmp_path: Path) -> None:
    tree = loaded(tmp_path, EXAI_FILES__MAX_OWNER_FILES="2")
    (tmp_path / "data").mkdir(mode=0o700)
    database = await Database.open(tree.settings.database, tree.settings.data_dir)
    shelf = OpenShelf(database, tree.settings.data_dir / "files")
    first = await shelf.put("alice", "canary-name", b"first")
    await shelf.put("bob", "b", b"second")
    [found] = await check_stored_files(tree)
    assert (found.state, found.message) == (State.OK, "2 contents of 0 MiB, none known to be damaged")
    await shelf.put("alice", "a", b"third")
    await shelf.tables.mark_damaged((await shelf.shelf.get("alice", first)).sha256)
    damage, quota = await check_stored_files(tree)
    assert (damage.state, quota.state) == (State.PROBLEM, State.WARNING)
    assert damage.message == "1 stored contents are missing or changed"
    assert quota.message == "1 owners have 90% of their quota or more"
    assert "canary" not in f"{damage}{quota}"
    shelf.blobs.close()
    await database.close()


def forget_modules(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let modules be as if they were not installed."""

    def find_spec(name: str) -> object:
        return None if name in names else importlib.util.find_spec(name)

    monkeypatch.setattr("exai.cli.doctor.files.find_spec", find_spec)
    monkeypatch.setattr("exai.cli.doctor.files.has_kingfisher", lambda: "kingfisher_sdk" not in names)


async def test_extras_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_modules(monkeypatch, "obstore", "kingfisher_sdk")
    tree = loaded(tmp_path, EXAI_FILES__STORE="s3://bucket/place")
    [store] = await check_file_store(tree)
    assert (store.state, store.fix) == (State.PROBLEM, "Run `pip install 'exai[s3]'`.")
    assert await check_bucket(tree) == []
    [secrets] = await check_secret_check(tree)
    assert (secrets.state, "exai[secrets]" in secrets.message) == (State.OK, True)
    forget_modules(monkeypatch)
    [secrets] = await check_secret_check(tree)
    assert (secrets.state, secrets.message) == (State.OK, "the built-in rules and those of Kingfisher")
    [off] = await check_secret_check(loaded(tmp_path, EXAI_FILES__SECRETS="off"))
    assert (off.state, "`files.secrets`" in (off.fix or "")) == (State.WARNING, True)


async def test_jobs_that_were_given_up_are_found(tmp_path: Path) -> None:
    tree = loaded(tmp_path)
    assert await check_dead_jobs(tree) == []

    async def gives_up(_: RunningJob) -> End:
        return GiveUp("nobody can")

    async def does(_: RunningJob) -> End:
        return Done()

    kinds = (Kind("delete_upload", gives_up), Kind("other", does))
    file = tree.settings.data_dir / "jobs.sqlite"
    jobs = DurableJobs(kinds, file, new_run_id(), SystemClock(), publish=lambda _: None, poll_s=0.05)
    try:
        ids = [await jobs.start(kind.name, {}, key="1", principal="alice") for kind in kinds]
        for each in ids:

            async def is_over(each: str = each) -> bool:
                job = await jobs.find(each)
                return job is not None and job.state in {JobState.DEAD, JobState.DONE}

            await wait_until(is_over, what="the job is over")
        [dead] = await check_dead_jobs(tree)
    finally:
        await jobs.close()
    assert (dead.state, dead.message) == (State.PROBLEM, "1 jobs of the kind delete_upload were given up")
    file.write_bytes(b"no database" * 100)
    [broken] = await check_dead_jobs(tree)
    assert (broken.state, str(file) in broken.message) == (State.PROBLEM, True)


async def test_without_a_database_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert await check_stored_files(loaded(tmp_path)) == []
    assert not (tmp_path / "data").exists()
