"""`exai review` with the daemon, models and git as processes of their own."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai_emulator import Emulator, Fault, Persona
from exai_emulator.reporting.findings import Judging, ScriptedFinding
from exai_emulator.reporting.turns import Report
from support.daemons import EXAI, Daemon, StartDaemon, clean_environ, free_port
from support.repositories import GitRepository

BEFORE = "class Pool:\n    def get(self):\n        return self.free.pop()\n"
AFTER = (
    "class Pool:\n    def get(self):\n        conn = self._open(self.address)\n"
    "        conn.ping(1)\n        return conn\n"
)
LEAK = {
    "severity": "high",
    "category": "resource-leak",
    "path": "pool.py",
    "from": 3,
    "to": 4,
    "quote": "conn = self._open(self.address)",
    "message": "conn stays open where ping fails",
    "fix": "close it",
}
JUDGING = Judging(pattern=r"^│(?P<id>R\d+)\. .*?(?=^│R\d+\. |\Z)")


@pytest.fixture
def repository(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> GitRepository:
    """A repository with a change of which both models say that it leaks; the command is called in it."""
    made = GitRepository(tmp_path / "project")
    made.commit({"pool.py": BEFORE})
    made.write({"pool.py": AFTER})
    monkeypatch.chdir(made.folder)
    findings = (ScriptedFinding(fields=LEAK),)
    emulator.persona = Persona("reader", report=Report(findings=findings, judging=JUDGING))
    return made


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of commands that see no setting but those of the test, beside the daemon's."""
    monkeypatch.delenv("EXAI_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EXAI_DATA_DIR", str(tmp_path / "commands"))
    return tmp_path / "commands"


async def review(daemon: Daemon, *arguments: str) -> Result:
    return await asyncio.to_thread(
        lambda: CliRunner().invoke(build_app(), ["review", "--url", daemon.mcp_ws, *arguments])
    )


async def run(
    *words: str, folder: Path, environ: Mapping[str, str], data_dir: Path
) -> tuple[int | None, str, str]:
    """Run a program in a folder."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environ(data_dir, environ),
        cwd=folder,
    )
    out, notes = await process.communicate()
    return process.returncode, out.decode(), notes.decode()


@pytest.mark.parametrize("reads", ["the folder", "what is sent"])
async def test_a_leak_is_found_where_the_daemon_reads_it(
    start_daemon: StartDaemon, repository: GitRepository, reads: str
) -> None:
    written = repository.folder.parent / "review.sarif"
    roots = [str(repository.folder)] if reads == "the folder" else []
    async with start_daemon(EXAI_FILES__ROOTS=json.dumps(roots)) as daemon:
        shown = await review(daemon, "--format", "sarif", "--output", str(written))
        told = json.loads((await review(daemon, "--format", "json", "--fail-on", "never")).stdout)
        nothing = await review(daemon, "--staged")
        unknown = await review(daemon, "--base", "nowhere")
        kept = await asyncio.to_thread(
            lambda: CliRunner().invoke(build_app(), ["files", "ls", "--url", daemon.mcp_ws])
        )
    assert shown.exit_code == 1, shown.stderr
    assert "HIGH resource-leak  pool.py:3-4" in shown.stdout
    (result,) = json.loads(written.read_text())["runs"][0]["results"]
    assert result["message"]["text"].startswith("conn stays open where ping fails")
    (finding,) = told["findings"]
    assert (finding["citation"], finding["votes"], told["looked_at"]) == ("verified", 2, "1 of 1 files")
    assert result["partialFingerprints"]["exai/v1"] == finding["fingerprint"]
    assert (nothing.exit_code, nothing.stdout[:17]) == (0, "Nothing to review")
    assert (unknown.exit_code, "no commit `nowhere`" in unknown.stderr) == (2, True)
    assert "change.diff" not in kept.stdout


async def test_what_fails_is_no_review(
    start_daemon: StartDaemon, repository: GitRepository, emulator: Emulator
) -> None:
    async with start_daemon(EXAI_FILES__ROOTS=json.dumps([str(repository.folder)])) as daemon:
        emulator.faults.add("glm", Fault(error="1210", times=None))
        emulator.faults.add("kimi", Fault(error="invalid_request", times=None))
        failed = await review(daemon)
        opened = await review(daemon, "--fail-open")
    assert (failed.exit_code, failed.stdout) == (3, "")
    assert failed.stderr.startswith("exai: not reviewed: ")
    assert (opened.exit_code, opened.stderr[:27]) == (0, "exai: warning: not reviewed")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("commit", [["commit", "-am", "more"], ["commit", "-m", "more", "pool.py"]])
async def test_a_commit_waits_for_the_review_of_what_it_takes(
    repository: GitRepository,
    emulator: Emulator,
    provider_environ: dict[str, str],
    tmp_path: Path,
    commit: list[str],
) -> None:
    environ = {
        **provider_environ,
        "EXAI_SERVER__PORT": str(free_port()),
        **{f"GIT_{who}_{what}": "ada" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    where = {"folder": repository.folder, "environ": environ, "data_dir": tmp_path / "data"}
    installed = await run(*EXAI, "review", "--install-hook", **where)  # type: ignore[arg-type]
    assert installed[0] == 0, installed
    code, out, notes = await run("git", *commit, **where)  # type: ignore[arg-type]
    assert code == 1, (out, notes)
    assert "HIGH resource-leak  pool.py:3-4" in out + notes
    assert len(emulator.log.requests) >= 2
    (repository.folder / "pool.py").write_text(BEFORE + "\n\nPOOL = Pool()\n")
    code, out, notes = await run("git", *commit, **where)  # type: ignore[arg-type]
    assert code == 0, (out, notes)
