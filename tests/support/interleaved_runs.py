"""Runs of workflows, in one call and step by step, that are answered in the order of a seed, whichever came first."""

import asyncio
import random
import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from exai.providers.base import Prompt
from exai.storage.database import Database
from exai.storage.schema import workflow_steps, workflows
from exai.workflows.definitions import bundled_workflows
from exai.workflows.guided import GuidedReport
from exai.workflows.guided_runs import Reported
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest
from support.scripted import ScriptedProvider
from support.workflow_runs import Process, caller, open_process

__all__ = ["interleave"]

RUNS = 4
STAGES = ("answer", "against", "remains")
REPORTS = ("report 1", "report 2")
THINK = bundled_workflows()["think"]

_MARK = re.compile(r"mark-\d+-\d+")


class Gates:
    """Lets requests be answered in the order of a seed, whichever came first."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._waiting: list[asyncio.Future[None]] = []

    async def answer(self, prompt: Prompt) -> str:
        """Wait for one's turn, and answer with the marks that the request holds."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if len(self._waiting) > 1:
            self._waiting.pop(self._dice.randrange(len(self._waiting))).set_result(None)
        else:
            asyncio.get_running_loop().call_later(0, self._open_one)
        await turn
        return " ".join(dict.fromkeys(_MARK.findall(" ".join(each.text for each in prompt.messages))))

    def _open_one(self) -> None:
        if self._waiting:
            self._waiting.pop(self._dice.randrange(len(self._waiting))).set_result(None)


async def _in_one_call(process: Process, owner: str, mark: str) -> Outcome:
    request = WorkflowRequest(question=f"What of {mark}?")
    return await process.engine.call(THINK, request, process.context(caller(owner)))


async def _step_by_step(process: Process, owner: str, mark: str) -> Outcome:
    first = GuidedReport(step=f"What of {mark}?", number=1, total=2, is_last=False, findings=f"I saw {mark}.")
    begun = await process.guided.report(
        THINK, first, WorkflowRequest(question=""), process.context(caller(owner)), finishes=False
    )
    assert isinstance(begun, Reported)
    last = GuidedReport(step="Look again", number=2, total=2, is_last=True, findings=f"Still {mark}.")
    request = WorkflowRequest(question="", continuation_id=begun.conversation_id)
    outcome = await process.guided.report(THINK, last, request, process.context(caller(owner)), finishes=True)
    assert isinstance(outcome, Outcome)
    return outcome


async def interleave(database: Database, folder: Path, owners: Sequence[str], seed: int) -> tuple[int, int]:
    """Interleave runs of these owners; how many words of another run they had, and how many steps were wrong."""
    dice = random.Random(seed)
    gates = Gates(dice)
    provider = ScriptedProvider(*[gates.answer] * (RUNS * len(STAGES)))
    process = await open_process(database, provider, folder)
    marks = [f"mark-{seed}-{number}" for number in range(RUNS)]
    guided = [dice.random() < 0.5 for _ in marks]
    outcomes = await asyncio.gather(
        *(
            (_step_by_step if is_guided else _in_one_call)(process, owners[number % len(owners)], mark)
            for number, (mark, is_guided) in enumerate(zip(marks, guided, strict=True))
        )
    )
    foreign = wrong = 0
    for number, outcome in enumerate(outcomes):
        foreign += len(set(_MARK.findall(outcome.answer)) ^ {marks[number]})
        wrong += [(stage.stage, stage.asked) for stage in outcome.stages] != [(name, 1) for name in STAGES]
        words, steps = await _in_rows(
            database, outcome, owners[number % len(owners)], marks[number], is_guided=guided[number]
        )
        foreign, wrong = foreign + words, wrong + steps
    return foreign, wrong + RUNS - len({outcome.conversation_id for outcome in outcomes})


async def _in_rows(
    database: Database, outcome: Outcome, owner: str, mark: str, *, is_guided: bool
) -> tuple[int, int]:
    """How many words of another run the rows of a run have, and whether its steps are not those it must have."""
    run = select(workflows.c.owner, workflows.c.state).where(workflows.c.workflow_id == outcome.workflow_id)
    steps = select(
        workflow_steps.c.step, workflow_steps.c.state, workflow_steps.c.asked, workflow_steps.c.output
    ).where(workflow_steps.c.workflow_id == outcome.workflow_id)
    head, rows = await database.read(
        lambda connection: (connection.execute(run).one(), connection.execute(steps).all())
    )
    expected = dict.fromkeys((*STAGES, "record"), ("ended", 1))
    expected |= dict.fromkeys(REPORTS if is_guided else (), ("ended", 0))
    foreign = sum(len(set(_MARK.findall(row.output or "")) - {mark}) for row in rows)
    is_right = {row.step: (row.state, row.asked) for row in rows} == expected
    return foreign, int(tuple(head) != (owner, "done")) + int(not is_right)
