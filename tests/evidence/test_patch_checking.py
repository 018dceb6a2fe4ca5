"""Patches are applied strictly, and what is accepted is what `git apply` takes."""

import shutil
import subprocess
from difflib import unified_diff
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.test_trees import TOKEN, tree, write
from exai.evidence.patches.checking import check_patch
from exai.evidence.reading import Reader
from exai.evidence.requests import CheckedPatch
from exai.evidence.trees import SnapshotTree
from exai.files.snapshots.manifests import ManifestEntry

GIT = shutil.which("git")
FIVE = "one\ntwo\nthree\nfour\nfive\n"


def check(folder: Path, patch: str, *, keeps_code: bool = False) -> CheckedPatch:
    return check_patch(Reader(tree(folder)), patch, keeps_code=keeps_code)


def problem(checked: CheckedPatch) -> str:
    (found,) = checked.problems
    return found.text()


def change(path: str, hunk: str) -> str:
    return f"--- a/{path}\n+++ b/{path}\n{hunk}"


def new(path: str, *lines: str) -> str:
    body = "".join(f"+{line}\n" for line in lines)
    return f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n{body}"


def git_applies(folder: Path, patch: str) -> bool:
    """Whether git takes a patch; the judge of all of these where it is installed."""
    assert GIT is not None
    done = subprocess.run(
        [GIT, "apply", "--check", "-"], cwd=folder, input=patch.encode(), capture_output=True, check=False
    )
    return done.returncode == 0


def applied_by_git(folder: Path, patch: str) -> None:
    if GIT is None:
        pytest.skip("git is not installed")
    subprocess.run(
        [GIT, "apply", "-"], cwd=folder, input=patch.encode(), capture_output=True, check=True, timeout=60
    )


def test_a_patch_is_written_again_with_true_lines(tmp_path: Path) -> None:
    write(tmp_path, **{"a.txt": FIVE})
    checked = check(tmp_path, change("a.txt", "@@ -2,3 +2,3 @@\n two\n-three\n+drei\n four\n"))
    assert checked.problems == ()
    assert [(each.path, each.is_new, each.added, each.removed) for each in checked.files] == [
        ("a.txt", False, 1, 1)
    ]
    applied_by_git(tmp_path, checked.patch)
    assert (tmp_path / "a.txt").read_text() == FIVE.replace("three", "drei")


@pytest.mark.parametrize(
    "hunk",
    [
        "@@ -40,3 +40,3 @@\n two\n-three\n+drei\n four\n",
        "@@ -2,9 +2,1 @@\n two\n-three\n+drei\n four\n",
        "@@ -2 +2 @@\n two\n-three\n+drei\n four\n",
        "@@ -2,3 +2,3 @@ def f():\r\n two\r\n-three\r\n+drei\r\n four\r\n",
    ],
    ids=["shifted", "counts too large", "counts too small", "carriage returns"],
)
def test_headers_may_be_wrong_where_the_lines_are_right(tmp_path: Path, hunk: str) -> None:
    write(tmp_path, **{"a.txt": FIVE})
    checked = check(tmp_path, change("a.txt", hunk))
    assert checked.problems == ()
    applied_by_git(tmp_path, checked.patch)
    assert (tmp_path / "a.txt").read_text() == FIVE.replace("three", "drei")


def test_a_line_that_is_not_there_is_named_with_its_hunk(tmp_path: Path) -> None:
    write(tmp_path, **{"a.txt": FIVE, "b.txt": FIVE})
    wrong = change("a.txt", "@@ -1,1 +1,1 @@\n-one\n+eins\n@@ -3,2 +3,2 @@\n three\n-fuor\n+vier\n")
    patch = wrong + change("b.txt", "@@ -1,1 +1,1 @@\n-one\n+eins\n")
    checked = check(tmp_path, patch)
    assert problem(checked) == "`a.txt`, hunk 2: it expects `fuor` at line 4, where `four` stands."
    assert checked.patch == patch
    assert [each.path for each in checked.files] == ["b.txt"]
    assert GIT is None or not git_applies(tmp_path, patch)


def test_lines_that_stand_twice_need_more_around_them(tmp_path: Path) -> None:
    write(tmp_path, **{"a.txt": "x\ny\nx\ny\n"})
    patch = change("a.txt", "@@ -9,1 +9,1 @@\n-y\n+z\n")
    assert "several places, from lines 2 and 4 on" in problem(check(tmp_path, patch))
    exact = change("a.txt", "@@ -4,1 +4,1 @@\n-y\n+z\n")
    checked = check(tmp_path, exact)
    applied_by_git(tmp_path, checked.patch)
    assert (tmp_path / "a.txt").read_text() == "x\ny\nx\nz\n"


def test_what_only_adds_needs_a_line_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, **{"a.txt": FIVE})
    checked = check(tmp_path, change("a.txt", "@@ -2,0 +3,1 @@\n+between\n"))
    assert "no line of the file beside" in problem(checked)


