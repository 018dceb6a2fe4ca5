"""The work tree of a person: its hooks, and the index of a commit that is being made."""

from contextlib import closing
from pathlib import Path

import pytest

from exai.evidence.faults import NotARepository
from exai.evidence.git.changes import change_of
from exai.evidence.git.hooks import WorkTree
from support.repositories import GitRepository


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    made = GitRepository(tmp_path / "project")
    made.commit({"a.py": "x = 1\n", "b.py": "y = 1\n"})
    return made


@pytest.mark.parametrize("named", [None, "", ".git/index", "absolute"])
def test_the_usual_index_is_none_of_its_own(repository: GitRepository, named: str | None) -> None:
    index = str(repository.folder / ".git" / "index") if named == "absolute" else named
    with closing(WorkTree(repository.folder)) as tree:
        assert tree.index({} if index is None else {"GIT_INDEX_FILE": index}) is None


def test_what_a_commit_takes_is_read_from_its_own_index(repository: GitRepository) -> None:
    folder = repository.folder
    repository.write({"a.py": "x = 2\n", "b.py": "y = 2\n"})
    usual = (folder / ".git" / "index").read_bytes()
    repository.stage("a.py", "b.py")
    own = folder / ".git" / "next-index-7.lock"
    own.write_bytes((folder / ".git" / "index").read_bytes())
    (folder / ".git" / "index").write_bytes(usual)
    with closing(WorkTree(folder)) as tree:
        assert tree.index({"GIT_INDEX_FILE": ".git/next-index-7.lock"}) == own
    assert change_of("staged", repository.tree()).files == []
    changed = change_of("staged", repository.tree(), index_file=str(own)).files
    assert [file.path for file in changed] == ["a.py", "b.py"]


def test_a_folder_outside_and_a_bare_repository_are_none(tmp_path: Path, repository: GitRepository) -> None:
    with pytest.raises(NotARepository, match="no git repository"):
        WorkTree(tmp_path)
    config = repository.repo.get_config()
    config.set((b"core",), b"bare", b"true")
    config.write_to_path()
    with pytest.raises(NotARepository):
        WorkTree(repository.folder / ".git")
