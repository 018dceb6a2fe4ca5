"""Which commit a checkout is at, and whether the package in it was changed: for all versions of the index."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from exai.app.faults.checkout import checkout_of, commit_of, is_modified
from exai.app.faults.release import release_of
from support.repositories import GitRepository

NAMES = [f"src/pack/{'deep/' * depth}module_{depth}.py" for depth in range(4)]


@pytest.fixture(params=[2, 3, 4])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> GitRepository:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    made = GitRepository(tmp_path / "repo")
    made.commit({**dict.fromkeys(NAMES, "one\n"), "docs/a.md": "text\n", "src/package.py": "beside\n"})
    for arguments in (["reset", "-q"], ["update-index", f"--index-version={request.param}", "--refresh"]):
        subprocess.run([git, "-C", made.folder, *arguments], check=True)
    if request.param == 3:  # this version has flags, which is why git writes it
        subprocess.run([git, "-C", made.folder, "update-index", "--skip-worktree", "docs/a.md"], check=True)
    return made


def modified(made: GitRepository) -> bool:
    return is_modified(made.folder, made.folder / "src/pack")


def test_a_module_that_was_changed_removed_or_added_is_a_change(made: GitRepository) -> None:
    assert not modified(made)
    changes: list[dict[str, str | bytes | None]] = [
        {NAMES[2]: "two\n"},
        {NAMES[0]: None},
        {"src/pack/new.py": ""},
    ]
    for change in changes:
        made.write(change)
        assert modified(made), change
        for name in change:
            (made.folder / name).unlink(missing_ok=True)
        made.write(dict.fromkeys(set(change) & set(NAMES), "one\n"))
        assert not modified(made), "it is as before, at another time"


def test_what_is_beside_the_package_is_none(made: GitRepository) -> None:
    made.write({"docs/a.md": "other\n", "src/package.py": "other\n", "src/pack/notes.txt": "x"})
    assert not modified(made)
    os.utime(made.folder / NAMES[1])
    assert not modified(made)


def test_a_release_says_commit_and_change(made: GitRepository) -> None:
    package = made.folder / "src/pack"
    commit = commit_of(made.folder)
    assert checkout_of(package) == made.folder
    assert commit is not None
    assert commit == made.repo.head().decode()
    assert release_of("1.2.3", package) == f"1.2.3+{commit[:12]}"
    made.write({NAMES[0]: "two\n"})
    assert release_of("1.2.3", package) == f"1.2.3+{commit[:12]}-dirty"


def test_what_cannot_be_read_is_no_change(tmp_path: Path) -> None:
    made = GitRepository(tmp_path / "repo")
    made.commit({"src/pack/a.py": "1\n"})
    made.write({"src/pack/a.py": "2\n"})
    for broken in (
        b"",
        b"DIRC",
        b"DIRC\0\0\0\x09\0\0\0\1",
        b"DIRC\0\0\0\4\0\0\0\1" + b"\0" * 62,
        (made.folder / ".git/index").read_bytes()[:80],
    ):
        (made.folder / ".git/index").write_bytes(broken)
        assert not modified(made)
    assert release_of("1.2.3", tmp_path / "elsewhere" / "pack") == "1.2.3"
