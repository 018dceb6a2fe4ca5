"""What the stages of a run would ask, while nothing is asked."""

from collections.abc import Iterable

from exai.consulting.budgets import estimate
from exai.consulting.consultant import Fitted
from exai.consulting.preview import preview
from exai.workflows.definitions import ANSWERED, CollectStage, ExploreStage, Stage, TreatStage
from exai.workflows.experts import decide
from exai.workflows.exploring.exploring import specs_of
from exai.workflows.outcomes import Previewed
from exai.workflows.stage_output import StageOutput
from exai.workflows.stages.stage_work import StageWork

__all__ = ["PreviewWork"]


class PreviewWork(StageWork):
    """Goes through the stages of a run of which nothing is kept."""

    async def preview(self) -> Previewed:
        """Make the requests of all stages that may be asked; of an earlier answer a word stands for it.

        Raises:
            ToolFault: one of them could not be asked.
        """
        requests: list[Fitted] = []
        estimated_usd = 0.0
        notes: list[str] = []
        for stage in self.definition.stage:
            if not self._may_be_met(stage.when):
                continue
            if isinstance(stage, CollectStage):
                await self._evidence.collect(stage)
            elif isinstance(stage, TreatStage):
                if not self.outputs.keys().isdisjoint(stage.of):
                    self.outputs[stage.name] = StageOutput("", f"[what the stage {stage.name} makes of it]")
            elif isinstance(stage, ExploreStage):
                if (most := self._rounds(stage)) > 0:
                    self._tools = specs_of(stage)
                    requests.append(await self._fitted(stage.asked, await self._question(stage.asked)))
                    estimated_usd += most * (estimate(requests[-1]) or 0.0)
                    notes.append(
                        f"The stage {stage.name} is asked up to {most} times, with what it asked for."
                    )
            elif stage.by != "other" or self._may_ask_other():
                requests.append(await self._asked(stage, notes))
                estimated_usd += estimate(requests[-1]) or 0.0
        if not requests:
            notes.append("Nothing would be asked: there is nothing to ask about.")
        if len(requests) > 1:
            notes.append("In later requests, words in brackets stand for what earlier ones answer.")
        shown = await preview(self._consultant, requests, self._context)
        return Previewed(
            requests[0].prompt.model.name if requests else None,
            shown,
            estimated_usd,
            tuple(dict.fromkeys([*self._evidence.notes, *self._notes, *notes])),
        )

    async def _asked(self, stage: Stage, notes: list[str]) -> Fitted:
        """Make the request of a stage, and note on what it depends."""
        condition = None if stage.when is None or self._is_sure(stage.when) else stage.when
        if stage.by == "other" and self.definition.expert.when:
            condition = " or ".join(self.definition.expert.when)
        if condition is not None:
            notes.append(f"The stage {stage.name} is asked only when {condition}.")
        fitted = await self._fitted(stage, await self._question(stage))
        self.outputs[stage.name] = StageOutput(
            fitted.prompt.model.name, f"[what the stage {stage.name} answers]"
        )
        return fitted

    def _may_be_met(self, condition: str | None) -> bool:
        """Whether a condition is met, or may be once models have answered; what treatments make is there by then."""
        if condition is None or self._workflow.is_met(condition, self._values()):
            return True
        return _names(condition, ANSWERED)

    def _is_sure(self, condition: str) -> bool:
        """Whether a condition depends on nothing that models answer, or that is made of their answers."""
        made = {stage.name for stage in self.definition.stage if isinstance(stage, TreatStage)}
        return not _names(condition, ANSWERED | made)

    def _may_ask_other(self) -> bool:
        decision = decide(self._workflow, self._values(), declined=not self._request.wants_expert)
        expert = self.definition.expert
        is_open = expert.policy == "auto" and self._request.wants_expert
        return decision.asks or (is_open and any(not self._is_sure(condition) for condition in expert.when))


def _names(condition: str, facts: Iterable[str]) -> bool:
    return any(fact in condition for fact in facts)
