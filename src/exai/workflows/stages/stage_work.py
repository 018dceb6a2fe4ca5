"""One call's work at the stages of a run: which it has, whom each asks, and what is made of their answers."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import msgspec

from exai.consulting.budgets import ANSWER_TOKENS, check_budget
from exai.consulting.consultant import Consultant, Fitted
from exai.consulting.consultation import Consultation
from exai.consulting.context import CallContext
from exai.consulting.faults import BudgetTooSmall
from exai.consulting.inquiry import Inquiry
from exai.consulting.material import ShownMaterial
from exai.costs import Usage
from exai.errors import ToolFault
from exai.evidence.patches.written import PATCH, WrittenPatch, patch_in
from exai.providers.base import Completion, ToolSpec
from exai.routing.router import AUTO, ModelRouter
from exai.storage.workflows.runs import Step
from exai.workflows.answers import ANSWERS
from exai.workflows.definitions import (
    AnyStage,
    CollectStage,
    Definition,
    Depth,
    ExploreStage,
    Question,
    Stage,
    TreatStage,
    Workflow,
)
from exai.workflows.experts import TrackRecord, choose_other, decide, family_of
from exai.workflows.exploring.exploring import Exploring, specs_of
from exai.workflows.exploring.rounds import Explored
from exai.workflows.gathering.collecting import EvidenceWork
from exai.workflows.outcomes import ExpertReport, Outcome, StageReport
from exai.workflows.request import WorkflowRequest
from exai.workflows.run_record import RunRecord
from exai.workflows.stage_output import StageOutput, read_output, written
from exai.workflows.stages.groups import groups_of
from exai.workflows.stages.prose import checked_prose
from exai.workflows.stages.shown_blocks import shown_file
from exai.workflows.treatments.registry import TREATMENTS
from exai.workflows.treatments.treated import Ports, Treated

__all__ = ["StageWork"]


class StageWork:
    """One call's work at the stages of one run."""

    def __init__(
        self,
        consultant: Consultant,
        router: ModelRouter,
        ports: Ports,
        workflow: Workflow,
        request: WorkflowRequest,
        record: RunRecord,
        evidence: EvidenceWork,
        context: CallContext,
    ) -> None:
        self._consultant = consultant
        self._router = router
        self._ports = ports
        self._clock = ports.clock
        self._workflow = workflow
        self._request = request
        self._record = record
        self._evidence = evidence
        self._context = context
        self._exploring = Exploring(consultant, record, evidence, context, ports.clock)
        self._explored: Explored | None = None
        self._tools: Sequence[ToolSpec] = ()
        """What the run's model was told to call: its further requests begin like those in which it did."""
        self._kept: set[str] = set()
        self._shown: ShownMaterial | None = None
        """What the first request shows, where it is this call's."""
        self._notes: list[str] = []
        self._expert: ExpertReport | None = None
        self._chosen_by = ""
        """The verdicts that chose between other families."""
        self._record_of_families: TrackRecord | None = None
        self._is_over = False
        self._reserved_usd = 0.0
        """What the requests that are about to be made beside one another are estimated at."""
        self.outputs: dict[str, StageOutput] = {}
        """What the stages answered, in turn."""

    @property
    def definition(self) -> Definition:
        return self._workflow.definition

    @property
    def copied(self) -> str | None:
        """The conversation that the run's is a copy of; `None`: it is none."""
        return self._request.continuation_id if self._request.fork else None

    @property
    def has_answers(self) -> bool:
        """Whether anybody answered."""
        return any(output.model for output in self.outputs.values())

    async def ask_all(self) -> None:
        """Go through the stages that the run has; what had ended is not asked again.

        Raises:
            ToolFault: one of them failed; what is made of answers without a model was made all the same.
        """
        failure: ToolFault | None = None
        for group in groups_of(self.definition.stage):
            try:
                if isinstance(group[0], TreatStage):
                    await self._treat(group[0], has_failed=failure is not None)
                elif failure is None:
                    await self._go_through(group)
            except ToolFault as fault:
                failure = failure or fault
        if failure is not None:
            raise failure

    async def _go_through(self, group: Sequence[Stage | CollectStage | ExploreStage]) -> None:
        """Gather, or ask the stages of a group at the same time."""
        questions: list[tuple[Stage, Question]] = []
        self._reserved_usd = 0.0
        for stage in group:
            if self._is_over or not self._has_turn(stage):
                continue
            if isinstance(stage, CollectStage):
                self._tell(stage)
                await self._evidence.collect(stage)
                continue
            if isinstance(stage, ExploreStage):
                await self._explore(stage)
                continue
            if stage.by == "other" and not self._is_asked_of_other():
                continue
            question = await self._question(stage)
            if (output := self._kept_output(stage, question)) is not None:
                self.outputs[stage.name] = output
            elif (spent := self._spent(len(questions))) is not None:
                self._notes.append(spent)
                self._is_over = True
            elif (beyond := await self._beyond_budget(stage, question)) is not None:
                self._notes.append(beyond)
                self._is_over = True
            else:
                self._tell(stage)
                questions.append((stage, question))
        await self._ask_together(questions)

    async def _question(self, stage: Stage) -> Question:
        """Return what a stage asks, with what was gathered as it is to see it."""
        await self._look_up_families(stage)
        gathered = await self._evidence.texts_as(stage.view)
        return self._workflow.question(stage, {**self._texts(), **gathered})

    async def _look_up_families(self, stage: Stage) -> None:
        """Look up which families were right, once, where a stage asks another one and the definition wants it."""
        named = self.definition.expert.track_record
        if stage.by == "lead" or named is None or self._record_of_families is not None:
            return
        kind = self._request.inputs.get(named, "")
        judged = await self._ports.findings.judged(self._context.caller.subject, kind)
        self._record_of_families = TrackRecord.of(kind, judged)

    async def _explore(self, stage: ExploreStage) -> None:
        """Have the run's model look for further evidence, where there is a workspace and the depth allows it."""
        most = self._rounds(stage)
        if most == 0:
            return
        self._tell(stage)
        self._tools = specs_of(stage)
        question = await self._question(stage.asked)
        inquiry = self._inquiry(stage.asked, question)
        explored = await self._exploring.explore(stage, most, question, inquiry, partial(self._spare, stage))
        self._explored = explored
        self._notes += [] if explored.note is None else [explored.note]

    def _rounds(self, stage: ExploreStage) -> int:
        return (
            dict(stage.rounds).get(cast("Depth", self._request.depth), 0)
            if self._evidence.has_workspace
            else 0
        )

    async def _spare(self, stage: ExploreStage) -> str | None:
        """Say why another round would take what the stages that follow need; `None`: it would not.

        Raises:
            BudgetTooSmall: what follows does not fit into the caller's budget, and nothing was asked yet.
        """
        at = self.definition.stage.index(stage)
        following = [each for each in self.definition.stage[at:] if isinstance(each, Stage)]
        if (spent := self._spent(len(following))) is not None:
            return spent
        budget = self._request.budget_usd
        if budget is None:
            return None
        self._reserved_usd = 0.0
        reason = f"What is left of budget_usd {budget:g} is for what follows."
        try:
            for each in (stage.asked, *(each for each in following[:1] if each.by == "lead")):
                fitted = await self._fitted(each, await self._question(each))
                self._reserved_usd += check_budget(fitted, budget, self._record.usd + self._reserved_usd)
                self._reserved_usd += fitted.prompt.model.cost(Usage(input=stage.tokens, output=0)).usd or 0.0
        except BudgetTooSmall:
            if self._record.requests == 0:
                raise
            return reason
        return None if self._record.usd + self._reserved_usd <= budget else reason

    async def _ask_together(self, questions: Sequence[tuple[Stage, Question]]) -> None:
        answers: dict[str, StageOutput] = {}
        faults: list[ToolFault] = []

        async def ask(stage: Stage, question: Question) -> None:
            try:
                answers[stage.name] = await self._ask(stage, question)
            except ToolFault as fault:
                faults.append(fault)

        if len(questions) == 1:
            await ask(*questions[0])
        else:
            async with asyncio.TaskGroup() as tasks:
                for stage, question in questions:
                    tasks.create_task(ask(stage, question), name=f"stage {stage.name}")
        self.outputs |= {stage.name: answers[stage.name] for stage, _ in questions if stage.name in answers}
        if faults:
            raise faults[0]

    async def _treat(self, stage: TreatStage, *, has_failed: bool) -> None:
        """Make something of what there is."""
        if not self._has_turn(stage) or (has_failed and not self.has_answers):
            return
        work = Treated(
            owner=self._context.caller.subject,
            request=self._request,
            of=stage.of,
            outputs=self.outputs,
            evidence=self._evidence.rows,
            graph=self._evidence.graph,
            has_failed=has_failed,
            ports=self._ports,
        )
        self.outputs[stage.name] = await TREATMENTS[stage.treatment](work)

    def _has_turn(self, stage: AnyStage) -> bool:
        return stage.when is None or self._workflow.is_met(stage.when, self._values())

    async def shown_question(self) -> str:
        """Return the caller's question with the files that stood in front of it, as `chat` keeps its own.

        Evidence of a workspace is not kept with it; nor are files that have gone since an earlier call was asked.
        """
        question, shown = self._request.question, self._shown
        if not self._evidence.file_paths:
            return question
        if shown is None:
            first = self.definition.asked[0]
            try:
                shown = (await self._fitted(first, self._workflow.question(first, self._texts()))).shown
            except ToolFault:
                return question
        return shown.about(question).as_recorded

    def outcome(self, failure: ToolFault | None) -> Outcome:
        """Make the run's answer of what the stages answered."""
        notes = list(dict.fromkeys([*self._evidence.notes, *self._notes]))
        if failure is not None:
            notes.append(
                f"This is what there is: the run could not be finished ({failure.code}). Ask the same once more, and "
                "it goes on from here."
            )
        return Outcome(
            workflow_id=self._record.run.workflow_id,
            conversation_id=self._record.run.conversation_id,
            answer=self._answer(),
            models=tuple(dict.fromkeys(output.model for output in self.outputs.values() if output.model)),
            notes=tuple(notes),
            values={name: output.value for name, output in self.outputs.items() if output.value is not None},
            stages=tuple(self._reports()),
            expert=self._expert_report(),
            citations=dict(sum((Counter(each.citations) for each in self.outputs.values()), Counter())),
            evidence=self._evidence.report(),
            exploring=self._explored,
            is_partial=failure is not None,
        )

    def _kept_output(self, stage: Stage, question: Question) -> StageOutput | None:
        """Return what a stage answered to the same question in an earlier call."""
        step = self._record.ended(stage.name)
        if step is None or step.digest != question.digest:
            return None
        self._kept.add(stage.name)
        return read_output(step)

    async def _ask(self, stage: Stage, question: Question) -> StageOutput:
        step = await self._record.begin(
            Step(stage.name, "request", "begun", question.digest, 0, self._context.call_id, self._clock.utc())
        )
        began = self._clock.monotonic()
        try:
            consultation = await self._consultant.consult(self._inquiry(stage, question), self._context)
        except ToolFault:
            await self._record.put(msgspec.structs.replace(step, state="failed"))
            raise
        if stage is self.definition.asked[0]:
            self._shown = consultation.material
        self._notes += _notes_of(stage, consultation)
        output = await self._output(stage, consultation)
        ended = msgspec.structs.replace(
            step,
            output=written(output),
            model=output.model,
            usd=consultation.cost.usd,
            seconds=round(self._clock.monotonic() - began, 3),
        )
        await self._record.end(ended)
        return output

    async def _output(self, stage: Stage, consultation: Consultation) -> StageOutput:
        completion, structured = consultation.completion, consultation.structured
        if stage.answer == PATCH:
            return await self._patched(stage, completion)
        shown = await self._evidence.shown(stage.view)
        shown += [await shown_file(block) for block in consultation.material.blocks]
        if structured is None or structured.value is None:
            text, citations = checked_prose(completion.text, shown)
            return StageOutput(completion.model, text, citations=citations)
        return StageOutput.of(completion.model, completion.text, structured.value, shown)

    async def _patched(self, stage: Stage, completion: Completion) -> StageOutput:
        patch, said = patch_in(completion.text)
        keeps_code = stage.keeps_code is not None and self._workflow.is_met(stage.keeps_code, self._values())
        checked = await self._evidence.check_patch(patch, keeps_code=keeps_code)
        written = WrittenPatch.of(said, checked, is_cut=completion.finish_reason == "length")
        return StageOutput(completion.model, written.text(), msgspec.to_builtins(written), written.facts())

    def _tell(self, stage: AnyStage) -> None:
        self._context.progress.status(f"{self.definition.name}: {stage.name.replace('_', ' ')}")

    def _inquiry(self, stage: Stage, question: Question) -> Inquiry:
        request = self._request
        model, fallbacks, continuation = request.model, request.fallback_models, None
        lead = self._lead()
        if stage.by != "lead":
            choice = self._router.resolve(AUTO)
            lead = lead or self._router.resolve(request.model or AUTO).model.name
            able = (choice.model, *choice.fallbacks)
            chosen = choose_other(lead, able, self._record_of_families, self._router.is_ready)
            model, fallbacks, self._chosen_by = chosen.model, chosen.fallbacks, chosen.why
            if chosen.why:
                self._notes.append(f"{chosen.model} was chosen of the other families. {chosen.why}")
            if chosen.family == "same":
                self._notes.append(
                    "No model of another family can be asked, so the same one was asked in a new context."
                )
        elif lead is not None:
            model = lead
        if stage.by == "lead" and stage.beside is None and not self.outputs:
            continuation = request.continuation_id
        return Inquiry(
            instructions=self._workflow.system(stage),
            preface=question.preface,
            question=question.text,
            model=model,
            fallback_models=fallbacks,
            file_paths=self._evidence.file_paths,
            numbered_after=self._evidence.count,
            send_secrets=request.send_secrets,
            continuation_id=continuation,
            effort=request.effort if stage.by == "lead" else None,
            temperature=request.temperature if stage.by == "lead" else None,
            max_answer_tokens=_answer_tokens(stage, request),
            tools=self._tools if stage.by == "lead" else (),
            answer_as=None if stage.answer in {None, PATCH} else ANSWERS[stage.answer],
            records=False,
        )

    async def _fitted(self, stage: Stage, question: Question) -> Fitted:
        """Make a stage's request, as its first model would be asked it."""
        prepared = await self._consultant.prepare(self._inquiry(stage, question), self._context)
        return await self._consultant.fit(prepared, self._consultant.choose(prepared).model, self._context)

    async def _beyond_budget(self, stage: Stage, question: Question) -> str | None:
        """Reserve what a request is estimated at, or say that it does not fit into the caller's budget.

        Raises:
            BudgetTooSmall: it does not fit, and nothing was asked yet.
        """
        budget = self._request.budget_usd
        if budget is None:
            return None
        try:
            taken = self._record.usd + self._reserved_usd
            self._reserved_usd += check_budget(await self._fitted(stage, question), budget, taken)
        except BudgetTooSmall:
            if not self.has_answers:
                raise
            return f"The run stopped before its stage {stage.name}, which did not fit into budget_usd {budget:g}."
        return None

    def _is_asked_of_other(self) -> bool:
        decision = decide(self._workflow, self._values(), declined=not self._request.wants_expert)
        self._expert = ExpertReport(decision.asks, decision.why)
        return decision.asks

    def _spent(self, begins: int) -> str | None:
        """Say what of the budget is spent, where something is; so many requests are about to begin."""
        budget = self.definition.budget
        if self._record.requests + begins >= budget.requests:
            return f"The run stopped at its {budget.requests} requests, which its definition sets."
        if self._record.usd >= budget.usd:
            return f"The run stopped at its {budget.usd:g} dollars, which its definition sets."
        return None

    def _lead(self) -> str | None:
        """Return the model that answered first of the run's own, if one did."""
        names = [stage.name for stage in self.definition.asked if stage.by == "lead"]
        if self._explored is not None and self._explored.model is not None:
            return self._explored.model
        return next((self.outputs[name].model for name in names if name in self.outputs), None)

    def _texts(self) -> dict[str, str]:
        """Return what may stand in a section: inputs, and what the stages gathered and answered."""
        answers = {name: output.text for name, output in self.outputs.items()}
        asked = {self.definition.question: self._request.question, **self._request.inputs}
        return {**asked, **self._evidence.texts(), **answers}

    def _values(self) -> dict[str, object]:
        """Return what conditions may ask for."""
        facts: dict[str, object] = {"depth": self._request.depth, **self._evidence.facts}
        for output in self.outputs.values():
            facts |= output.facts
        return {**self._texts(), **facts}

    def _answer(self) -> str:
        """Write the result, and below it the stages that have a heading."""
        shown = self.outputs.get(self.definition.result)
        others = {stage.name for stage in self.definition.asked if stage.by == "other"}
        result = self.definition.result
        if shown is None:
            answers = [(name, output) for name, output in self.outputs.items() if output.model]
            result, shown = [(name, output) for name, output in answers if name not in others][-1]
        parts = [shown.text]
        for stage in self.definition.asked:
            output = self.outputs.get(stage.name)
            if stage.heading and output is not None and stage.name != result:
                parts.append(f"## {stage.heading} ({output.model})\n\n{output.text}")
        return "\n\n".join(parts)

    def _reports(self) -> Iterator[StageReport]:
        for name, is_kept in self._exploring.steps.items():
            step = self._record.steps[name]
            yield StageReport(name, step.model, step.asked, step.usd, step.seconds, is_kept)
        for name, output in self.outputs.items():
            if not output.model:
                continue
            step = self._record.steps[name]
            yield StageReport(name, step.model, step.asked, step.usd, step.seconds, name in self._kept)

    def _expert_report(self) -> ExpertReport | None:
        if self._expert is None:
            return None
        asked = [stage.name for stage in self.definition.asked if stage.by == "other"]
        steps = [self._record.steps[name] for name in asked if name in self.outputs]
        if not steps:
            return msgspec.structs.replace(self._expert, ran=False)
        step, lead = steps[0], self._lead()
        return msgspec.structs.replace(
            self._expert,
            ran=True,
            model=step.model,
            chosen_by=self._chosen_by,
            family="same" if family_of(step.model or "") == family_of(lead or "") else "other",
            seconds=step.seconds,
            cost_usd=step.usd,
        )


def _answer_tokens(stage: Stage, request: WorkflowRequest) -> int | None:
    """Return how long an answer may be: what the caller says of texts, and what a price reckons with."""
    if stage.answer is None and request.max_answer_tokens is not None:
        return request.max_answer_tokens
    return None if request.budget_usd is None else ANSWER_TOKENS


def _notes_of(stage: Stage, consultation: Consultation) -> Iterator[str]:
    """Return what is not as usual of an answer; of another family's, whose it is."""
    of = "" if stage.by == "lead" else f"{consultation.completion.model}, in the stage {stage.name}: "
    return (f"{of}{note}" for note in consultation.notes)
