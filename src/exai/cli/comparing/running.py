"""Carries a plan out, level by level, and keeps each whole block as soon as it has ended."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from exai.cli.baselines.open_loop import Punctuality, send_at
from exai.cli.comparing.plan import BURST, Block, Plan, prompt_of
from exai.cli.comparing.results import CallResult, append_results, read_results, result_of
from exai.client.connection import CallFailed, Session
from exai.errors import StartFault

__all__ = ["Running"]

WARM_UPS = 3
"""Calls of each model before anything counts."""
COOL_DOWN_S = 2.0
TOOL = "chat"


class Running:
    """One carrying out of a plan, or of what is left of it."""

    def __init__(
        self, plan: Plan, prompts: Sequence[str], session: Session, file: Path, budget_usd: float
    ) -> None:
        self._plan = plan
        self._prompts = prompts
        self._session = session
        self._file = file
        self._budget_usd = budget_usd
        self.blocks = read_results(file, len(plan.models))
        """Those that are whole, by number."""
        self.punctuality = Punctuality()
        self._open: dict[int, list[CallResult]] = defaultdict(list)
        self._lost: str | None = None
        self.spent_usd = sum(call.cost_usd or 0.0 for calls in self.blocks.values() for call in calls)

    async def run(self) -> None:
        """Ask what is left.

        Raises:
            StartFault: the daemon went away, or the money is spent; what has ended is kept.
        """
        left = [block for block in self._plan.blocks if block.number not in self.blocks]
        if not left:
            return
        service_s = await self._warm_up()
        levels = dict.fromkeys(block.level for block in left)
        for at, level in enumerate(levels):
            if at:
                await asyncio.sleep(COOL_DOWN_S)
            await self._level([block for block in left if block.level == level], level, service_s)

    async def _level(self, blocks: Sequence[Block], level: int, service_s: float) -> None:
        mean_gap_s = 0.0 if level == BURST else service_s / level
        calls = [
            (block, model, gap * mean_gap_s)
            for block in blocks
            for model, gap in zip(block.order, block.gaps, strict=True)
        ]
        moments, at = [], 0.0
        for _, _, gap in calls:
            at += gap
            moments.append(at)
        await send_at(moments, lambda place, meant: self._ask(*calls[place][:2], meant), self.punctuality)
        if self._lost is not None:
            raise StartFault(
                f"{self._lost} {len(self.blocks)} of {len(self._plan.blocks)} blocks are kept in {self._file.parent}; "
                "give the same command again, and it goes on from there."
            )

    async def _warm_up(self) -> float:
        """Ask each model a few times, and return how long a call takes.

        Raises:
            StartFault: the daemon went away, or a model answers none of them.
        """
        took: list[float] = []
        failures: Counter[str] = Counter()
        loop = asyncio.get_running_loop()
        for number in range(WARM_UPS):
            for model in self._plan.models:
                block = Block(-1 - number, number % len(self._prompts), 1, (), ())
                began = loop.time()
                try:
                    answer = await self._session.call(TOOL, self._arguments(block, model))
                except CallFailed as fault:
                    raise StartFault(f"EXAI does not answer: {fault}") from None
                failures[model] += answer.is_error
                if failures[model] == WARM_UPS:
                    raise StartFault(f"{model} answered none of the first {WARM_UPS} calls: {answer.text}")
                took.append(loop.time() - began)
        return fmean(took)

    def _arguments(self, block: Block, model: str) -> dict[str, Any]:
        answers = self._plan.answers
        further = {"temperature": answers.temperature, "effort": answers.effort}
        return {
            "prompt": prompt_of(self._plan, block, model, self._prompts),
            "model": model,
            "fallback_models": [],  # whatever the configuration allows
            "max_answer_tokens": answers.max_tokens,
            **{name: value for name, value in further.items() if value is not None},
        }

    async def _ask(self, block: Block, model: str, meant: float) -> None:
        if self._lost is not None:
            return
        if self.spent_usd > self._budget_usd:
            self._lost = f"{self.spent_usd:.2f} USD are spent, and --budget-usd allows {self._budget_usd:g}."
            return
        loop = asyncio.get_running_loop()
        sent = loop.time()
        try:
            answer = await self._session.call(TOOL, self._arguments(block, model))
        except CallFailed as fault:
            self._lost = f"EXAI went away: {fault}"
            return
        now = loop.time()
        result = result_of(block.number, model, answer, total_s=now - meant, service_s=now - sent)
        self.spent_usd += result.cost_usd or 0.0
        whole = self._open[block.number]
        whole.append(result)
        if len(whole) == len(self._plan.models):
            self.blocks[block.number] = self._open.pop(block.number)
            append_results(self._file, whole)
