"""Runs of workflows that are answered in the order of a seed, whichever came first."""

import asyncio
import random
import re
from collections.abc import Sequence
from pathlib import Path

from exai.providers.base import Prompt
from exai.storage.database import Database
from exai.workflows.definitions import bundled_workflows
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest
from support.scripted import ScriptedProvider
from support.workflow_runs import Process, caller, open_process

__all__ = ["interleave"]

RUNS = 4
REQUESTS = 3
THINK = bundled_workflows()["think"]

_MARK = re.compile(r"mark-\d+-\d+")


class Gates:
    """Lets requests be answered in the order of a seed, whichever came first."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._waiting: list[asyncio.Future[None]] = []

    async def answer(self, prompt: Prompt) -> str:
        """Wait for one's turn, and answer with the marks that the request holds."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if len(self._waiting) > 1:
            self._waiting.pop(self._random.randrange(len(self._waiting))).set_result(None)
        else:
            asyncio.get_running_loop().call_later(0, self._open_one)
        await turn
        return " ".join(dict.fromkeys(_MARK.findall(" ".join(each.text for each in prompt.messages))))

    def _open_one(self) -> None:
        if self._waiting:
            self._waiting.pop(self._random.randrange(len(self._waiting))).set_result(None)


async def _run(process: Process, owner: str, mark: str) -> Outcome:
    request = WorkflowRequest(question=f"What of {mark}?")
    return await process.engine.call(THINK, request, process.context(caller(owner)))


async def interleave(database: Database, folder: Path, owners: Sequence[str], seed: int) -> tuple[int, int]:
    """Interleave runs of these owners; how many words of another run they had, and how many steps were wrong."""
    gates = Gates(seed)
    provider = ScriptedProvider(*[gates.answer] * (RUNS * REQUESTS))
    process = await open_process(database, provider, folder)
    marks = [f"mark-{seed}-{number}" for number in range(RUNS)]
    outcomes = await asyncio.gather(
        *(_run(process, owners[number % len(owners)], mark) for number, mark in enumerate(marks))
    )
    foreign = sum(
        len(set(_MARK.findall(outcome.answer)) ^ {mark})
        for outcome, mark in zip(outcomes, marks, strict=True)
    )
    wrong = sum([stage.asked for stage in outcome.stages] != [1] * REQUESTS for outcome in outcomes)
    conversations = len({outcome.conversation_id for outcome in outcomes})
    return foreign, wrong + RUNS - conversations
