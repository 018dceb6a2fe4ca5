"""Changes of workspaces: what is read of a repository, and what of a hostile one does nothing."""

from pathlib import Path

import pytest
from dulwich import porcelain

from evidence.test_trees import TOKEN
from exai.errors import BadArguments
from exai.evidence.faults import NotARepository
from exai.evidence.git import changes
from exai.evidence.git.changes import Change, change_of, patched
from support.repositories import GitRepository


@pytest.fixture
def made(tmp_path: Path) -> GitRepository:
    made = GitRepository(tmp_path / "repo")
    made.commit({"a.py": "1\n2\n3\n", "b.py": "b\n", "src/c.py": "c\n", ".gitignore": "*.log\n"})
    return made


def files(change: Change) -> dict[str, tuple[str, int]]:
    return {file.path: (file.status, file.size) for file in change.files}


def test_each_kind_of_change_is_read_by_itself(made: GitRepository) -> None:
    first = made.repo.head().decode()
    made.branch("topic")
    made.commit({"a.py": "1\n2\nthree\n"})
    made.write({"b.py": "staged\n"})
    made.stage("b.py")
    made.write({"src/c.py": "unstaged\n", "new.py": "n\n", "out.log": "ignored\n"})
    (made.folder / ".gitignore").unlink()
    made.write({".gitignore": "*.log\n"})
    tree = made.tree
    assert files(change_of("staged", tree())) == {"b.py": ("changed", 2)}
    assert files(change_of("unstaged", tree())) == {"src/c.py": ("changed", 2)}
    everything = {"b.py": ("changed", 2), "new.py": ("added", 1), "src/c.py": ("changed", 2)}
    assert files(change_of("", tree())) == files(change_of("all", tree())) == everything
    assert files(change_of("main", tree())) == {"a.py": ("changed", 2), **everything}
    for spec in ("main..topic", "main...topic", f"{first}..", "main..HEAD"):
        found = change_of(spec, tree())
        assert files(found) == {"a.py": ("changed", 2)}
        assert found.rev == made.repo.head().decode()
    assert files(change_of("..main", tree())) == {"a.py": ("changed", 2)}
    with pytest.raises(BadArguments, match="no commit `none`"):
        change_of("none", tree())


def test_what_is_removed_and_what_is_added_is_shown(made: GitRepository) -> None:
    made.write({"a.py": None, "d.py": "d\n"})
    found = change_of("all", made.tree())
    assert files(found) == {"a.py": ("deleted", 3), "d.py": ("added", 1)}
    assert [file.lines for file in found.files] == [None, ("d",)]


def test_the_change_of_a_folder_has_paths_of_that_folder(made: GitRepository) -> None:
    made.write({"a.py": "x\n", "src/c.py": "x\n"})
    found = change_of("all", made.tree("src", [made.folder]))
    assert files(found) == {"c.py": ("changed", 2)}
    made.stage("a.py", "src/c.py")
    found = change_of("staged", made.tree("src", [made.folder]))
    assert files(found) == {"c.py": ("changed", 2)}
    assert found.notes == ["files outside the workspace change too; they are not looked at"]


def test_a_repository_without_a_commit_has_everything_added(tmp_path: Path) -> None:
    made = GitRepository(tmp_path / "new")
    made.write({"a.py": "1\n", "b.py": "2\n"})
    made.stage("a.py")
    assert files(change_of("staged", made.tree())) == {"a.py": ("added", 1)}
    assert files(change_of("all", made.tree())) == {"a.py": ("added", 1), "b.py": ("added", 1)}


