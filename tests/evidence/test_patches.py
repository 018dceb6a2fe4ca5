"""Changes written as a unified diff."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.evidence.git.changes import change_of
from exai.evidence.git.hunks import FileChange, hunks_of, read_patch
from exai.evidence.git.patches import patch_of
from support.repositories import GitRepository

lines = st.lists(st.sampled_from(["a", "b", "", "-- c", "++ d", "@@ e", " f", "\\ g"]), max_size=30)


@given(lines, lines)
def test_a_patch_is_read_as_it_was_written(old: list[str], new: list[str]) -> None:
    file = FileChange("src/a b.py", hunks_of(old, new))
    patch = patch_of([file])
    if not file.hunks:
        assert patch == ""
        return
    (read,) = read_patch(patch.split("\n"))
    assert (read.path, read.hunks) == (file.path, file.hunks)


@pytest.mark.parametrize("status", ["added", "deleted", "changed"])
def test_what_comes_and_goes_is_said(status: str) -> None:
    old, new = ([], ["x"]) if status == "added" else (["x"], []) if status == "deleted" else (["x"], ["y"])
    (read,) = read_patch(patch_of([FileChange("a.py", hunks_of(old, new), status)]).split("\n"))
    assert (read.path, read.status) == ("a.py", status)


def test_a_name_that_would_be_a_line_of_its_own_is_left_out() -> None:
    named = FileChange("a\n+++ b/c.py", hunks_of([], ["x"]), "added")
    assert patch_of([named]) == ""


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_applies_it(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "project")
    text = "".join(f"line {number}\n" for number in range(40))
    repository.commit({"a.py": text, "gone.py": "x\n", "b/c.py": "1\n2\n"})
    repository.write(
        {
            "a.py": text.replace("line 3\n", "").replace("line 20\n", "line 20\nmore\n") + "end\n",
            "gone.py": None,
            "b/c.py": "1\n",
            "new.py": "n\n",
        }
    )
    patch = tmp_path / "change.diff"
    patch.write_text(patch_of(change_of("all", repository.tree()).files))
    clean = tmp_path / "clean"
    subprocess.run(["git", "clone", "-q", str(repository.folder), str(clean)], check=True, timeout=60)
    subprocess.run(["git", "apply", "-v", str(patch)], cwd=clean, check=True, timeout=60)
    for name in ("a.py", "b/c.py", "new.py"):
        assert (clean / name).read_bytes() == (repository.folder / name).read_bytes(), name
    assert not os.path.lexists(clean / "gone.py")
