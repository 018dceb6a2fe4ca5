"""Works through the stages of runs, and puts what comes of it into conversations."""

from typing import TypeVar

import msgspec

from exai.callers import Caller
from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.conversations.conversations import Conversations
from exai.errors import ConversationFull, StoreFailed, ToolFault, UnknownConversation
from exai.routing.router import ModelRouter
from exai.storage.workflows.runs import Step
from exai.workflows.definitions import Workflow
from exai.workflows.gathering.collecting import EvidenceWork
from exai.workflows.outcomes import Outcome, Previewed
from exai.workflows.request import WorkflowRequest
from exai.workflows.run_record import RunRecord
from exai.workflows.stage_output import digest_of
from exai.workflows.stages.previewing import PreviewWork
from exai.workflows.stages.stage_work import StageWork
from exai.workflows.treatments.treated import Ports

__all__ = ["Stages"]

Work = TypeVar("Work", bound=StageWork)

RECORD = "record"
"""The step that puts the exchange into its conversation."""


class Stages:
    """Works through the stages of runs."""

    def __init__(
        self,
        consultant: Consultant,
        conversations: Conversations,
        router: ModelRouter,
        ports: Ports,
    ) -> None:
        self._consultant = consultant
        self._conversations = conversations
        self._router = router
        self._ports = ports
        self._clock = ports.clock

    async def open(self, caller: Caller, continuation_id: str | None, *, fork: bool = False) -> str:
        """Return the id of the conversation that a new run belongs to; with `fork`, of a copy that is to be made.

        Raises:
            UnknownConversation: no such conversation of this caller.
            ConversationFull: it has no exchange left.
        """
        return (await self._conversations.open(caller, continuation_id, fork=fork)).id

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
        work = self._work(workflow, request, record, context, StageWork)
        failure = None
        try:
            await work.ask_all()
        except ToolFault as fault:
            failure = fault
            if not work.has_answers:
                raise
        outcome = work.outcome(failure)
        if failure is None and work.has_answers:
            outcome = await self._recorded(work, record, outcome, context)
        await record.finish(msgspec.json.encode(outcome).decode(), is_partial=failure is not None)
        return outcome

    async def preview(
        self, workflow: Workflow, request: WorkflowRequest, record: RunRecord, context: CallContext
    ) -> Previewed:
        """Return what a run would ask; evidence is gathered, and nothing is asked.

        Raises:
            ToolFault: it could not be asked.
        """
        return await self._work(workflow, request, record, context, PreviewWork).preview()

    def _work(
        self,
        workflow: Workflow,
        request: WorkflowRequest,
        record: RunRecord,
        context: CallContext,
        kind: type[Work],
    ) -> Work:
        evidence = EvidenceWork(self._ports.workspaces, self._clock, workflow, request, record, context)
        return kind(self._consultant, self._router, self._ports, workflow, request, record, evidence, context)

    async def _recorded(
        self, work: StageWork, record: RunRecord, outcome: Outcome, context: CallContext
    ) -> Outcome:
        """Put question and answer into the conversation, once however often the run is begun."""
        digest = digest_of(outcome.answer)
        before = record.steps.get(RECORD)
        conversation_id, caller = record.run.conversation_id, context.caller
        if before is not None and await self._conversations.has(caller, conversation_id, before.call_id):
            return outcome
        question = await work.shown_question()
        step = Step(RECORD, "record", "begun", digest, 0, context.call_id, self._clock.utc())
        step = await record.begin(step)
        try:
            await self._conversations.record(
                await self._conversations.reopen(caller, conversation_id, copy_of=work.copied),
                caller=caller,
                question=question,
                answer=outcome.answer,
                reasoning=None,
                model=outcome.models[0],
                call_id=context.call_id,
            )
        except (ConversationFull, UnknownConversation, StoreFailed) as fault:
            note = f"This exchange was not kept in its conversation: {fault}"
            return msgspec.structs.replace(outcome, notes=(*outcome.notes, note))
        await record.end(step)
        return outcome