def test_no_repository_is_said(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    made = GitRepository(tmp_path / "other")
    tree = made.tree
    made.folder.joinpath(".git").rename(tmp_path / "gone")
    with pytest.raises(NotARepository, match="no git repository"):
        change_of("all", tree())


def test_ends_of_lines_and_modes_are_no_change(made: GitRepository) -> None:
    made.write({"a.py": "1\r\n2\r\n3\r\n"})
    (made.folder / "b.py").chmod(0o755)
    assert change_of("all", made.tree()).files == []


def test_filters_hooks_and_text_conversion_run_nothing(made: GitRepository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    for name in ("pre-commit", "post-index-change", "fsmonitor-watchman"):
        hook = made.folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_bytes(program.read_bytes())
        hook.chmod(0o755)
    with (made.folder / ".git" / "config").open("a") as config:
        config.write(
            f'[filter "x"]\n clean = {program}\n smudge = {program}\n process = {program}\n required = true\n'
            f'[diff "x"]\n textconv = {program}\n command = {program}\n[diff]\n external = {program}\n'
            f"[core]\n fsmonitor = {program}\n pager = {program}\n sshCommand = {program}\n"
            "[include]\n path = /etc/passwd\n"
        )
    made.write({".gitattributes": "* filter=x diff=x\n", "a.py": "changed\n"})
    assert files(change_of("all", made.tree())) == {".gitattributes": ("added", 1), "a.py": ("changed", 4)}
    assert not ran.exists()


def test_what_cannot_be_shown_is_named(made: GitRepository) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"
    made.commit({"model.txt": pointer, "data.bin": b"\0\1", "link": "x\n", "gone.py": "gone\n"})
    entry = found_blob(made, "gone.py")
    made.write({"model.txt": "big\n", "data.bin": b"\0\2", "gone.py": "new\n", ".env": "KEY=1\n"})
    made.loose(entry).unlink()
    (made.folder / "link").unlink()
    (made.folder / "link").symlink_to("a.py")
    found = change_of("all", made.tree())
    assert files(found) == {}
    assert found.notes == [
        "data.bin: no text, or too large",
        f"gone.py: object {entry[:12]} is missing",
        "model.txt: kept by git-lfs, whose contents are not in the repository",
    ]


@pytest.mark.parametrize("spec", ["all", "staged", "HEAD~1..HEAD"])
def test_files_whose_names_are_no_text_are_said_once_and_the_others_shown(
    made: GitRepository, spec: str
) -> None:
    made.write({"a.py": "1\n2\n", "b\udcff.py": "x\n", "c\udcfe.py": "x\n"})
    made.repo.get_worktree().stage([b"a.py", b"b\xff.py", b"c\xfe.py"])
    if ".." in spec:
        porcelain.commit(made.repo, b"names", author=b"Ada <a@b>", committer=b"Ada <a@b>")
    found = change_of(spec, made.tree())
    assert list(files(found)) == ["a.py"]
    assert found.notes == ["files whose names are not UTF-8 are not looked at"]


def found_blob(made: GitRepository, path: str) -> str:
    sha: bytes = made.repo.open_index()[path.encode()].sha
    return sha.decode()


def test_submodules_links_and_secrets_of_a_commit_are_named(made: GitRepository) -> None:
    from dulwich.index import IndexEntry

    index = made.repo.open_index()
    for name, mode in ((b"sub", 0o160000), (b"link", 0o120000), (b".env", 0o100644)):
        index[name] = IndexEntry(0, 0, 0, 0, mode, 0, 0, 0, found_blob(made, "a.py").encode(), 0, 0)
    index.write()
    found = change_of("staged", made.tree())
    assert found.files == []
    assert found.notes == [
        ".env: looks as if it held environment secrets",
        "link: a link",
        f"sub: a submodule, from none to {found_blob(made, 'a.py')[:12]}",
    ]


def test_no_change_has_a_secret(made: GitRepository) -> None:
    made.commit({"a.py": f"key = '{TOKEN}'\n"})
    made.write({"a.py": f"key = '{TOKEN}'\nother = 1\n"})
    for change in (
        change_of("all", made.tree()),
        change_of("HEAD~1..HEAD", made.tree()),
        patched(f"--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-b\n+{TOKEN}\n", made.tree()),
    ):
        assert TOKEN not in repr(change)
        assert "github-pat" in repr(change)


def test_a_corrupt_tree_or_index_is_said(made: GitRepository) -> None:
    first = made.repo.head().decode()
    (made.folder / ".git" / "index").write_bytes(b"broken")
    with pytest.raises(NotARepository, match="index"):
        change_of("all", made.tree())
    made.loose(first).unlink()
    with pytest.raises((NotARepository, BadArguments)):
        change_of("HEAD..HEAD", made.tree())


def test_a_change_has_bounds(made: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    made.write({f"new{n}.py": "x\n" for n in range(5)})
    monkeypatch.setattr(changes, "MOST_UNTRACKED", 3)
    found = change_of("all", made.tree())
    assert len(found.files) == 3
    assert "not tracked" in found.notes[0]
    monkeypatch.setattr(changes, "MOST_FILES", 2)
    found = change_of("all", made.tree())
    assert len(found.files) == 2
    assert any("more than 2 files" in note for note in found.notes)


def test_histories_without_a_common_commit_are_compared_directly(made: GitRepository) -> None:
    first = made.repo.head().decode()
    made.branch("main")
    made.repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/orphan")
    made.commit({"a.py": "other\n"})
    found = change_of(first, made.tree())
    assert found.notes == ["no common ancestor was found, so the commit itself is compared with"]
    assert files(found) == {"a.py": ("changed", 4)}


def test_a_patch_stands_for_a_change(made: GitRepository) -> None:
    patch = "--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n 1\n-x\n+2\n 3\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-b\n+c\n"
    found = patched(f"{patch}--- a/.env\n+++ b/.env\n@@ -1 +1 @@\n-b\n+c\n", made.tree())
    assert files(found) == {"a.py": ("changed", 2), "b.py": ("changed", 2)}
    assert [file.lines for file in found.files] == [("1", "2", "3"), None]
    assert found.notes == [".env is left out, as it is there to hold a secret"]
