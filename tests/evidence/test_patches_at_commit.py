"""What E12 asks: thirty good patches and thirty bad ones against a commit that is not checked out, git as the judge."""

import difflib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from exai.errors import BadArguments
from exai.evidence.faults import NotARepository
from exai.evidence.requests import Opening
from exai.evidence.workspace import Workspace
from support.repositories import GitRepository

GIT = shutil.which("git")
FILES = {f"src/part{number}.py": "".join(f"x{n} = {n}\n" for n in range(40)) for number in range(6)}
FILES |= {
    "README.md": "# Title\n\ntext\n",
    "src/crlf.py": "a = 1\r\nb = 2\r\nc = 3\r\n",
    "last.txt": "no line feed",
}


@pytest.fixture
def repository(tmp_path: Path) -> tuple[GitRepository, str]:
    """A repository that has gone on since the commit that patches are checked against."""
    made = GitRepository(tmp_path / "repository")
    release = made.commit(dict(FILES))
    (made.folder / "link").symlink_to("/etc/passwd")
    made.commit({"src/part0.py": "everything = 'changed'\n", "src/part1.py": None, "new.py": "y = 1\n"})
    made.write({"src/part2.py": "dirty\n"})
    return made, release


def judged_by_git(made: GitRepository, commit: str, patch: str, index: Path) -> bool:
    """Return whether `git apply --check --cached` takes a patch, with a temporary index of the commit."""
    assert GIT is not None
    environ = {"PATH": os.environ["PATH"], "GIT_INDEX_FILE": str(index), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run([GIT, "read-tree", commit], cwd=made.folder, env=environ, check=True, timeout=60)
    checked = subprocess.run(
        [GIT, "apply", "--check", "--cached", "-"],
        cwd=made.folder,
        env=environ,
        input=patch.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return checked.returncode == 0


def digest(folder: Path) -> str:
    """Return a hash of all that is in a folder, git's own files included."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(str(path).encode())
        if path.is_file() and not path.is_symlink():
            found.update(path.read_bytes())
    return found.hexdigest()


def diff(path: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def changed(path: str, old: str, new: str) -> str:
    assert old in FILES[path]
    return diff(path, FILES[path], FILES[path].replace(old, new, 1))


def good() -> list[str]:
    """Return thirty patches that apply to the release: changes, additions, removals, new files, several files."""
    patches = [changed(f"src/part{n % 6}.py", f"x{n} = {n}\n", f"x{n} = {n + 1}\n") for n in range(14)]
    patches += [changed(f"src/part{n}.py", "x20 = 20\n", "x20 = 20\nz = 1\n") for n in range(5)]
    patches += [changed(f"src/part{n}.py", "x7 = 7\n", "") for n in range(5)]
    patches += [diff("fresh.py", "", "q = 1\n").replace("--- a/fresh.py", "--- /dev/null")]
    patches += [changed("README.md", "text", "a text"), changed("README.md", "# Title\n", "# Titles\n")]
    patches += [changed("last.txt", "no line feed", "none")]
    patches += [patches[0] + patches[1], patches[14] + patches[25]]
    return patches


def bad() -> list[str]:
    """Return thirty that do not: stale, out of the repository, binary, tricks with paths and kinds of files."""
    one = good()[0]
    stale = [one.replace(f" x{n} = {n}\n", f" x{n} = {n}{n}9\n") for n in range(1, 4)]
    of_later = [
        diff("src/part0.py", "everything = 'changed'\n", "everything = 'else'\n"),
        diff("src/part2.py", "dirty\n", "clean\n"),
        diff("new.py", "y = 1\n", "y = 2\n"),
    ]
    names = [
        *(
            "../outside.py",
            "/etc/passwd",
            "src/../../up.py",
            "a/../../../b.py",
            ".git/config",
            "src/.git/hooks/x",
        ),
        *("link", "missing.py", "src/missing/part.py", "./src/part0.py", "src/part1.py/x.py", "C:/x.py"),
    ]
    elsewhere = [one.replace("src/part0.py", name) for name in names]
    more_stale = [each.replace("\n x", "\n y") for each in good()[14:22]]
    there = [diff("README.md", "", "q\n").replace("--- a/README.md", "--- /dev/null")]
    binary = ["diff --git a/README.md b/README.md\nGIT binary patch\nliteral 3\nKcmZ\n\n"]
    nothing = ["", "no patch at all", "--- a/src/part0.py\n+++ b/src/part0.py\n"]
    return [*stale, *of_later, *elsewhere, *more_stale, *there, *binary, *nothing[:-1]]


@pytest.mark.skipif(GIT is None, reason="git is the judge")
async def test_a_patch_applies_exactly_where_git_says_so(
    repository: tuple[GitRepository, str], tmp_path: Path
) -> None:
    made, release = repository
    before = digest(made.folder)
    workspace = Workspace(Opening(folder=str(made.folder), roots=(str(made.folder),)))
    verdicts: dict[str, list[tuple[bool, bool]]] = {"good": [], "bad": []}
    try:
        for kind, patches in (("good", good()), ("bad", bad())):
            for patch in patches:
                checked = await workspace.check_patch(patch, rev=release)
                assert all(problem.text() for problem in checked.problems)
                verdicts[kind].append(
                    (not checked.problems, judged_by_git(made, release, checked.patch, tmp_path / "index"))
                )
    finally:
        await workspace.close()
    assert verdicts == {"good": [(True, True)] * 30, "bad": [(False, False)] * 30}
    assert digest(made.folder) == before


async def test_what_git_would_take_apart_is_refused(repository: tuple[GitRepository, str]) -> None:
    """A file in the place of a folder, and paths that are not plain: `git apply --cached` looks at neither."""
    made, release = repository
    below = diff("README.md/x.py", "", "q = 1\n").replace("--- a/README.md/x.py", "--- /dev/null")
    workspace = Workspace(Opening(folder=str(made.folder), roots=(str(made.folder),)))
    try:
        for patch in (below, good()[0].replace("src/part0.py", "src//part0.py")):
            assert (await workspace.check_patch(patch, rev=release)).problems
    finally:
        await workspace.close()


async def test_python_that_would_break_is_named_and_what_is_not_there_is_said(
    repository: tuple[GitRepository, str], tmp_path: Path
) -> None:
    made, release = repository
    workspace = Workspace(Opening(folder=str(made.folder), roots=(str(made.folder),)))
    try:
        broken = await workspace.check_patch(changed("src/part3.py", "x5 = 5\n", "x5 = (\n"), rev=release)
        assert (broken.problems, broken.broken) == ((), ("src/part3.py",))
        with pytest.raises(BadArguments, match="no commit"):
            await workspace.check_patch(good()[0], rev="0" * 40)
    finally:
        await workspace.close()
    (tmp_path / "plain").mkdir()
    plain = Workspace(Opening(folder=str(tmp_path / "plain"), roots=(str(tmp_path / "plain"),)))
    try:
        with pytest.raises(NotARepository):
            await plain.check_patch(good()[0], rev=release)
    finally:
        await plain.close()
