"""The stage `collect`: what prompts show of a workspace, what is kept of it, and what answers may cite."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evidence.test_trees import TOKEN, write
from exai.errors import FileRefused
from exai.evidence.pieces import Wanted
from exai.providers.base import Prompt
from exai.storage.database import Database
from exai.workflows import definitions
from exai.workflows.definitions import Workflow, bundled_workflows, read_folder
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest
from support.repositories import GitRepository
from support.scripted import ScriptedProvider
from support.workflow_runs import GLM, KIMI, Commits, Killed, Process, caller, open_process

pytestmark = pytest.mark.sqlite

DEBUG = bundled_workflows()["debug"]
BUNDLED = Path(definitions.__file__).parent / "bundled"
POOL = "class Pool:\n    def take(self):\n        conn = self._open()\n        raise PoolEmpty\n"
WIRE = f"def wire(pool):\n    token = '{TOKEN}'\n    return pool.take()\n"
REQUEST = WorkflowRequest(
    question="`wire` fails, see shop/pool.py:4",
    wanted=Wanted(log='  File "/app/shop/wire.py", line 3, in wire\n'),
    wants_expert=False,
)
FAMILIES = tuple(replace(model, context_tokens=100_000) for model in (GLM, KIMI))


def answer(*places: dict[str, str]) -> str:
    hypothesis = {"cause": "Pool.take leaves conn open", "confidence": 0.9, "evidence": places}
    return json.dumps({"hypotheses": [hypothesis]})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = GitRepository(tmp_path)
    files: dict[str, str | bytes | None] = {
        "shop/pool.py": POOL,
        "shop/wire.py": WIRE,
        ".gitignore": "ignored/\n.store\n",
        ".env": "KEY=1\n",
    }
    made.commit(files, "Begin the shop")
    write(tmp_path, **{"ignored/of.py": WIRE})
    return tmp_path


async def process_on(database: Database, provider: ScriptedProvider, root: Path, **options: Any) -> Process:
    return await open_process(database, provider, root, models=FAMILIES, **options)


async def debug(process: Process, request: WorkflowRequest = REQUEST, workflow: Workflow = DEBUG) -> Outcome:
    return await process.engine.call(workflow, request, process.context(caller()))


def asked(provider: ScriptedProvider, number: int = -1) -> str:
    return provider.asked[number].messages[-1].text


async def test_evidence_stands_in_the_prompt_under_ids_and_is_kept_as_rows(
    database: Database, root: Path
) -> None:
    provider = ScriptedProvider(answer())
    process = await process_on(database, provider, root)
    context = process.context(caller())
    outcome = await process.engine.call(DEBUG, REQUEST, context)
    shown = [each for each in outcome.evidence if each.id]
    assert [each.id for each in shown] == [f"E{number}" for number in range(1, len(shown) + 1)]
    assert {"shop/pool.py", "shop/wire.py", ""} == {each.path for each in shown}
    prompt = asked(provider)
    for each in shown:
        assert f"<<<FILE {each.id} {each.path or each.source}" in prompt
    assert prompt.index("<<<FILE E1 ") < prompt.index(REQUEST.question)
    assert "Begin the shop" in prompt
    run = await process.tables.of_call("anna", context.call_id)
    assert run is not None
    rows = [row for row in await process.tables.evidence(run) if row.left_out is None]
    assert [(f"E{row.number}", row.path, row.sha256, row.why) for row in rows] == [
        (each.id, each.path, each.sha256, each.why) for each in shown
    ]
    assert all(row.text for row in rows)


@pytest.mark.parametrize("fork", [False, True], ids=["the same", "a copy"])
async def test_the_next_question_begins_with_what_was_shown_and_is_as_it_was(
    database: Database, root: Path, fork: bool
) -> None:
    provider = ScriptedProvider(answer(), answer(), answer())
    process = await process_on(database, provider, root)
    first = await debug(process)
    again = WorkflowRequest(
        question="And who rolls back?",
        wants_expert=False,
        continuation_id=first.conversation_id,
        fork=fork,
    )
    second = await debug(process, again)
    assert (second.conversation_id == first.conversation_id) is not fork
    before, now = provider.asked[0].messages, provider.asked[1].messages
    assert [message.role for message in now] == ["system", "user", "assistant", "user"]
    blocks = before[1].text[: before[1].text.index(REQUEST.question)]
    assert now[1].text.startswith(blocks.rstrip())
    assert now[1].text.endswith(REQUEST.question)
    assert "<<<FILE" not in now[3].text
    shown = [each for each in first.evidence if each.id]
    assert [each for each in second.evidence if each.id][: len(shown)] == shown
    (root / "shop/pool.py").write_text(POOL.replace("raise PoolEmpty", "return None"))
    third = await debug(process, msgspec.structs.replace(again, question="`wire` once more, in shop/pool.py"))
    digests = {each.sha256 for each in shown if each.path == "shop/pool.py"}
    assert digests.isdisjoint(each.sha256 for each in third.evidence)
    assert "return None" in provider.asked[2].messages[1].text


async def test_a_question_of_another_conversation_begins_with_nothing_of_it(
    database: Database, root: Path
) -> None:
    process = await process_on(database, ScriptedProvider(answer(), answer()), root)
    await debug(process)
    second = await debug(process, WorkflowRequest(question="And who rolls back?", wants_expert=False))
    assert not [each for each in second.evidence if each.path == "shop/wire.py" and each.id]


async def test_what_is_secret_or_ignored_is_in_no_prompt(database: Database, root: Path) -> None:
    provider = ScriptedProvider(answer())
    request = msgspec.structs.replace(
        REQUEST, file_paths=(str(root / "shop/wire.py"), ".env", "ignored/of.py")
    )
    outcome = await debug(await process_on(database, provider, root), request)
    assert TOKEN not in asked(provider)
    assert "github-pat" in asked(provider)
    assert "KEY=1" not in asked(provider)
    assert ".env: the workspace has no such file" in outcome.notes
    assert "ignored/of.py: the workspace has no such file" in outcome.notes


async def test_what_does_not_fit_is_listed_with_its_reason(database: Database, root: Path) -> None:
    for end in ("toml", "md"):
        shutil.copy(BUNDLED / f"debug.{end}", root)
    definition = (root / "debug.toml").read_text()
    (root / "debug.toml").write_text(definition.replace("evidence_tokens = 60_000", "evidence_tokens = 120"))
    (small,) = read_folder(root)
    provider = ScriptedProvider(answer())
    outcome = await debug(await process_on(database, provider, root), workflow=small)
    left_out = [each for each in outcome.evidence if each.left_out]
    assert "no room" in {each.left_out for each in left_out}
    assert all(each.id is None for each in left_out)
    assert sum(each.tokens for each in outcome.evidence if each.id) <= 120


async def test_citations_by_id_and_by_path_are_compared_with_what_was_shown(
    database: Database, root: Path
) -> None:
    quote = "conn = self._open()"
    places = (
        {"path": "shop/pool.py", "lines": "3", "quote": quote},
        {"path": "pool.py", "lines": "1", "quote": quote},
        {"path": "E2", "lines": "3", "quote": quote},
        {"path": "shop/pool.py", "lines": "3", "quote": "conn.rollback_everything()"},
    )
    outcome = await debug(await process_on(database, ScriptedProvider(answer(*places)), root))
    assert outcome.citations == {"verified": 2, "moved": 1, "unverified": 1}
    assert "stale" not in outcome.answer


async def test_what_the_file_no_longer_has_is_stale(database: Database, root: Path) -> None:
    quotes = ("conn = self._open()", "def take(self):")

    def change(_: Prompt) -> str:
        (root / "shop/pool.py").write_text(POOL.replace("self._open()", "self._opened()"))
        return answer(*({"path": "shop/pool.py", "lines": "1-4", "quote": quote} for quote in quotes))

    outcome = await debug(await process_on(database, ScriptedProvider(change), root))
    assert outcome.citations == {"verified": 2, "stale": 1}
    assert "`conn = self._open()` (stale: the file no longer has it)" in outcome.answer


async def test_all_of_a_file_that_is_gone_is_stale(database: Database, root: Path) -> None:
    def remove(_: Prompt) -> str:
        (root / "shop/pool.py").unlink()
        return answer({"path": "shop/pool.py", "lines": "3", "quote": "conn = self._open()"})

    outcome = await debug(await process_on(database, ScriptedProvider(remove), root))
    assert outcome.citations == {"verified": 1, "stale": 1}


async def test_files_outside_are_shown_beside_and_numbered_behind(database: Database, root: Path) -> None:
    workspace = root / "shop"
    beside = root / "beside.txt"
    beside.write_text("what stands beside\n")
    place = {"path": str(beside), "lines": "1", "quote": "what stands beside"}
    provider = ScriptedProvider(answer(place))
    request = msgspec.structs.replace(
        REQUEST, workspace=str(workspace), file_paths=(str(beside), str(workspace / "wire.py"))
    )
    outcome = await debug(await process_on(database, provider, root), request)
    count = len(outcome.evidence)
    assert f"<<<FILE E{count + 1} {beside} " in asked(provider)
    assert asked(provider).count("1│def wire(pool)") == 1
    assert outcome.citations == {"verified": 1}


async def test_files_whose_secrets_are_to_be_sent_are_shown_beside(database: Database, root: Path) -> None:
    provider = ScriptedProvider(answer())
    request = msgspec.structs.replace(REQUEST, send_secrets=True, file_paths=(str(root / "shop/wire.py"),))
    await debug(await process_on(database, provider, root), request)
    assert asked(provider).count(TOKEN) == 1


async def test_a_workspace_that_may_not_be_read_is_refused(database: Database, root: Path) -> None:
    provider = ScriptedProvider()
    process = await process_on(database, provider, root)
    with pytest.raises(FileRefused):
        await debug(process, msgspec.structs.replace(REQUEST, workspace="/etc"))
    assert provider.asked == []


async def test_a_killed_run_shows_what_it_gathered_whatever_became_of_the_files(
    database: Database, root: Path
) -> None:
    dead: set[str] = set()
    provider = ScriptedProvider(answer(), answer())
    first = await process_on(database, provider, root, commits=Commits(3), dead=dead)
    with pytest.raises(Killed):
        await debug(first)
    dead.add(first.name)
    (root / "shop/pool.py").write_text("nothing = 1\n")
    second = await process_on(database, provider, root, dead=dead)
    outcome = await debug(second)
    assert "conn = self._open()" in asked(provider)
    assert "nothing = 1" not in asked(provider)
    assert [each.path for each in outcome.evidence if each.id]
