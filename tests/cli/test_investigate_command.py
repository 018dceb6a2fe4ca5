"""`exai errors investigate`, by a daemon and without one, with emulated models that err (E11), and `try` (E12)."""

import asyncio
import json
import os
import signal
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from exai import config
from exai.app.watching.patch_checks import CommitPatches
from exai.cli import build_app
from exai.error_tracking.investigation.bundle import EvidenceBundle
from exai.error_tracking.investigation.report import InvestigationReport
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.investigations import Finished, InvestigationTables
from exai_emulator.emulator import Emulator
from exai_emulator.personas import Persona
from exai_emulator.reporting.investigating import Conduct
from support.daemons import EXAI, StartDaemon, clean_environ
from support.investigated_faults import SOURCE, Evidence, Models, claim, opinion, reported
from support.repositories import GitRepository
from support.tracked_faults import tracked
from support.waiting import wait_until


async def exai(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), ["errors", *arguments]))


@pytest.fixture
async def groups(data_dir: Path) -> None:
    """The data folder of the commands has groups of faults of ours."""
    database = await Database.open(config.Database(), data_dir)
    process = await tracked(database)
    for kind in (KeyError, ValueError, TypeError, LookupError):
        process.fail("a row is gone", kind)
    assert len(await process.counted()) == 4
    await database.close()


@pytest.mark.usefixtures("groups")
async def test_a_daemon_does_it_and_what_models_claim_falsely_does_not_count(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    seen = {}
    async with start_daemon():
        for number, conduct in enumerate(CONDUCTS, 1):
            emulator.personas.set(Persona("investigator", conduct=conduct))
            answered = await exai("investigate", f"E-{number}", "--json")
            view = json.loads(answered.stdout)
            level = view["report"] and view["report"]["level"]
            seen[conduct] = (answered.exit_code, view["state"], level, view["requests"])
    assert seen == {
        "honest": (0, "done", "possible", 2),
        "misquotes": (0, "done", "unknown", 3),
        "invents": (0, "done", "unknown", 3),
        "prose": (1, "failed", None, 2),
    }
    asked = [record.body for record in emulator.log.requests if record.path.endswith("/chat/completions")]
    assert len(asked) == 10
    assert [body for body in asked if body.get("tools")] == [], "nothing that is read can call anything"
    shown = (await exai("show", "E-1")).stdout
    assert "cause, possible" in shown
    assert "a second model confirms it" in shown
    assert "failed: No answer could be used" in (await exai("show", "E-4")).stdout


@pytest.mark.usefixtures("groups")
async def test_without_a_daemon_the_command_does_it_itself(
    emulator: Emulator, provider_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in provider_environ.items():
        monkeypatch.setenv(name, value)
    emulator.personas.set(Persona("investigator", conduct="refutes"))
    answered = await exai("investigate", "E-1")
    assert answered.exit_code == 0, answered.output
    assert "cause, disputed" in answered.stdout
    assert " is asked" in answered.stderr
    missing = await exai("investigate", "E-99")
    assert isinstance(missing.exception, StartFault)
    refused = await exai("investigate", "E-1", "--set", "investigation.mode=off")
    assert "investigation.mode" in str(refused.exception)


CONDUCTS: tuple[Conduct, ...] = ("honest", "misquotes", "invents", "prose")
PATCH = """--- a/src/exai/rows.py
+++ b/src/exai/rows.py
@@ -1,3 +1,3 @@
 def take(self):
-    item = self._rows[key]
+    item = self._rows.pop(key)
     return item.pop()
"""


@pytest.mark.usefixtures("groups")
async def test_a_person_tries_a_patch_and_no_work_tree_is_touched(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = GitRepository(tmp_path / "repository")
    release = made.commit({"src/exai/rows.py": SOURCE})
    made.commit({"src/exai/rows.py": "everything = 'else'\n"})
    evidence = Evidence()
    evidence.repository, evidence.commit = str(made.folder), release
    fix = {"kind": "patch", "text": "Take it once.", "patch": PATCH}
    outcome = await reported(Models(claim(fix=fix), opinion()), evidence, patches=CommitPatches())
    check = outcome.report.fix.check
    assert (check.applies, check.parses, check.commit, check.problems) == (True, True, release, ())
    await keep(data_dir, outcome.report)
    tried = await exai("try", "E-1", "--command", f"cat src/exai/rows.py > {tmp_path}/seen; exit 7")
    assert tried.exit_code == 7, tried.output
    assert "self._rows.pop(key)" in (tmp_path / "seen").read_text()
    assert (made.folder / "src/exai/rows.py").read_text() == "everything = 'else'\n"
    assert not list((made.folder / ".git" / "worktrees").glob("*"))
    assert "proposes no patch" in str((await exai("try", "E-2", "--command", "true")).exception)
    monkeypatch.setenv("PATH", "")
    assert "Install git" in str((await exai("try", "E-1", "--command", "true")).exception)


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_whoever_ends_a_trial_leaves_no_work_tree(
    data_dir: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """By a signal to the command alone, as a service manager or `kill` sends it."""
    made = GitRepository(tmp_path / "repository")
    evidence = Evidence()
    evidence.repository, evidence.commit = str(made.folder), made.commit({"src/exai/rows.py": SOURCE})
    fix = {"kind": "patch", "text": "Take it once.", "patch": PATCH}
    outcome = await reported(Models(claim(fix=fix), opinion()), evidence, patches=CommitPatches())
    await keep(data_dir, outcome.report)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    trial = await asyncio.create_subprocess_exec(
        *(*EXAI, "errors", "try", "E-1", "--command", f"echo $$ > {tmp_path}/pid; exec sleep 600"),
        env={**clean_environ(data_dir), "TMPDIR": str(temporary)},
    )
    began = tmp_path / "pid"
    await wait_until(lambda: began.exists() and began.read_text(), what="the command runs")
    assert list((made.folder / ".git" / "worktrees").glob("*"))
    trial.send_signal(number)
    assert await trial.wait() == 128 + number
    assert not list((made.folder / ".git" / "worktrees").glob("*"))
    assert not list(temporary.glob("exai-try-*"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)


async def test_a_patch_of_what_none_may_touch_does_not_apply(tmp_path: Path) -> None:
    made = GitRepository(tmp_path / "repository")
    bundle = EvidenceBundle(
        pieces=(),
        left_out=(),
        tokens=0,
        repository=str(made.folder),
        commit=made.commit({".env": "a\n", "x": "a\n"}),
    )
    for path, told in ((".env", "secret"), (".github/x.yml", "dot"), ("x.lock", "lock"), ("../x", "outside")):
        patch = f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+a\n"
        check = await CommitPatches().check(bundle, patch)
        assert not check.applies
        assert told in " ".join(check.problems)
    unknown = await CommitPatches().check(EvidenceBundle(pieces=(), left_out=(), tokens=0), PATCH)
    assert (unknown.applies, unknown.commit) == (False, "")


async def keep(data_dir: Path, report: InvestigationReport) -> None:
    """Keep a report on the first group."""
    database = await Database.open(config.Database(), data_dir)
    process, tables = await tracked(database), InvestigationTables(database, SystemClock())
    group = await process.groups.find(1)
    assert group is not None
    row = await tables.ask(group.group_id, "asked", "local:me")
    assert row is not None
    await tables.begin(row.investigation_id)
    kept = msgspec.json.encode(report).decode()
    await tables.finish(Finished(investigation_id=row.investigation_id, state="done", report=kept))
    await database.close()
