"""Folders that the daemon cannot read: sent to its store, and what of them is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exai.auth.scopes import FILES, MODELS
from exai.cli import build_app
from exai.dispatch.progress import SendProgress
from exai.storage.database import Database
from exai.tools.base import ToolAnswer
from support.file_ports import FilePort, file_port
from support.findings import review_result
from support.planted_secrets import pem
from support.repositories import GitRepository

pytestmark = pytest.mark.sqlite


@dataclass
class StoringDaemon:
    """A daemon with a store, whose tool `review` notes what it was sent."""

    port: FilePort
    refuses: str | None = None
    """The code by which it does not read folders."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    patches: list[str] = field(default_factory=list)
    """The changes that came as files."""

    async def review(self, arguments: dict[str, Any], _: SendProgress | None) -> ToolAnswer:
        self.asked.append(arguments)
        change = arguments.get("change", "")
        if change.startswith("file_"):
            reply = await self.port.ask("GET", f"/files/{change}/content")
            self.patches.append(reply.body.decode())
        if self.refuses is not None and arguments["workspace"].startswith("/"):
            facts = {"exai/error": {"code": self.refuses}}
            return ToolAnswer("It lies below no root.", None, facts, is_error=True)
        return ToolAnswer("", review_result(), {})

    async def paths(self) -> list[str]:
        """What is in the snapshot that it was asked about last."""
        reply = await self.port.ask("GET", f"/files/trees/{self.asked[-1]['workspace']}/manifest")
        return [json.loads(line)["path"] for line in reply.body.splitlines()]

    async def names(self) -> list[str]:
        """What the person has in the store."""
        return [file["name"] for file in (await self.port.ask("GET", "/files")).json["files"]]


@pytest.fixture
async def daemon(
    database: Database, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StoringDaemon]:
    async with file_port(database, tmp_path / "files") as port:
        opened = StoringDaemon(port)
        port.doors.engine.further["review"] = opened.review
        port.authenticator.issue("person", "alice", FILES, MODELS)
        monkeypatch.setenv("EXAI_TOKEN", "person")
        yield opened


@pytest.fixture
def repository(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepository:
    """A repository with a change that is staged, and one that is not, in which the command is called."""
    made = GitRepository(tmp_path / "project")
    made.commit({"a.py": "x = 1\n", "b.py": "y = 1\n", ".gitignore": "*.log\n"})
    made.write({"a.py": "x = 2\n", "b.py": "y = 2\n", "noise.log": "n\n", ".env": "KEY=1\n"})
    made.stage("a.py")
    monkeypatch.chdir(made.folder)
    return made


async def review(daemon: StoringDaemon, *arguments: str) -> Result:
    url = daemon.port.doors.ws
    return await asyncio.to_thread(
        lambda: CliRunner().invoke(build_app(), ["review", "--url", url, *arguments])
    )


async def test_a_folder_is_sent_as_a_snapshot_and_its_change_as_a_patch(
    daemon: StoringDaemon, repository: GitRepository
) -> None:
    result = await review(daemon, "--files", "--staged")
    assert result.exit_code == 0, result.stderr
    (asked,) = daemon.asked
    assert asked["workspace"].startswith("tree_")
    assert asked["repository"] == str(repository.folder), "by which verdicts are remembered"
    (patch,) = daemon.patches
    assert patch.splitlines()[:2] == ["--- a/a.py", "+++ b/a.py"]
    assert ("+x = 2" in patch, "y = 2" in patch) == (True, False)
    assert await daemon.paths() == [".gitignore", "a.py", "b.py"]
    assert result.stderr == "Not sent: .env.\n"
    assert await daemon.names() == [], "what the review needed alone is gone"


@pytest.mark.parametrize("code", ["file_refused", "not_a_repository"])
async def test_a_folder_that_the_daemon_may_not_read_is_sent_to_it(
    daemon: StoringDaemon, repository: GitRepository, code: str
) -> None:
    daemon.refuses = code
    result = await review(daemon)
    assert result.exit_code == 0, result.stderr
    assert [each["workspace"][:5] for each in daemon.asked] == [str(repository.folder)[:5], "tree_"]
    refused = await review(daemon, "--no-files")
    assert (refused.exit_code, "It lies below no root." in refused.stderr) == (2, True)
    assert len(daemon.asked) == 3


@pytest.mark.usefixtures("repository")
async def test_files_are_sent_without_a_change(daemon: StoringDaemon) -> None:
    assert (await review(daemon, "--files", "b.py")).exit_code == 0
    (asked,) = daemon.asked
    assert (asked["paths"], "change" in asked) == (["b.py"], False)


async def test_no_secret_stands_in_the_change(daemon: StoringDaemon, repository: GitRepository) -> None:
    secret = pem("RSA ")
    repository.write({"a.py": f'key = """\n{secret}\n"""\n'})
    assert (await review(daemon, "--files")).exit_code == 0
    (patch,) = daemon.patches
    assert "BEGIN RSA" not in patch
    assert secret.splitlines()[5] not in patch


async def test_nothing_changed_is_nothing_asked(daemon: StoringDaemon, repository: GitRepository) -> None:
    repository.commit({})
    repository.commit({"b.py": "y = 2\n"})
    result = await review(daemon, "--files", "--staged", "--format", "text")
    assert (result.exit_code, result.stdout) == (0, "Nothing to review: the change is empty.\n")
    assert (
        json.loads((await review(daemon, "--files", "--staged", "--format", "json")).stdout)["findings"] == []
    )
    assert daemon.asked == []


@pytest.mark.usefixtures("repository")
async def test_a_commit_that_is_not_there_is_named(daemon: StoringDaemon) -> None:
    result = await review(daemon, "--files", "--base", "nowhere")
    assert (result.exit_code, daemon.asked) == (2, [])
    assert "no commit `nowhere`" in result.stderr


async def test_what_git_commits_is_reviewed_though_the_index_has_it_not_yet(
    daemon: StoringDaemon, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = repository.folder / ".git" / "index"
    usual = index.read_bytes()
    repository.stage("b.py")
    (repository.folder / ".git" / "index.lock").write_bytes(index.read_bytes())
    index.write_bytes(usual)
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index.lock")
    result = await review(daemon, "--staged")
    assert result.exit_code == 0, result.stderr
    assert daemon.asked[0]["workspace"] == str(repository.folder)
    (patch,) = daemon.patches
    assert ("+x = 2" in patch, "+y = 2" in patch) == (True, True)


@pytest.mark.usefixtures("repository")
async def test_a_token_without_files_is_a_sentence(
    daemon: StoringDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.port.authenticator.issue("reader", "alice", MODELS)
    monkeypatch.setenv("EXAI_TOKEN", "reader")
    result = await review(daemon, "--files")
    assert result.exit_code == 3
    assert "files" in result.stderr
