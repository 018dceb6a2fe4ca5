"""Runs whose client, daemon or both are gone at a commit, and that are asked for again."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import func, select

from exai.evidence.pieces import Wanted
from exai.providers.base import Prompt
from exai.storage.database import Database
from exai.storage.schema import exchanges, workflow_steps, workflows
from exai.workflows.definitions import bundled_workflows
from exai.workflows.guided import GuidedReport
from exai.workflows.guided_runs import Reported
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest
from support.queued_writes import commit_queued
from support.repositories import GitRepository
from support.scripted import ScriptedProvider
from support.workflow_runs import GLM, Commits, Killed, Process, caller, open_process

__all__ = ["FORMS", "OTHERS", "Form", "Kill", "every_kill", "section_of", "troubles_of"]

WORKFLOWS = bundled_workflows()
THINK = WORKFLOWS["think"]
ANSWERS = {"answer": "Yes.", "against": "It doubles the work.", "remains": "Yes, but later."}
SIDE_BY_SIDE = 16
READING_SIDE_BY_SIDE = 3
"""Of workflows that read a workspace, each by a process of its own."""
Form = Literal["in one call", "step by step", "debug", "review", "analyze", "write"]
FORMS: tuple[Form, ...] = ("in one call", "step by step")
"""Those of `think`."""
OTHERS: tuple[Form, ...] = ("debug", "review", "analyze", "write")
"""Workflows that read a workspace."""
CODE = "def add(one, other):\n    return one - other\n"
PLACE = {"path": "sums.py", "lines": "2", "quote": "return one - other"}
DEFECT = {
    "severity": "high",
    "category": "logic",
    "path": "sums.py",
    "from": 2,
    "to": 2,
    "quote": "return one - other",
    "message": "It takes away.",
}
PATCH = "--- /dev/null\n+++ b/test_sums.py\n@@ -0,0 +1,2 @@\n+def test_add():\n+    assert True\n"
FOUND: Mapping[str, str] = {
    "conclude": json.dumps({"hypotheses": [{"cause": "A sign", "confidence": 0.5, "evidence": [PLACE]}]}),
    "refute": json.dumps({"verdicts": [{"hypothesis": 1, "verdict": "holds", "reason": "Line 2."}]}),
    "first": json.dumps({"findings": [DEFECT]}),
    "second": json.dumps({"findings": []}),
    "judge": json.dumps({"judgements": [{"id": "R1", "verdict": "confirmed", "reason": "Line 2."}]}),
    "explain": "It adds, as the name says.",
    "tests": f"A test.\n\n```diff\n{PATCH}```",
}
"""What is answered, by stage."""


@dataclass(frozen=True)
class Kill:
    """Who goes, and at which commit: before it, while it is under way, or after it."""

    form: Form
    who: Literal["client", "daemon", "both"]
    when: Literal["before", "during", "after"]
    commit: int
    expected: str = field(default="", repr=False, compare=False)
    """The answer of a run that nobody kills."""


def section_of(prompt: Prompt) -> str:
    """Which stage asks."""
    text = prompt.messages[-1].text
    whole = " ".join(each.text for each in prompt.messages)
    if (section := _section_of_others(whole, prompt.model.name)) is not None:
        return section
    if "What is the strongest case against it?" in text:
        return "against"
    return "remains" if "Give the answer that remains" in text else "answer"


def _section_of_others(text: str, model: str) -> str | None:
    """Which stage of a workflow that reads a workspace asks; `None`: none."""
    if "You are asked to refute findings" in text:
        return "judge"
    if "You review code" in text:
        return "first" if model == GLM.name else "second"
    if "You are asked to refute hypotheses" in text:
        return "refute"
    marks = {"You explain code": "explain", "Write tests for": "tests", "hypotheses": "conclude"}
    return next((section for mark, section in marks.items() if mark in text), None)


def _request(form: Form, folder: Path) -> WorkflowRequest:
    """What is asked of a workflow that reads a workspace."""
    place: dict[str, Any] = {"workspace": str(folder / "code"), "wanted": Wanted(paths=("sums.py",))}
    match form:
        case "debug":
            return WorkflowRequest(question="Sums are wrong in sums.py.", depth="quick", **place)
        case "review":
            inputs = {"kind": "full", "change": "", "focus": "", "rules": ""}
            return WorkflowRequest(question="Review the files.", inputs=inputs, **place)
        case "analyze":
            inputs = {"kind": "structure", "about": "", "wishes": ""}
            return WorkflowRequest(question="What is in sums.py?", inputs=inputs, **place)
        case _:
            return WorkflowRequest(question="Write tests for sums.py.", inputs={"kind": "tests"}, **place)


class _Client:
    """Asks for one run, and for the same again where it has no answer."""

    def __init__(self, form: Form, owner: str, folder: Path) -> None:
        self._form = form
        self._folder = folder
        self._owner = owner
        self._conversation_id: str | None = None

    async def ask(self, process: Process) -> Outcome:
        context = process.context(caller(self._owner))
        if self._form in OTHERS:
            return await process.engine.call(
                WORKFLOWS[self._form], _request(self._form, self._folder), context
            )
        if self._form == "in one call":
            return await process.engine.call(THINK, WorkflowRequest(question="Shall we shard?"), context)
        if self._conversation_id is None:
            first = GuidedReport(
                step="Shall we shard?", number=1, total=2, is_last=False, findings="One table."
            )
            begun = await process.guided.report(
                THINK, first, WorkflowRequest(question=""), context, finishes=False
            )
            assert isinstance(begun, Reported)
            self._conversation_id = begun.conversation_id
        last = GuidedReport(step="Count", number=2, total=2, is_last=True, findings="A billion rows.")
        request = WorkflowRequest(question="", continuation_id=self._conversation_id)
        context = process.context(caller(self._owner))
        outcome = await process.guided.report(THINK, last, request, context, finishes=True)
        assert isinstance(outcome, Outcome)
        return outcome


async def every_kill(database: Database, folder: Path, form: Form) -> list[Kill]:
    """List the kills of a run in this form, after one that nobody kills."""
    commits = Commits()
    process = await open_process(database, _provider(), folder, commits=commits)
    if form in OTHERS and not (folder / "code").exists():
        GitRepository(folder / "code").commit({"sums.py": CODE}, "begin")
    outcome = await _Client(form, f"{form}, unkilled", folder).ask(process)
    assert outcome.models, "somebody was asked"
    assert not outcome.is_partial, outcome.notes
    if form in FORMS:
        assert outcome.answer.startswith(ANSWERS["remains"])
    return [replace(kill, expected=_plain(outcome.answer)) for kill in _kills(form, commits.count)]


def _plain(answer: str) -> str:
    """Leave out what each run has of its own."""
    return re.sub(r"\b(f|file|wf)_\w+", "X", answer)


def _kills(form: Form, commits: int) -> Iterator[Kill]:
    for commit in range(1, commits + 1):
        for who in ("client", "daemon", "both"):
            for when in ("before", "during", "after"):
                if (who, when) != (
                    "daemon",
                    "during",
                ):  # what a dead process has sent is committed, or is not
                    yield Kill(form, who, when, commit)


async def troubles_of(database: Database, folder: Path, kills: Sequence[Kill]) -> list[str]:
    """Ask again after each of them, some side by side; return what is not as it is without a kill."""
    found: list[str] = []
    reads = any(kill.form in OTHERS for kill in kills)
    side_by_side = READING_SIDE_BY_SIDE if reads else SIDE_BY_SIDE
    for begin in range(0, len(kills), side_by_side):
        some = kills[begin : begin + side_by_side]
        for troubles in await asyncio.gather(*(_troubles_of(database, folder, kill) for kill in some)):
            found += troubles
    return found


async def _troubles_of(database: Database, folder: Path, kill: Kill) -> list[str]:
    dead: set[str] = set()
    owner, provider = f"{kill}", _provider()
    before, during = kill.when == "before", kill.when == "during"
    commits = Commits(kill.commit, before=before, during=during, leaves=kill.who != "daemon")
    process = await open_process(database, provider, folder, commits=commits, dead=dead)
    client = _Client(kill.form, owner, folder)
    try:
        call = asyncio.get_running_loop().create_task(client.ask(process), name="the call that is killed")
        commits.call = call
        await call
    except (Killed, asyncio.CancelledError):
        pass
    except BaseExceptionGroup as group:
        if group.subgroup(Killed) is None:
            raise
    else:
        return [f"{kill}: it was not killed"]
    if kill.who != "client":
        await commit_queued(database)  # of a dead process nothing is under way
        dead.add(process.name)
        process = await open_process(database, provider, folder, dead=dead)
    had_ended = await _ended(database, owner)
    asked = Counter(map(section_of, provider.asked))
    outcome = await client.ask(process)
    troubles = await _troubles(database, kill, outcome, provider, {name: asked[name] for name in had_ended})
    return [f"{kill}: {what}" for what in troubles]


async def _troubles(
    database: Database,
    kill: Kill,
    outcome: Outcome,
    provider: ScriptedProvider,
    had_ended: Mapping[str, int],
) -> list[str]:
    """`had_ended`: the stages that had ended before it was asked for again, and how often each had been asked."""
    asked = Counter(map(section_of, provider.asked))
    found = [] if _plain(outcome.answer) == kill.expected else [f"another answer: {outcome.answer!r}"]
    found += [f"{section} was asked for {count} times" for section, count in asked.items() if count > 2]
    found += [
        f"{name} had ended, and was asked again" for name, before in had_ended.items() if asked[name] > before
    ]
    beside = 2 if kill.form == "review" else 1
    if asked.total() > len(asked) + beside:
        found.append(f"{asked.total()} requests")
    kept = (
        select(func.count())
        .select_from(exchanges)
        .where(exchanges.c.conversation_id == outcome.conversation_id)
    )
    count = await database.read(lambda connection: int(connection.execute(kept).scalar_one()))
    return found if count == 1 else [*found, f"{count} exchanges in its conversation"]


async def _ended(database: Database, owner: str) -> set[str]:
    """The requests of the owner's runs whose output is kept."""
    query = (
        select(workflow_steps.c.step)
        .join(workflows, workflows.c.workflow_id == workflow_steps.c.workflow_id)
        .where(
            workflows.c.owner == owner, workflow_steps.c.kind == "request", workflow_steps.c.state == "ended"
        )
    )
    return set(await database.read(lambda connection: connection.execute(query).scalars().all()))


def _provider() -> ScriptedProvider:
    return ScriptedProvider(*[lambda prompt: {**ANSWERS, **FOUND}[section_of(prompt)]] * 9)
