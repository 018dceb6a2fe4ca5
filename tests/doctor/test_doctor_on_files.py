"""`exai doctor` on what is stored: damage, quotas, and copies that nobody deletes any more."""

from pathlib import Path

from exai.config.sources import Loaded, load
from exai.doctor.files import check_stored_files
from exai.doctor.findings import State
from exai.storage.database import Database
from support.shelves import OpenShelf


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


async def test_without_a_database_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert await check_stored_files(loaded(tmp_path)) == []
    assert not (tmp_path / "data").exists()
