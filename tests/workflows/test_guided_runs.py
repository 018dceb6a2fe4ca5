"""The guided form: reports are kept, go back, follow one another, and are concluded."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from exai.consulting.context import Interrupted
from exai.errors import BadArguments, ProviderOverloaded
from exai.providers.base import Prompt
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.schema import workflow_steps, workflows
from exai.workflows.definitions import bundled_workflows
from exai.workflows.faults import RunBusy, UnknownRun
from exai.workflows.guided import GuidedReport, combined_question, next_call
from exai.workflows.guided_runs import Reported
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest
from support.scripted import ScriptedProvider
from support.workflow_runs import Commits, Killed, Process, caller, open_process

pytestmark = pytest.mark.sqlite

THINK = bundled_workflows()["think"]
ANSWERS = ("Yes.", "It doubles the work.", "Yes, but later.")


def report(number: int, **more: Any) -> GuidedReport:
    return GuidedReport(**{"step": f"Look {number}", "number": number, "total": 3, "is_last": False, **more})


async def send(
    process: Process,
    report: GuidedReport,
    continuation_id: str | None = None,
    *,
    subject: str = "anna",
    finishes: bool = False,
) -> Reported | Outcome:
    request = WorkflowRequest(question="", continuation_id=continuation_id)
    context = process.context(caller(subject))
    return await process.guided.report(THINK, report, request, context, finishes=finishes)


async def begun(process: Process, *reports: GuidedReport) -> str:
    """Send reports; the handle."""
    handle = None
    for each in reports:
        taken = await send(process, each, handle)
        assert isinstance(taken, Reported)
        handle = taken.conversation_id
    assert handle is not None
    return handle


async def test_the_last_step_has_all_that_was_reported_concluded(database: Database, tmp_path: Path) -> None:
    provider = ScriptedProvider(*ANSWERS)
    process = await open_process(database, provider, tmp_path)
    handle = await begun(process, report(1, step="Shall we shard?"), report(2, findings="It is slow."))
    assert provider.asked == [], "reports ask nobody"
    last = report(3, hypothesis="Locks", confidence="high", relevant_context=("Pool.acquire",), is_last=True)
    outcome = await send(process, last, handle, finishes=True)
    assert isinstance(outcome, Outcome)
    assert outcome.conversation_id == handle
    assert outcome.answer.startswith("Yes, but later.")
    asked = provider.asked[0].messages[-1].text
    for part in (
        "Shall we shard?",
        "Step 2: Look 2\n- It is slow.",
        "Pool.acquire",
        "(confidence: high): Locks",
    ):
        assert part in asked
    with pytest.raises(UnknownRun):
        await send(process, report(4), handle)
    again = await send(process, report(1), handle)
    assert isinstance(again, Reported), "another investigation in the same conversation"
    assert again.reports == 1


async def test_going_back_drops_what_came_behind(database: Database, tmp_path: Path) -> None:
    provider = ScriptedProvider(*ANSWERS)
    process = await open_process(database, provider, tmp_path)
    handle = await begun(
        process, report(1), report(2, findings="wrong turn"), report(3, findings="further on it")
    )
    back = await send(process, report(2, backtrack_from=2, findings="right turn"), handle)
    assert isinstance(back, Reported)
    assert back.reports == 2
    outcome = await send(process, report(3, is_last=True), handle, finishes=True)
    assert isinstance(outcome, Outcome)
    asked = provider.asked[0].messages[-1].text
    assert "right turn" in asked
    assert "wrong turn" not in asked
    assert "further on it" not in asked


async def test_a_report_that_comes_again_replaces_itself(database: Database, tmp_path: Path) -> None:
    process = await open_process(database, ScriptedProvider(), tmp_path)
    handle = await begun(process, report(1), report(2, findings="a"), report(2, findings="b"))
    step = select(workflow_steps.c.output).where(workflow_steps.c.step == "report 2")
    kept = await database.read(lambda connection: connection.execute(step).scalar_one())
    assert '"b"' in str(kept)
    state = select(workflows.c.state, workflows.c.conversation_id)
    assert await database.read(lambda connection: connection.execute(state).one()) == ("waiting", handle)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (report(4), "'step_number': this run goes on with step 3, and this is 4"),
        (report(2, backtrack_from=5), "'backtrack_from_step': this run has the steps 1 to 2, and this is 5"),
        (
            report(2, backtrack_from=1),
            "'step_number': behind backtrack_from_step=1 comes step 1, and this is 2",
        ),
    ],
)
async def test_a_step_that_does_not_follow_names_the_one_that_is_expected(
    database: Database, tmp_path: Path, wrong: GuidedReport, sentence: str
) -> None:
    process = await open_process(database, ScriptedProvider(), tmp_path)
    handle = await begun(process, report(1), report(2))
    with pytest.raises(BadArguments, match=sentence):
        await send(process, wrong, handle)
    taken = await send(process, report(3), handle)
    assert isinstance(taken, Reported)
    assert taken.reports == 3, "nothing was lost"


async def test_unknown_and_foreign_runs_are_the_same_words(database: Database, tmp_path: Path) -> None:
    process = await open_process(database, ScriptedProvider(), tmp_path)
    handle = await begun(process, report(1))
    words = set()
    for subject, continuation_id in (("ben", handle), ("anna", "conv_of_nobody")):
        with pytest.raises(UnknownRun) as fault:
            await send(process, report(2), continuation_id, subject=subject)
        words.add(str(fault.value))
    assert len(words) == 1
    with pytest.raises(BadArguments, match="goes on with step 1"):
        await send(process, report(2))


async def test_while_it_is_concluded_another_step_is_refused(database: Database, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(_: Prompt) -> str:
        await gate.wait()
        return "Yes."

    provider = ScriptedProvider(slow, *ANSWERS[1:])
    process = await open_process(database, provider, tmp_path)
    handle = await begun(process, report(1))
    last = asyncio.ensure_future(send(process, report(2, is_last=True), handle, finishes=True))
    await provider.asked_now.wait()
    with pytest.raises(RunBusy):
        await send(process, report(3), handle)
    gate.set()
    assert isinstance(await last, Outcome)


async def test_the_last_step_sent_again_goes_on_where_the_provider_failed(
    database: Database, tmp_path: Path
) -> None:
    provider = ScriptedProvider(
        "Yes.", ProviderOverloaded("Busy."), "It doubles the work.", "Yes, but later."
    )
    process = await open_process(database, provider, tmp_path)
    handle = await begun(process, report(1))
    last = report(2, is_last=True)
    part = await send(process, last, handle, finishes=True)
    assert isinstance(part, Outcome)
    assert part.is_partial
    whole = await send(process, last, handle, finishes=True)
    assert isinstance(whole, Outcome)
    assert not whole.is_partial
    assert len(provider.asked) == 4


async def test_an_interrupted_last_step_goes_on_and_then_has_its_answer(
    database: Database, tmp_path: Path
) -> None:
    clock, dead = ManualClock(), set[str]()
    provider = ScriptedProvider(*ANSWERS)
    only, request = report(1, is_last=True), WorkflowRequest(question="")
    first = await open_process(database, provider, tmp_path, clock=clock, commits=Commits(6), dead=dead)
    context = first.context(caller())
    with pytest.raises(Killed):
        await first.guided.report(THINK, only, request, context, finishes=True)
    dead.add(first.name)
    asked_before = len(provider.asked)
    assert asked_before > 0
    other = await open_process(database, provider, tmp_path, clock=clock, dead=dead)
    again = msgspec.structs.replace(
        other.context(caller()), interrupted=Interrupted(context.call_id, clock.utc())
    )
    outcomes = [await other.guided.report(THINK, only, request, again, finishes=True) for _ in range(2)]
    assert [isinstance(each, Outcome) and each.recalled for each in outcomes] == [False, True]
    assert len(provider.asked) == 3, "what had ended is not asked again"


async def test_a_run_goes_on_in_another_process(database: Database, tmp_path: Path) -> None:
    first = await open_process(database, ScriptedProvider(), tmp_path)
    handle = await begun(first, report(1), report(2))
    other = await open_process(database, ScriptedProvider(), tmp_path)
    taken = await send(other, report(3), handle)
    assert isinstance(taken, Reported)
    assert taken.reports == 3


def test_issues_and_what_is_checked_stand_in_the_question() -> None:
    issues = ({"severity": "high", "description": "leaks"}, {"description": "slow"})
    first = report(1, step="Why?", issues_found=issues, files_checked=("a.py", "b.py"))
    text = combined_question([first, report(2, files_checked=("b.py", "c.py"))])
    assert "- issue (high): leaks\n- issue (unrated): slow" in text
    assert "Files I looked at: a.py, b.py, c.py" in text


def test_the_next_call_is_filled_in() -> None:
    call = next_call(report(3, hypothesis="Locks", confidence="low"), "conv_1")
    assert (call["continuation_id"], call["step_number"], call["total_steps"]) == ("conv_1", 4, 4)
    assert (call["next_step_required"], call["hypothesis"], call["confidence"]) == (False, "Locks", "low")
    assert "hypothesis" not in next_call(report(1), "conv_1")