@pytest.mark.parametrize(
    ("before", "hunk", "after"),
    [
        (b"a\r\nb\r\nc\r\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n", b"a\r\nB\r\nc\r\n"),
        (b"a\nb", "@@ -1,2 +1,3 @@\n a\n b\n+c\n", b"a\nb\nc\n"),
        (b"a\nb", "@@ -1,2 +1,2 @@\n-a\n+A\n b\n\\ No newline at end of file\n", b"A\nb"),
        (b"a\nb", "@@ -1,2 +1,2 @@\n-a\n+A\n b\n", b"A\nb"),
        (b"a\n", "@@ -1,1 +1,1 @@\n-a\n+A\n\\ No newline at end of file\n", b"A"),
        (b"\xef\xbb\xbfa\nb\n", "@@ -1,2 +1,2 @@\n-a\n+A\n b\n", b"\xef\xbb\xbfA\nb\n"),
        (b"", "@@ -0,0 +1,1 @@\n+a\n", b"a\n"),
        (b"a\n\nb\n", "@@ -1,3 +1,3 @@\n a\n\n-b\n+B\n", b"a\n\nB\n"),
    ],
    ids=[
        "crlf",
        "open end, more",
        "open end kept",
        "open end unsaid",
        "open end made",
        "mark",
        "empty",
        "bare",
    ],
)
def test_ends_of_lines_are_the_files_own(tmp_path: Path, before: bytes, hunk: str, after: bytes) -> None:
    write(tmp_path, **{"a.txt": before})
    checked = check(tmp_path, change("a.txt", hunk))
    assert checked.problems == ()
    applied_by_git(tmp_path, checked.patch)
    assert (tmp_path / "a.txt").read_bytes() == after


def test_new_files_and_names_with_blanks(tmp_path: Path) -> None:
    write(tmp_path, **{"with blank/ä b.txt": FIVE})
    patch = (
        new("tests/deep/test_a.py", "def test_a() -> None:", "    assert True")
        + change("with blank/ä b.txt", "@@ -1,2 +1,2 @@\n-one\n+eins\n two\n")
        + "diff --git a/tests/__init__.py b/tests/__init__.py\nnew file mode 100644\nindex 0000000..e69de29\n"
    )
    checked = check(tmp_path, patch)
    assert checked.problems == ()
    assert [each.path for each in checked.files if each.is_new] == [
        "tests/deep/test_a.py",
        "tests/__init__.py",
    ]
    applied_by_git(tmp_path, checked.patch)
    assert (tmp_path / "tests/deep/test_a.py").read_text() == "def test_a() -> None:\n    assert True\n"
    assert (tmp_path / "tests/__init__.py").read_bytes() == b""
    assert (tmp_path / "with blank/ä b.txt").read_text() == FIVE.replace("one", "eins")


