"""The hook: where it is, what it runs, and that nothing of anybody else's is lost."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.cli.reviewing.hook import install_hook, uninstall_hook
from exai.errors import StartFault
from exai.evidence.faults import NotARepository
from exai.tools.base import ToolAnswer
from support.daemons import KINGFISHER_CACHE, NO_KEYRING
from support.findings import found, review_result
from support.open_doors import Doors
from support.repositories import GitRepository

GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="git is not installed")
OPTIONS = ["--staged", "--fail-on", "high"]


@pytest.fixture
def repository(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepository:
    """A repository in which the command is called."""
    made = GitRepository(tmp_path / "project")
    made.commit({"a.py": "x = 1\n"})
    monkeypatch.chdir(made.folder)
    return made


def exai(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["review", *arguments])


def test_the_hook_reviews_what_is_staged(repository: GitRepository) -> None:
    installed = exai("--install-hook")
    assert installed.exit_code == 0, installed.stderr
    hook = repository.folder / ".git" / "hooks" / "pre-commit"
    assert str(hook) in installed.stdout
    assert os.access(hook, os.X_OK)
    assert f"exec {sys.executable} -m exai.cli review --staged --fail-on high\n" in hook.read_text()
    assert exai("--install-hook", "--fail-on", "critical", "--focus", "a b's").exit_code == 0
    assert "--staged --fail-on critical --focus 'a b'\"'\"'s'\n" in hook.read_text()
    removed = exai("--uninstall-hook")
    assert (removed.exit_code, hook.exists()) == (0, False)
    assert "no hook" in exai("--uninstall-hook").stdout


@pytest.mark.parametrize("make", ["file", "link"])
def test_a_hook_of_somebody_else_stays(repository: GitRepository, make: str) -> None:
    hook = repository.folder / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    if make == "file":
        hook.write_text("#!/bin/sh\nmake lint\n")
    else:
        hook.symlink_to(repository.folder / "missing")
    with pytest.raises(StartFault, match="exai review --staged --fail-on high"):
        install_hook(repository.folder, OPTIONS)
    with pytest.raises(StartFault, match="not written by EXAI"):
        uninstall_hook(repository.folder)
    assert hook.is_symlink() or hook.read_text() == "#!/bin/sh\nmake lint\n"


@pytest.mark.parametrize("named", ["hooks of ours", "absolute"])
def test_it_stands_where_git_is_told_to_look(repository: GitRepository, tmp_path: Path, named: str) -> None:
    folder = repository.folder / named if named != "absolute" else tmp_path / "shared hooks"
    config = repository.repo.get_config()
    config.set((b"core",), b"hooksPath", os.fsencode(named if named != "absolute" else folder))
    config.write_to_path()
    (repository.folder / "deep").mkdir()
    assert install_hook(repository.folder / "deep", OPTIONS) == folder / "pre-commit"
    assert uninstall_hook(repository.folder) == folder / "pre-commit"


def test_a_folder_without_a_repository_has_no_hook(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="no git repository"):
        install_hook(tmp_path, OPTIONS)


def test_a_folder_that_cannot_be_written_is_a_sentence(repository: GitRepository) -> None:
    hooks = repository.folder / ".git" / "hooks"
    shutil.rmtree(hooks, ignore_errors=True)
    hooks.write_text("no folder")
    with pytest.raises(StartFault, match="cannot be written"):
        install_hook(repository.folder, OPTIONS)


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git as a person without any settings."""
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "EXAI_DATA_DIR")},
        **NO_KEYRING,
        **KINGFISHER_CACHE,
        **{f"GIT_{who}_{what}": "ada" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    return subprocess.run(
        [str(GIT), *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@needs_git
async def test_git_commits_only_what_the_review_lets_pass(doors: Doors, repository: GitRepository) -> None:
    answers = [ToolAnswer("", review_result(found())), ToolAnswer("", review_result())]

    async def review(arguments: dict[str, object], _: object) -> ToolAnswer:
        assert (arguments["change"], arguments["workspace"]) == ("staged", str(repository.folder))
        return answers.pop(0)

    doors.engine.further["review"] = review
    assert (await asyncio.to_thread(exai, "--install-hook", "--url", doors.ws)).exit_code == 0
    (repository.folder / "a.py").write_text("x = 2\n")
    await asyncio.to_thread(git, repository.folder, "add", "a.py")
    refused = await asyncio.to_thread(git, repository.folder, "commit", "-m", "more")
    assert refused.returncode == 1
    assert "HIGH resource-leak" in refused.stdout + refused.stderr
    passed = await asyncio.to_thread(git, repository.folder, "commit", "-m", "more")
    assert passed.returncode == 0, passed.stderr
    assert answers == []


@needs_git
async def test_the_hook_is_one_for_all_work_trees(doors: Doors, repository: GitRepository) -> None:
    asked = []

    async def review(arguments: dict[str, object], _: object) -> ToolAnswer:
        asked.append(arguments["workspace"])
        return ToolAnswer("", review_result())

    doors.engine.further["review"] = review
    beside = repository.folder.parent / "beside"
    await asyncio.to_thread(git, repository.folder, "worktree", "add", "-q", str(beside))
    place = await asyncio.to_thread(install_hook, beside, [*OPTIONS, "--url", doors.ws])
    assert place == repository.folder / ".git" / "hooks" / "pre-commit"
    (beside / "a.py").write_text("x = 3\n")
    await asyncio.to_thread(git, beside, "add", "a.py")
    done = await asyncio.to_thread(git, beside, "commit", "-m", "beside")
    assert done.returncode == 0, done.stderr
    assert asked == [str(beside)]
