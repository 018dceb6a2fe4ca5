"""Runs: what they ask, in which order, and how they go on."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from exai.consulting.context import Interrupted
from exai.errors import ProviderOverloaded, UnknownConversation
from exai.providers.base import Prompt
from exai.providers.catalog import Price
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.schema import exchanges, workflows
from exai.workflows.definitions import bundled_workflows
from exai.workflows.faults import RunBusy, RunFailed
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest
from support.killed_runs import section_of
from support.queued_writes import commit_queued
from support.scripted import ScriptedProvider, Step
from support.waiting import wait_until
from support.workflow_runs import GLM, KIMI, Commits, Killed, Process, caller, open_process

pytestmark = pytest.mark.sqlite

THINK = bundled_workflows()["think"]
QUESTION = WorkflowRequest(question="Shall we shard?")
ANSWERS: tuple[Step, ...] = ("Yes.", "It doubles the work.", "Yes, but later.")


async def think(
    process: Process,
    request: WorkflowRequest = QUESTION,
    subject: str = "anna",
    interrupted: Interrupted | None = None,
) -> Outcome:
    context = msgspec.structs.replace(process.context(caller(subject)), interrupted=interrupted)
    return await process.engine.call(THINK, request, context)


def asked(provider: ScriptedProvider) -> list[tuple[str, str]]:
    """Which model was asked with which section, in turn."""
    return [(prompt.model.name, section_of(prompt)) for prompt in provider.asked]


async def count(database: Database, table: Any) -> int:
    query = select(func.count()).select_from(table)
    return await database.read(lambda connection: int(connection.execute(query).scalar_one()))


async def test_the_answer_is_attacked_by_the_other_family_and_what_remains_is_answered(
    database: Database, tmp_path: Path
) -> None:
    provider = ScriptedProvider(*ANSWERS)
    process = await open_process(database, provider, tmp_path)
    outcome = await think(process)
    assert asked(provider) == [("glm-x", "answer"), ("kimi-x", "against"), ("glm-x", "remains")]
    assert outcome.answer == (
        "Yes, but later.\n\n## The first answer (glm-x)\n\nYes.\n\n"
        "## The strongest case against it (kimi-x)\n\nIt doubles the work."
    )
    assert outcome.models == ("glm-x", "kimi-x")
    assert outcome.expert is not None
    assert (outcome.expert.ran, outcome.expert.model, outcome.expert.family) == (True, "kimi-x", "other")
    assert [(stage.stage, stage.asked, stage.kept) for stage in outcome.stages] == [
        ("answer", 1, False),
        ("against", 1, False),
        ("remains", 1, False),
    ]
    last = provider.asked[-1].messages[-1].text
    assert "Your first answer:\n\n│Yes.\n\nThe case" in last
    assert "\n│It doubles the work.\n" in last


async def test_the_conversation_has_question_and_answer_and_goes_on(
    database: Database, tmp_path: Path
) -> None:
    provider = ScriptedProvider(*ANSWERS)
    process = await open_process(database, provider, tmp_path)
    first = await think(process)
    assert await count(database, exchanges) == 1
    more = WorkflowRequest(question="And in Go?", continuation_id=first.conversation_id)
    provider.script("Also.", "No.", "Also, later.")
    second = await think(process, more)
    assert second.conversation_id == first.conversation_id
    assert await count(database, exchanges) == 2
    assert [message.text for message in provider.asked[3].messages[1:3]] == ["Shall we shard?", first.answer]
    assert asked(provider)[3:] == [("glm-x", "answer"), ("kimi-x", "against"), ("glm-x", "remains")]
    with pytest.raises(UnknownConversation):
        await think(process, more, subject="ben")


@pytest.mark.parametrize(
    "dies_at", [None, 6, 9], ids=["whole", "behind the first answer", "before the record"]
)
async def test_the_conversation_keeps_the_files_that_were_shown(
    database: Database, tmp_path: Path, dies_at: int | None
) -> None:
    file = tmp_path / "shards.py"
    file.write_text("SHARDS = 4\n")
    request = msgspec.structs.replace(QUESTION, file_paths=(str(file),), inputs={"focus": "Cost."})
    provider, dead = ScriptedProvider(*ANSWERS), set[str]()
    if dies_at is not None:
        killed = await open_process(database, provider, tmp_path, commits=Commits(dies_at), dead=dead)
        with pytest.raises(Killed):
            await think(killed, request)
        dead.add(killed.name)
    process = await open_process(database, provider, tmp_path, dead=dead)
    first = await think(process, request)
    shown = provider.asked[0].messages[-1].text
    provider.script("Also.", "No.", "Also, later.")
    await think(process, WorkflowRequest(question="And in Go?", continuation_id=first.conversation_id))
    kept = provider.asked[-3].messages[1].text
    assert "1│SHARDS = 4\n" in kept
    assert kept.endswith("\nShall we shard?")
    assert shown.startswith(kept)


async def test_files_that_have_gone_since_are_not_in_the_conversation(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "shards.py"
    file.write_text("SHARDS = 4\n")
    request = msgspec.structs.replace(QUESTION, file_paths=(str(file),))
    provider, dead = ScriptedProvider(*ANSWERS), set[str]()
    killed = await open_process(database, provider, tmp_path, commits=Commits(9), dead=dead)
    with pytest.raises(Killed):
        await think(killed, request)
    dead.add(killed.name)
    file.unlink()
    outcome = await think(await open_process(database, provider, tmp_path, dead=dead), request)
    assert outcome.answer.startswith("Yes, but later.")
    query = select(exchanges.c.question)
    assert await database.read(lambda it: it.execute(query).scalars().all()) == ["Shall we shard?"]


async def test_whoever_declines_the_other_family_is_told_so(database: Database, tmp_path: Path) -> None:
    provider = ScriptedProvider("Yes.")
    process = await open_process(database, provider, tmp_path)
    outcome = await think(process, WorkflowRequest(question="Shall we?", wants_expert=False))
    assert outcome.answer == "Yes."
    assert outcome.expert is not None
    assert (outcome.expert.ran, outcome.expert.why) == (
        False,
        "You declined it by use_assistant_model=false.",
    )


async def test_where_there_is_no_other_family_the_same_model_is_asked_in_a_new_context(
    database: Database, tmp_path: Path
) -> None:
    provider = ScriptedProvider(*ANSWERS)
    process = await open_process(database, provider, tmp_path, models=(GLM,))
    outcome = await think(process)
    assert [model for model, _ in asked(provider)] == ["glm-x"] * 3
    assert outcome.expert is not None
    assert outcome.expert.family == "same"
    assert any(note.startswith("No model of another family") for note in outcome.notes)


async def test_what_failed_half_way_is_answered_in_part_and_goes_on_without_asking_twice(
    database: Database, tmp_path: Path
) -> None:
    provider = ScriptedProvider("Yes.", ProviderOverloaded("Busy."))
    process = await open_process(database, provider, tmp_path)
    part = await think(process)
    assert (part.is_partial, part.answer) == (True, "Yes.")
    assert part.expert is not None
    assert not part.expert.ran
    assert "could not be finished (provider_overloaded)" in part.notes[-1]
    assert await count(database, exchanges) == 0
    provider.script("It doubles the work.", "Yes, but later.")
    whole = await think(process)
    assert not whole.is_partial
    assert whole.workflow_id == part.workflow_id
    assert whole.stages[0].kept
    assert [section for _, section in asked(provider)] == ["answer", "against", "against", "remains"]


async def test_a_run_stops_at_its_budget(database: Database, tmp_path: Path) -> None:
    dear = replace(GLM, price=Price(input=1.0, cached_input=None, output=2.0, checked="2026-01-01"))
    provider = ScriptedProvider(*ANSWERS)
    outcome = await think(await open_process(database, provider, tmp_path, models=(dear, KIMI)))
    assert len(provider.asked) == 1
    assert outcome.answer == "Yes."
    assert "stopped at its 1 dollars" in outcome.notes[-1]


async def test_where_nothing_was_kept_the_fault_is_the_answer(database: Database, tmp_path: Path) -> None:
    provider = ScriptedProvider(ProviderOverloaded("Busy."), *ANSWERS)
    process = await open_process(database, provider, tmp_path)
    request = WorkflowRequest(question="Shall we?", model="glm-x")
    with pytest.raises(ProviderOverloaded):
        await think(process, request)
    await commit_queued(database)
    assert not (await think(process, request)).is_partial
    assert await count(database, workflows) == 1


async def test_the_same_question_asked_later_is_another_run(database: Database, tmp_path: Path) -> None:
    provider = ScriptedProvider(*ANSWERS, "No.", "So what?", "No.")
    process = await open_process(database, provider, tmp_path)
    first, second = await think(process), await think(process)
    assert first.workflow_id != second.workflow_id
    assert len(provider.asked) == 6


async def test_a_run_that_ended_half_way_goes_on_for_a_day(database: Database, tmp_path: Path) -> None:
    clock = ManualClock()
    provider = ScriptedProvider("Yes.", ProviderOverloaded("Busy."), *ANSWERS)
    process = await open_process(database, provider, tmp_path, clock=clock)
    part = await think(process)
    clock.advance(timedelta(days=1, seconds=1).total_seconds())
    assert (await think(process)).workflow_id != part.workflow_id


async def test_the_same_call_at_once_waits_and_gets_the_same_answer(
    database: Database, tmp_path: Path
) -> None:
    gate = asyncio.Event()

    async def slow(_: Prompt) -> str:
        await gate.wait()
        return "Yes."

    provider = ScriptedProvider(slow, *ANSWERS[1:])
    process = await open_process(database, provider, tmp_path)
    both = [asyncio.ensure_future(think(process)) for _ in range(2)]
    await provider.asked_now.wait()
    gate.set()
    one, other = await asyncio.gather(*both)
    assert one.answer == other.answer
    assert {one.recalled, other.recalled} == {True, False}
    assert len(provider.asked) == 3


async def test_a_caller_who_leaves_leaves_a_run_that_goes_on(database: Database, tmp_path: Path) -> None:
    async def never(_: Prompt) -> str:
        await asyncio.Event().wait()
        return ""

    provider = ScriptedProvider("Yes.", never)
    process = await open_process(database, provider, tmp_path)
    call = asyncio.ensure_future(think(process))
    await wait_until(lambda: len(provider.asked) == 2, what="the second request")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await commit_queued(database)
    state = select(workflows.c.state)
    assert await database.read(lambda connection: connection.execute(state).scalar_one()) == "interrupted"
    provider.script("It doubles the work.", "Yes, but later.")
    whole = await think(process)
    assert whole.stages[0].kept
    assert whole.stages[1].asked == 2, "how often is told, as the first may be charged for"


async def test_another_living_process_keeps_its_run(database: Database, tmp_path: Path) -> None:
    dead: set[str] = set()
    commits = Commits(dies_at=3)
    first = await open_process(database, ScriptedProvider(*ANSWERS), tmp_path, commits=commits)
    with pytest.raises(Killed):
        await think(first)
    provider = ScriptedProvider(*ANSWERS)
    second = await open_process(database, provider, tmp_path, dead=dead)
    with pytest.raises(RunBusy, match=r"\(stage answer\)"):
        await think(second)
    assert provider.asked == []
    dead.add(first.name)
    assert not (await think(second)).is_partial


async def test_an_interrupted_call_has_the_answer_of_its_run_whoever_ended_it(
    database: Database, tmp_path: Path
) -> None:
    clock, dead = ManualClock(), set[str]()
    provider = ScriptedProvider(*ANSWERS, *ANSWERS, *ANSWERS)
    first = await open_process(database, provider, tmp_path, clock=clock, commits=Commits(6), dead=dead)
    its = Interrupted("call_0", clock.utc())
    with pytest.raises(Killed):
        await think(first)
    dead.add(first.name)
    clock.advance(timedelta(days=3).total_seconds())
    other = await open_process(database, provider, tmp_path, clock=clock, dead=dead)
    whole = await think(other, interrupted=its)
    assert whole.stages[0].kept, "its key keeps it for longer than a day"
    assert len(provider.asked) == 3, "what had ended is not asked again"
    again = await think(other, interrupted=its)
    assert (again.workflow_id, again.recalled) == (whole.workflow_id, True)
    clock.advance(1)
    later = Interrupted("call_0", clock.utc())
    assert (await think(other, interrupted=later)).workflow_id != whole.workflow_id, "that was before it"


async def test_a_request_whose_answer_was_lost_twice_is_not_made_again(
    database: Database, tmp_path: Path
) -> None:
    dead: set[str] = set()
    provider = ScriptedProvider(*ANSWERS, *ANSWERS)
    for dies_at in (4, 3):  # the first has its run to begin
        process = await open_process(
            database, provider, tmp_path, commits=Commits(dies_at, before=True), dead=dead
        )
        with pytest.raises(Killed):
            await think(process)
        dead.add(process.name)
    last = await open_process(database, provider, tmp_path, dead=dead)
    with pytest.raises(RunFailed, match="'answer'"):
        await think(last)
    assert len(provider.asked) <= 2
    assert not (await think(last)).is_partial, "it begins anew"
