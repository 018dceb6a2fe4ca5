"""The stages of a run: which of them it has, whom each asks, and what is made of their answers."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from exai.callers import Caller
from exai.consulting.consultant import Consultant
from exai.consulting.consultation import Consultation
from exai.consulting.context import CallContext
from exai.consulting.files.blocks import Block
from exai.consulting.inquiry import Inquiry
from exai.conversations.conversations import Conversations
from exai.errors import ConversationFull, StoreFailed, ToolFault, UnknownConversation
from exai.evidence.workspace import Workspaces
from exai.routing.router import AUTO, ModelRouter
from exai.runtime.clock import Clock
from exai.storage.workflows.runs import Step
from exai.workflows.answers import ANSWERS
from exai.workflows.citations import ShownFile, shown_lines
from exai.workflows.definitions import CollectStage, Definition, Stage, Workflow
from exai.workflows.experts import choose_other, decide, family_of
from exai.workflows.gathering.collecting import EvidenceWork
from exai.workflows.outcomes import ExpertReport, Outcome, StageReport
from exai.workflows.request import WorkflowRequest
from exai.workflows.run_record import RunRecord
from exai.workflows.stage_output import StageOutput, digest_of, read_output, written

__all__ = ["Stages"]

RECORD = "record"
"""The step that puts the exchange into its conversation."""


class Stages:
    """Works through the stages of runs."""

    def __init__(
        self,
        consultant: Consultant,
        conversations: Conversations,
        workspaces: Workspaces,
        router: ModelRouter,
        clock: Clock,
    ) -> None:
        self._consultant = consultant
        self._conversations = conversations
        self._workspaces = workspaces
        self._router = router
        self._clock = clock

    async def open(self, caller: Caller, continuation_id: str | None) -> str:
        """Return the id of the conversation that a new run belongs to.

        Raises:
            UnknownConversation: no such conversation of this caller.
            ConversationFull: it has no exchange left.
        """
        return (await self._conversations.open(caller, continuation_id)).id

    async def knows(self, caller: Caller, conversation_id: str) -> bool:
        """Whether the caller has such a conversation."""
        return (await self._conversations.reopen(caller, conversation_id)).exchanges > 0

    async def run(
        self, workflow: Workflow, request: WorkflowRequest, record: RunRecord, context: CallContext
    ) -> Outcome:
        """Ask what has not been answered yet, and keep what comes of it.

        Raises:
            ToolFault: a request failed, and nothing is there to be answered with.
        """
        evidence = EvidenceWork(self._workspaces, self._clock, workflow, request, record, context)
        work = StageWork(
            self._consultant, self._router, self._clock, workflow, request, record, evidence, context
        )
        failure = None
        try:
            await work.ask_all()
        except ToolFault as fault:
            failure = fault
            if not work.outputs:
                raise
        outcome = work.outcome(failure)
        if failure is None:
            outcome = await self._recorded(request, record, outcome, context)
        await record.finish(msgspec.json.encode(outcome).decode(), is_partial=failure is not None)
        return outcome

    async def _recorded(
        self, request: WorkflowRequest, record: RunRecord, outcome: Outcome, context: CallContext
    ) -> Outcome:
        """Put question and answer into the conversation, once however often the run is begun."""
        digest = digest_of(outcome.answer)
        before = record.steps.get(RECORD)
        conversation_id, caller = record.run.conversation_id, context.caller
        if before is not None and await self._conversations.has(caller, conversation_id, before.call_id):
            return outcome
        step = Step(RECORD, "record", "begun", digest, 0, context.call_id, self._clock.utc())
        step = await record.begin(step)
        try:
            await self._conversations.record(
                await self._conversations.reopen(caller, conversation_id),
                caller=caller,
                question=request.question,
                answer=outcome.answer,
                reasoning=None,
                model=outcome.models[-1],
                call_id=context.call_id,
            )
        except (ConversationFull, UnknownConversation, StoreFailed) as fault:
            note = f"This exchange was not kept in its conversation: {fault}"
            return msgspec.structs.replace(outcome, notes=(*outcome.notes, note))
        await record.end(step)
        return outcome


class StageWork:
    """One call's work at the stages of one run."""

    def __init__(
        self,
        consultant: Consultant,
        router: ModelRouter,
        clock: Clock,
        workflow: Workflow,
        request: WorkflowRequest,
        record: RunRecord,
        evidence: EvidenceWork,
        context: CallContext,
    ) -> None:
        self._consultant = consultant
        self._router = router
        self._clock = clock
        self._workflow = workflow
        self._request = request
        self._record = record
        self._evidence = evidence
        self._context = context
        self._kept: set[str] = set()
        self._notes: list[str] = []
        self._expert: ExpertReport | None = None
        self.outputs: dict[str, StageOutput] = {}
        """What the stages answered, in turn."""

    @property
    def definition(self) -> Definition:
        return self._workflow.definition

    async def ask_all(self) -> None:
        """Ask each stage that the run has and that has not ended.

        Raises:
            ToolFault: one of them failed.
        """
        for stage in self.definition.stage:
            if stage.when is not None and not self._workflow.is_met(stage.when, self._values()):
                continue
            if isinstance(stage, CollectStage):
                self._tell(stage)
                await self._evidence.collect(stage)
                continue
            if stage.by == "other" and not self._is_asked_of_other():
                continue
            question = self._workflow.question(stage, self._texts())
            if (output := self._kept_output(stage, question)) is not None:
                self.outputs[stage.name] = output
                continue
            if (spent := self._spent()) is not None:
                self._notes.append(spent)
                return
            self._tell(stage)
            self.outputs[stage.name] = await self._ask(stage, question)

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
            models=tuple(dict.fromkeys(output.model for output in self.outputs.values())),
            notes=tuple(notes),
            values={name: output.value for name, output in self.outputs.items() if output.value is not None},
            stages=tuple(self._reports()),
            expert=self._expert_report(),
            citations=dict(sum((Counter(each.citations) for each in self.outputs.values()), Counter())),
            evidence=self._evidence.report(),
            is_partial=failure is not None,
        )

    def _kept_output(self, stage: Stage, question: str) -> StageOutput | None:
        """Return what a stage answered to the same question in an earlier call."""
        step = self._record.ended(stage.name)
        if step is None or step.digest != digest_of(question):
            return None
        self._kept.add(stage.name)
        return read_output(step)

    async def _ask(self, stage: Stage, question: str) -> StageOutput:
        digest = digest_of(question)
        step = await self._record.begin(
            Step(stage.name, "request", "begun", digest, 0, self._context.call_id, self._clock.utc())
        )
        began = self._clock.monotonic()
        try:
            consultation = await self._consultant.consult(self._inquiry(stage, question), self._context)
        except ToolFault:
            await self._record.put(msgspec.structs.replace(step, state="failed"))
            raise
        self._notes += consultation.notes
        output = await self._output(consultation)
        ended = msgspec.structs.replace(
            step,
            output=written(output),
            model=output.model,
            usd=consultation.cost.usd,
            seconds=round(self._clock.monotonic() - began, 3),
        )
        await self._record.end(ended)
        return output

    async def _output(self, consultation: Consultation) -> StageOutput:
        completion, structured = consultation.completion, consultation.structured
        if structured is None or structured.value is None:
            return StageOutput(completion.model, completion.text)
        shown = await self._evidence.shown()
        shown += [await _shown(block) for block in consultation.material.blocks]
        return StageOutput.of(completion.model, completion.text, structured.value, shown)

    def _tell(self, stage: Stage | CollectStage) -> None:
        self._context.progress.status(f"{self.definition.name}: {stage.name.replace('_', ' ')}")

    def _inquiry(self, stage: Stage, question: str) -> Inquiry:
        request = self._request
        model, fallbacks, continuation = request.model, request.fallback_models, None
        lead = self._lead()
        if stage.by == "other":
            choice = self._router.resolve(AUTO)
            chosen = choose_other(lead or choice.model.name, (choice.model, *choice.fallbacks))
            model, fallbacks = chosen.model, chosen.fallbacks
            if chosen.family == "same":
                self._notes.append(
                    "No model of another family can be asked, so the same one was asked in a new context."
                )
        elif lead is not None:
            model = lead
        else:
            continuation = request.continuation_id
        return Inquiry(
            instructions=self._workflow.system(stage),
            question=question,
            model=model,
            fallback_models=fallbacks,
            file_paths=self._evidence.file_paths,
            numbered_after=self._evidence.count,
            send_secrets=request.send_secrets,
            continuation_id=continuation,
            answer_as=None if stage.answer is None else ANSWERS[stage.answer],
            records=False,
        )

    def _is_asked_of_other(self) -> bool:
        decision = decide(self._workflow, self._values(), declined=not self._request.wants_expert)
        self._expert = ExpertReport(decision.asks, decision.why)
        return decision.asks

    def _spent(self) -> str | None:
        """Say what of the budget is spent, where something is."""
        budget = self.definition.budget
        if self._record.requests >= budget.requests:
            return f"The run stopped at its {budget.requests} requests, which its definition sets."
        if self._record.usd >= budget.usd:
            return f"The run stopped at its {budget.usd:g} dollars, which its definition sets."
        return None

    def _lead(self) -> str | None:
        """Return the model that answered first, if one did."""
        return next((output.model for output in self.outputs.values()), None)

    def _texts(self) -> dict[str, str]:
        """Return what may stand in a section: inputs, and what the stages gathered and answered."""
        answers = {name: output.text for name, output in self.outputs.items()}
        asked = {self.definition.question: self._request.question, **self._request.inputs}
        return {**asked, **self._evidence.texts(), **answers}

    def _values(self) -> dict[str, object]:
        """Return what conditions may ask for."""
        facts: dict[str, object] = {"depth": self._request.depth}
        for output in self.outputs.values():
            facts |= output.facts
        return {**self._texts(), **facts}

    def _answer(self) -> str:
        """Write the result, and below it the stages that have a heading."""
        shown = self.outputs.get(self.definition.result)
        lead = {stage.name for stage in self.definition.asked if stage.by == "lead"}
        result = self.definition.result
        if shown is None:
            result, shown = [(name, output) for name, output in self.outputs.items() if name in lead][-1]
        parts = [shown.text]
        for stage in self.definition.asked:
            output = self.outputs.get(stage.name)
            if stage.heading and output is not None and stage.name != result:
                parts.append(f"## {stage.heading} ({output.model})\n\n{output.text}")
        return "\n\n".join(parts)

    def _reports(self) -> Iterator[StageReport]:
        for name in self.outputs:
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
            family="same" if family_of(step.model or "") == family_of(lead or "") else "other",
            seconds=step.seconds,
            cost_usd=step.usd,
        )


async def _shown(block: Block) -> ShownFile:
    """Return what a model was shown of a file, or could read by tools."""
    item = block.item
    lines = shown_lines(block.text)
    if not block.is_whole:
        lines, at = [], item.first
        while at <= item.last and (read := await item.source.lines(at, item.last)):
            lines += enumerate(read, at)
            at += len(read)
    return ShownFile([item.id], item.name, lines)
