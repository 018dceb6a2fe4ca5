"""Commits, what they changed, whose a line is; and how that is shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence.test_trees import TOKEN, tree, write
from exai.errors import BadArguments, FileRefused
from exai.evidence.faults import NotARepository
from exai.evidence.git import history
from exai.evidence.git.answers import git_blame, git_diff, git_log, git_show
from exai.evidence.git.history import blame, changes_of, log
from exai.evidence.git.objects import Repository, Unreadable
from exai.evidence.trees import SnapshotTree
from support.repositories import GitRepository


@pytest.fixture
def made(tmp_path: Path) -> GitRepository:
    made = GitRepository(tmp_path / "repo")
    made.commit({"a.py": "1\n2\n3\n", "src/b.py": "b\n"}, "one")
    made.commit({"a.py": "1\ntwo\n3\n"}, "two")
    made.commit({"src/b.py": "b\nb\n"}, "three\n\nwhy")
    made.commit({"a.py": "0\n1\ntwo\n3\n"}, "four")
    return made


@pytest.fixture
def repository(made: GitRepository) -> Iterator[Repository]:
    found = Repository.find(str(made.folder), [made.folder])
    assert found is not None
    yield found
    found.close()


def head(repository: Repository) -> str:
    assert repository.head is not None
    return repository.head


def subjects(repository: Repository, path: str = "", most: int = 50) -> list[str]:
    return [commit.message.split("\n")[0] for commit in log(repository, head(repository), path, most)]


def test_commits_come_newest_first_and_by_path(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subjects(repository) == ["four", "three", "two", "one"]
    assert subjects(repository, most=2) == ["four", "three"]
    assert subjects(repository, "a.py") == ["four", "two", "one"]
    assert subjects(repository, "src") == ["three", "one"]
    assert subjects(repository, "none") == []
    monkeypatch.setattr(history, "WALK_S", -1)
    assert subjects(repository) == []


def test_each_line_is_from_the_commit_that_wrote_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whose(first: int, last: int) -> list[tuple[int, str]]:
        return [
            (each.line, each.commit.message.strip())
            for each in blame(repository, head(repository), "a.py", first, last)
        ]

    assert whose(1, 99) == [(1, "four"), (2, "one"), (3, "two"), (4, "one")]
    assert whose(3, 3) == [(3, "two")]
    assert whose(9, 9) == []
    monkeypatch.setattr(history, "WALK_S", -1)
    assert {name for _, name in whose(1, 4)} == {"four"}
    with pytest.raises(Unreadable):
        blame(repository, head(repository), "src", 1, 2)


def test_a_commit_whose_parent_is_missing_ends_the_history(
    made: GitRepository, repository: Repository
) -> None:
    commits = log(repository, head(repository))
    made.loose(commits[2].sha).unlink()
    with_a_gap = Repository.find(str(made.folder), [made.folder])
    assert with_a_gap is not None
    assert subjects(with_a_gap) == ["four", "three"]
    assert [each.commit.message for each in blame(with_a_gap, head(repository), "a.py", 2, 2)] == [
        "three\n\nwhy"
    ]


def test_what_a_commit_changed_has_no_secret(made: GitRepository) -> None:
    sha = made.commit({"a.py": f"{TOKEN}\n", ".env": "KEY=1\n", "x.bin": b"\0", "src/b.py": None})
    found = Repository.find(str(made.folder), [made.folder])
    assert found is not None
    files = changes_of(found, found.commit(sha), keeps_secrets=False)
    assert [(file.path, file.status) for file in files] == [("a.py", "changed"), ("src/b.py", "deleted")]
    assert TOKEN not in repr(files)
    assert [file.path for file in changes_of(found, found.commit(sha), "src", keeps_secrets=True)] == [
        "src/b.py"
    ]


def test_history_is_shown_as_lines(made: GitRepository) -> None:
    tree = made.tree()
    shown = git_log(tree, "", 2)
    assert [line.split(" ", 1)[1] for line in shown.lines] == [
        "2023-11-14 Ada: four",
        "2023-11-14 Ada: three",
    ]
    assert shown.has_more
    assert [
        line.rpartition(": ")[2] for line in git_log(made.tree("src", [made.folder]), "b.py", 9).lines
    ] == [
        "three",
        "one",
    ]
    lines = git_show(tree, "HEAD~1", "").lines
    assert lines[1:] == (
        "2023-11-14 Ada",
        "",
        "three",
        "",
        "why",
        "",
        "changed: src/b.py",
        "@@ from line 1 @@",
        " b",
        "+b",
    )
    blamed = git_blame(tree, "a.py", 2, 3).lines
    assert [line.split("│")[1] for line in blamed] == ["1", "two"]
    made.write({"a.py": "x\n", "new.py": "n\n"})
    diff = git_diff(made.tree(), "all", "").lines
    assert diff[:3] == ("changed: a.py", "@@ from line 1 @@", "-0")
    assert git_diff(made.tree(), "all", "./new.py").lines[0] == "added: new.py"
    assert git_diff(made.tree(), "staged", "").lines == ("# nothing changes in what is staged",)


def test_messages_have_no_secret_and_stay_one_line(made: GitRepository) -> None:
    made.commit({"a.py": "x\n"}, f"key {TOKEN}\r<<<FILE\n\nmore {TOKEN}")
    tree = made.tree()
    shown = (git_log(tree, "", 1), git_show(tree, "HEAD", ""))
    assert TOKEN not in repr(shown)
    assert all("\n" not in line and "\r" not in line for text in shown for line in text.lines)


def test_a_long_text_is_cut(made: GitRepository) -> None:
    made.write({"a.py": "x\n" * 1_000})
    text = git_diff(made.tree(), "all", "")
    assert (len(text.lines), text.has_more) == (400, True)


def test_what_has_no_history_says_so(tmp_path: Path, made: GitRepository) -> None:
    write(tmp_path, **{"plain/a.py": "x\n"})
    plain = tree(tmp_path / "plain")
    with pytest.raises(NotARepository):
        git_log(plain, "", 1)
    with pytest.raises(NotARepository):
        git_diff(SnapshotTree([], lambda _: None), "all", "")
    new = GitRepository(tmp_path / "new")
    with pytest.raises(NotARepository, match="no commit yet"):
        git_log(new.tree(), "", 1)
    with pytest.raises(BadArguments, match="no commit `none`"):
        git_show(made.tree(), "none", "")
    for path in ("none.py", ".env"):
        with pytest.raises(FileRefused, match="no committed file"):
            git_blame(made.tree(), path, 1, 2)
    made.loose(made.repo.head().decode()).unlink()
    with pytest.raises(NotARepository, match="cannot be read"):
        git_log(made.tree(), "", 1)
