"""Workspaces, each read by a real process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evidence.test_trees import TOKEN, write
from exai import config
from exai.errors import BadArguments, FileRefused
from exai.evidence.faults import NotARepository
from exai.evidence.pieces import Bounds, Wanted
from exai.evidence.requests import Opening
from exai.evidence.workspace import Workspace, Workspaces
from exai.files.faults import UnknownTree
from exai.files.heavy_work import HeavyWork
from exai.files.snapshots.manifests import ManifestEntry, encoded
from exai.storage.database import Database
from exai.storage.files.snapshots import Snapshot
from support.repositories import GitRepository
from support.shelves import OpenShelf, sha256_of

SOURCE = "def load(x):\n    return x\n"


def opened(folder: Path, answer_s: float = 30.0) -> Workspace:
    real = str(folder.resolve())
    return Workspace(Opening(folder=real, roots=(real,)), answer_s=answer_s)


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    write(tmp_path, **{"a.py": SOURCE, "b.py": f"from a import load\nKEY = '{TOKEN}'\n"})
    workspace = opened(tmp_path)
    yield workspace
    await workspace.close()


async def test_one_process_answers_every_question(workspace: Workspace) -> None:
    assert [path for path, _ in (await workspace.list_files("*.py")).files] == ["a.py", "b.py"]
    process = workspace._process
    assert (await workspace.read_lines("a.py", 2)).lines == ("    return x",)
    assert [hit.path for hit in (await workspace.search("import")).hits] == ["b.py"]
    assert [each.name for each in (await workspace.outline("a.py")).symbols] == ["load"]
    named = await workspace.symbol("load")
    assert (len(named.definitions), len(named.references)) == (1, 1)
    assert TOKEN not in repr(await workspace.read_lines("b.py"))
    assert workspace._process is process


async def test_history_and_evidence_are_gathered_by_the_process(tmp_path: Path) -> None:
    made = GitRepository(tmp_path / "repo")
    made.commit({"a.py": SOURCE}, "begin")
    made.write({"a.py": SOURCE.replace("x", "y")})
    workspace = opened(made.folder)
    try:
        found = await workspace.gather(("change", "changed_parts"), Wanted(change="all"), Bounds())
        assert [piece.source for piece in found.pieces] == ["change", "changed_parts"]
        assert (await workspace.git_log()).lines[0].endswith("begin")
        assert (await workspace.git_show("HEAD")).lines[4:6] == ("", "added: a.py")
        assert (await workspace.git_blame("a.py")).lines[0].endswith("def load(x):")
        assert "+def load(y):" in (await workspace.git_diff()).lines
        with pytest.raises(BadArguments, match="no commit"):
            await workspace.git_show("none")
    finally:
        await workspace.close()


async def test_no_repository_has_a_code_of_its_own(workspace: Workspace) -> None:
    with pytest.raises(NotARepository) as refused:
        await workspace.git_diff()
    assert refused.value.code == "not_a_repository"


async def test_questions_side_by_side_have_their_own_answers(workspace: Workspace) -> None:
    answers = await asyncio.gather(*(workspace.read_lines("a.py", 1 + n % 2, 1 + n % 2) for n in range(20)))
    assert [answer.first for answer in answers] == [1, 2] * 10


async def test_a_refusal_ends_no_process(workspace: Workspace) -> None:
    with pytest.raises(FileRefused):
        await workspace.outline("none")
    process = workspace._process
    with pytest.raises(BadArguments):
        await workspace.search()
    assert workspace._process is process


async def test_a_process_that_dies_is_replaced(workspace: Workspace) -> None:
    await workspace.list_files()
    process = workspace._process
    assert process is not None
    process.kill()
    with pytest.raises(FileRefused, match="could not be read"):
        await workspace.list_files()
    assert (await workspace.list_files()).total == 2


async def test_a_process_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    workspace = opened(tmp_path, answer_s=0.0)
    with pytest.raises(FileRefused, match="too much time"):
        await workspace.list_files()
    assert workspace._process is None


async def test_whoever_leaves_takes_the_process_along(workspace: Workspace) -> None:
    await workspace.list_files()
    process = workspace._process
    assert process is not None
    asked = asyncio.get_running_loop().create_task(workspace.list_files())
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert process.returncode is not None
    assert (await workspace.list_files()).total == 2


async def test_closing_leaves_no_process(workspace: Workspace) -> None:
    await workspace.list_files()
    process = workspace._process
    assert process is not None
    await workspace.close()
    await workspace.close()
    assert process.returncode is not None


def workspaces(shelf: OpenShelf, *roots: Path, meant: Path | None = None) -> Workspaces:
    settings = config.Files(roots=roots, workspace=meant)
    return Workspaces(settings, HeavyWork(settings), shelf.snapshots, shelf.shelf)


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> OpenShelf:
    return OpenShelf(database, tmp_path / "store", grace_hours=0)


@pytest.mark.sqlite
async def test_a_workspace_is_a_folder_below_the_roots(shelf: OpenShelf, tmp_path: Path) -> None:
    write(tmp_path, **{"root/project/a.py": SOURCE, "root/b.py": "", "other/c.py": ""})
    places = workspaces(shelf, tmp_path / "root")
    async with places.open("alice", str(tmp_path / "root" / "project")) as workspace:
        assert workspace.folder == str((tmp_path / "root" / "project").resolve())
        assert (await workspace.list_files()).total == 1
    async with places.open("alice") as workspace:
        assert (await workspace.list_files()).total == 2
    for given in (*(str(tmp_path / each) for each in ("other", "root/b.py", "root/../other")), "relative"):
        with pytest.raises(FileRefused):
            async with places.open("alice", given):
                pass


@pytest.mark.sqlite
async def test_which_workspace_is_asked_for_where_there_are_several(shelf: OpenShelf, tmp_path: Path) -> None:
    for roots in ((), (tmp_path / "a", tmp_path / "b")):
        with pytest.raises(BadArguments, match=r"Give `workspace`.*files\.roots"):
            async with workspaces(shelf, *roots).open("alice"):
                pass


@pytest.mark.sqlite
async def test_of_several_the_one_of_the_settings_is_meant(shelf: OpenShelf, tmp_path: Path) -> None:
    write(tmp_path, **{"a/x.py": SOURCE, "b/y.py": SOURCE, "c/z.py": SOURCE})
    roots = (tmp_path / "a", tmp_path / "b")
    places = workspaces(shelf, *roots, meant=tmp_path / "b")
    assert places.has_default
    async with places.open("alice") as workspace:
        assert [path for path, _ in (await workspace.list_files()).files] == ["y.py"]
    with pytest.raises(FileRefused):  # it is no way round the roots
        async with workspaces(shelf, *roots, meant=tmp_path / "c").open("alice"):
            pass


@pytest.mark.sqlite
async def test_a_snapshot_is_read_by_its_owner_alone(shelf: OpenShelf) -> None:
    files = {"src/a.py": SOURCE.encode(), ".env": b"KEY=1", "large.txt": b"x" * (2**21 + 1)}
    for path, content in files.items():
        await shelf.put("alice", path, content)
    entries = [ManifestEntry(path, "644", len(data), sha256_of(data)) for path, data in sorted(files.items())]
    snapshot = await shelf.snapshots.create("alice", encoded(entries))
    assert isinstance(snapshot, Snapshot)
    places = workspaces(shelf)
    async with places.open("alice", snapshot.tree_id) as workspace:
        assert [path for path, _ in (await workspace.list_files()).files] == ["large.txt", "src/a.py"]
        assert (await workspace.read_lines("src/a.py")).lines[0] == "def load(x):"
        with pytest.raises(FileRefused):
            await workspace.read_lines("large.txt")
        with pytest.raises(FileRefused):
            await workspace.read_lines(".env")
        await shelf.snapshots.remove("alice", snapshot.tree_id)
        with pytest.raises(UnknownTree):
            await workspace._fetch("src/a.py")
    for owner, tree_id in (("bob", snapshot.tree_id), ("alice", "tree_none")):
        with pytest.raises(UnknownTree):
            async with places.open(owner, tree_id):
                pass