def test_a_file_that_comes_twice_is_changed_once(tmp_path: Path) -> None:
    write(tmp_path, **{"a.txt": FIVE})
    first = change("a.txt", "@@ -4,2 +4,2 @@\n four\n-five\n+fünf\n")
    second = change("a.txt", "@@ -1,1 +1,1 @@\n-one\n+eins\n")
    checked = check(tmp_path, first + second)
    applied_by_git(tmp_path, checked.patch)
    assert (tmp_path / "a.txt").read_text() == "eins\ntwo\nthree\nfour\nfünf\n"
    overlapping = check(
        tmp_path,
        change("a.txt", "@@ -1,2 +1,1 @@\n eins\n-two\n") + change("a.txt", "@@ -2,1 +2,1 @@\n-two\n+zwei\n"),
    )
    assert "another hunk changes too" in problem(overlapping)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        (change("../out.txt", "@@ -1,1 +1,1 @@\n-a\n+b\n"), "outside the workspace"),
        (change("x/../../out.txt", "@@ -1,1 +1,1 @@\n-a\n+b\n"), "outside the workspace"),
        (new("/etc/passwd", "x"), "outside the workspace"),
        ("--- /tmp/a.txt\n+++ /tmp/a.txt\n@@ -1,1 +1,1 @@\n-one\n+b\n", "outside the workspace"),
        (new("C:/x.txt", "x"), "outside the workspace"),
        (new(".env", "KEY=1"), "there to hold a secret"),
        (change(".env", "@@ -1,1 +1,1 @@\n-KEY=1\n+KEY=2\n"), "there to hold a secret"),
        (new("notes.md", "-----BEGIN RSA PRIVATE KEY-----", "x"), "would hold a secret"),
        (new(".git/hooks/pre-commit", "x"), "git's own"),
        (new("link/new.txt", "x"), "a link or a file is where"),
        (new("a.txt/new.txt", "x"), "a link or a file is where"),
        (new("a.txt", "x"), "something is there already"),
        (new("build/ignored.txt", "x"), "something is there already"),
        (change("build/ignored.txt", "@@ -1,1 +1,1 @@\n-x\n+b\n"), "no such text file"),
        (change("none.txt", "@@ -1,1 +1,1 @@\n-x\n+b\n"), "no such text file"),
        (change("wide.txt", "@@ -1,1 +1,1 @@\n-x\n+b\n"), "not in UTF-8"),
        ("--- a/a.txt\n+++ b/b.txt\n@@ -1,1 +1,1 @@\n-one\n+b\n", "renames"),
        (
            "diff --git a/a.txt b/b.txt\nsimilarity index 100%\nrename from a.txt\nrename to b.txt\n",
            "renames",
        ),
        ("--- a/a.txt\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-one\n", "deletes"),
        (
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n",
            "what kind of file",
        ),
        ("diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 100755\n", "what kind of file"),
        ('--- "a/a\\tb"\n+++ "b/a\\tb"\n@@ -1,1 +1,1 @@\n-one\n+b\n', "cannot be used"),
        (change("./a.txt", "@@ -1,1 +1,1 @@\n-one\n+b\n"), "cannot be used"),
        (change("a.txt", "@@ def f @@\n-one\n+b\n"), "no hunk"),
        (change("a.txt", "@@ -1,1 +1,1 @@\n one\n"), "changes nothing"),
        ("no patch at all", "there is no file in the patch"),
        (change("a.txt", f"@@ -{'9' * 5_000},1 +1,1 @@\n-one\n+b\n"), "cannot be read"),
        ("+++ b/a.txt\n@@ -1,1 +1,1 @@\n-one\n+b\n", "cannot be read"),
    ],
)
def test_what_no_patch_may_do(tmp_path: Path, patch: str, why: str) -> None:
    workspace = tmp_path / "in"
    write(
        workspace,
        **{
            "a.txt": FIVE,
            ".env": "KEY=1\n",
            ".gitignore": "build/\n",
            "build/ignored.txt": "x\n",
        },
    )
    write(workspace, **{"wide.txt": "x\n".encode("utf-16")})
    write(tmp_path, **{"out.txt": "a\n", "outside/a.txt": "x\n"})
    (workspace / "link").symlink_to(tmp_path / "outside")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert why in problem(check(workspace, patch))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_secret_in_a_line_is_not_told(tmp_path: Path) -> None:
    write(tmp_path, **{"a.py": f'key = "{TOKEN}"\nx = 1\n'})
    checked = check(tmp_path, change("a.py", '@@ -1,2 +1,2 @@\n key = "[token]"\n-x = 1\n+x = 2\n'))
    assert "looks like a secret and is not shown" in problem(checked)
    assert TOKEN not in problem(checked)


def test_a_snapshot_is_checked_as_a_folder_is() -> None:
    files = {"a.txt": FIVE.encode(), ".env": b"KEY=1\n"}
    entries = [ManifestEntry(path, "644", len(data), "0" * 64) for path, data in files.items()]
    reader = Reader(SnapshotTree(entries, files.get))
    one = change("a.txt", "@@ -1,1 +1,1 @@\n-one\n+eins\n")
    assert check_patch(reader, one + new("b/c.txt", "x"), keeps_code=False).problems == ()
    for path, why in {
        "a.txt": "there already",
        "a.txt/b": "a link or a file",
        ".env": "hold a secret",
    }.items():
        assert why in problem(check_patch(reader, new(path, "x"), keeps_code=False))


LINES = st.lists(
    st.sampled_from(["", "a", "b", "c", " d", "-e", "+f", "@@ -1 +1 @@", "--- a", "\\"]), max_size=12
)


@pytest.mark.skipif(GIT is None, reason="git is the judge")
@given(before=LINES, after=LINES, is_open=st.booleans(), shift=st.integers(0, 3))
@settings(max_examples=60)
def test_what_is_accepted_git_takes_and_makes_the_same_of(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[str],
    after: list[str],
    is_open: bool,
    shift: int,
) -> None:
    folder = tmp_path_factory.mktemp("patched")
    text = "\n".join(before) + ("" if is_open or not before else "\n")
    write(folder, **{"a.txt": text})
    diff = [f"{line}\n" for line in unified_diff(before, after, "a/a.txt", "b/a.txt", lineterm="")]
    if shift:
        diff = [line.replace("@@ -", "@@ -1", 1) if line.startswith("@@ -") else line for line in diff]
    checked = check(folder, "".join(diff))
    if checked.problems:
        assert shift or before == after or "no line of the file" in problem(checked) or is_open
        return
    applied_by_git(folder, checked.patch)
    lines = (folder / "a.txt").read_text().split("\n")
    assert (lines[:-1] if lines[-1] == "" else lines) == after or is_open
