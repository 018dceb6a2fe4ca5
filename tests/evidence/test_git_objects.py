"""Repositories by their files: what is found, and what a hostile one cannot do."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from exai.errors import BadArguments
from exai.evidence.git import objects
from exai.evidence.git.changes import merge_base
from exai.evidence.git.objects import Repository, Unreadable
from support.repositories import GitRepository

_open: list[Repository] = []


@pytest.fixture
def made(tmp_path: Path) -> Iterator[GitRepository]:
    yield GitRepository(tmp_path / "repo")
    while _open:
        _open.pop().close()


def found(made: GitRepository, folder: Path | None = None, *roots: Path) -> Repository:
    repository = Repository.find(str(folder or made.folder), [*roots] or [made.folder])
    assert repository is not None
    _open.append(repository)
    return repository


def test_revisions_are_found_loose_and_packed(made: GitRepository) -> None:
    first = made.commit({"a.py": "1\n", "folder/b.py": "1\n"})
    second = made.commit({"a.py": "2\n"})
    made.branch("topic/x", first)
    third = made.commit({"a.py": "3\n"})
    for _ in range(2):
        repository = found(made)
        assert repository.head == third
        expected = {
            "HEAD": third,
            "@": third,
            "main": second,
            "topic/x": third,
            "refs/heads/main": second,
            "HEAD~1": first,
            "main^": first,
            "main~": first,
            "HEAD^0": third,
            second: second,
            second[:8]: second,
        }
        assert {spec: repository.resolve(spec) for spec in expected} == expected
        for spec in (
            "none",
            "HEAD~9",
            "main^2",
            "",
            "../x",
            "a b",
            "0" * 40,
            "main:a.py",
            "refs/../HEAD",
            "HEAD@{1}",
        ):
            with pytest.raises(BadArguments, match="no commit"):
                repository.resolve(spec)
        assert merge_base(repository, second, third) == first
        entry = repository.entry(repository.commit(third), "folder/b.py")
        assert entry is not None
        assert repository.blob(entry.sha) == b"1\n"
        assert repository.entry(repository.commit(third), "folder/none/b.py") is None
        made.pack()


def test_a_repository_is_found_above_and_not_above_the_roots(made: GitRepository) -> None:
    made.commit({"folder/b.py": "1\n"})
    inside = made.folder / "folder"
    assert found(made, inside).top == str(made.folder)
    assert Repository.find(str(inside), [inside]) is None


def test_a_repository_without_a_commit_has_no_head(made: GitRepository) -> None:
    repository = found(made)
    assert (repository.head, repository.index) == (None, {})
    with pytest.raises(BadArguments):
        repository.resolve("HEAD")


def test_a_tag_leads_to_its_commit(made: GitRepository) -> None:
    from dulwich import porcelain

    first = made.commit({"a.py": "1\n"})
    porcelain.tag_create(made.repo, b"v1", author=b"A <a@b.c>", message=b"v", annotated=True, sign=False)
    assert found(made).resolve("v1") == first


def test_a_file_may_say_where_the_repository_is_below_the_roots_alone(
    made: GitRepository, tmp_path: Path
) -> None:
    first = made.commit({"a.py": "1\n"})
    linked = tmp_path / "linked"
    linked.mkdir()
    worktree = made.folder / ".git" / "worktrees" / "linked"
    worktree.mkdir(parents=True)
    (worktree / "HEAD").write_text("ref: refs/heads/main\n")
    (worktree / "commondir").write_text("../..\n")
    (linked / ".git").write_text(f"gitdir: {worktree}\n")
    assert found(made, linked, tmp_path.resolve()).resolve("HEAD") == first
    assert Repository.find(str(linked.resolve()), [linked.resolve()]) is None
    (linked / ".git").write_text("nothing of the kind\n")
    assert Repository.find(str(linked.resolve()), [linked.resolve()]) is None


def test_nothing_is_looked_for_outside(made: GitRepository, tmp_path: Path) -> None:
    other = GitRepository(tmp_path / "other")
    theirs = other.commit({"secret.py": "theirs\n"})
    made.commit({"a.py": "1\n"})
    info = made.folder / ".git" / "objects" / "info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_text(f"{other.folder}/.git/objects\n")
    (made.folder / ".git" / "objects" / theirs[:2]).symlink_to(other.loose(theirs).parent)
    (made.folder / ".git" / "refs" / "heads" / "out").symlink_to(
        other.folder / ".git" / "refs" / "heads" / "main"
    )
    repository = found(made)
    with pytest.raises(Unreadable, match="missing"):
        repository.get(theirs)
    with pytest.raises(BadArguments):
        repository.resolve("out")


def test_broken_objects_cost_what_needs_them(made: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made.commit({"a.py": "1\n", "b.py": "2\n"})
    commit = found(made).commit(first)
    entry = found(made).entry(commit, "a.py")
    assert entry is not None
    path = made.loose(entry.sha)
    path.chmod(0o644)
    for content in (
        b"",
        b"no zlib",
        zlib.compress(b"blob 2\0other"),
        zlib.compress(b"what 2\0x\n"),
        zlib.compress(b""),
    ):
        path.write_bytes(content)
        with pytest.raises(Unreadable):
            found(made).blob(entry.sha)
    path.write_bytes(zlib.compress(b"blob 9\0" + b"x" * 10_000))
    monkeypatch.setattr(objects, "MOST_OBJECT_BYTES", 1_000)
    with pytest.raises(Unreadable, match="too large"):
        found(made).blob(entry.sha)
    other = found(made).entry(commit, "b.py")
    assert other is not None
    assert found(made).blob(other.sha) == b"2\n"
    with pytest.raises(Unreadable, match="no file"):
        found(made).blob(commit.tree)
    with pytest.raises(Unreadable, match="no commit"):
        found(made).commit(commit.tree)
    with pytest.raises(Unreadable, match="no folder"):
        list(found(made).differences(None, other.sha))
    with pytest.raises(Unreadable, match="no name"):
        found(made).get("../../x")


def test_a_broken_pack_is_as_if_it_were_not_there(
    made: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made.commit({"a.py": "1\n"})
    made.pack()
    monkeypatch.setattr(objects, "MOST_PACK_BYTES", 10)
    with pytest.raises(BadArguments):
        found(made).resolve(first)
    monkeypatch.undo()
    (pack,) = (made.folder / ".git" / "objects" / "pack").glob("*.pack")
    pack.chmod(0o644)
    data = pack.read_bytes()
    for content in (
        b"",
        b"PACK" + data[4:40],
        data[:-30] + b"\0" * 30,
        data[:14] + b"\xff" * (len(data) - 14),
    ):
        pack.write_bytes(content)
        repository = found(made)
        with pytest.raises(BadArguments):
            repository.resolve(first)


def test_a_broken_index_is_said(made: GitRepository) -> None:
    made.commit({"a.py": "1\n"})
    (made.folder / ".git" / "index").write_bytes(b"DIRC\0\0\0\2\0\0\0\x09cut")
    with pytest.raises(Unreadable, match="index"):
        _ = found(made).index


def test_a_shallow_history_ends_where_it_is_cut(made: GitRepository) -> None:
    first = made.commit({"a.py": "1\n"})
    second = made.commit({"a.py": "2\n"})
    made.loose(first).unlink()
    (made.folder / ".git" / "shallow").write_text(f"{second}\n")
    repository = found(made)
    assert repository.parents(repository.commit(second)) == ()
    with pytest.raises(BadArguments, match="shallow"):
        repository.resolve("HEAD~1")
