"""From a tool's inquiry to a recorded answer, the same for every tool that asks a model.

    conversation opened → files and pictures read → model chosen
        → for each model that may answer: fitted to its window → asked, with tools that read what it was not shown
        → estimate corrected → exchange recorded → answer

The exchange is committed before the answer leaves, so a handle that a caller holds always leads to everything it
was answered. Where the database takes no exchange, the answer says so: it is paid for, so it is given. A call that
fails records nothing, and may be made again.
"""

from collections.abc import Sequence

import msgspec

from exai import config
from exai.consulting.consultation import Consultation
from exai.consulting.context import CallContext
from exai.consulting.files.gathering import FileSources
from exai.consulting.files.reading_tools import ReadingTools
from exai.consulting.inquiry import Inquiry
from exai.consulting.material import Material, ShownMaterial, gather
from exai.consulting.model_choice import choose_model
from exai.consulting.recording import Recording, record
from exai.consulting.structured import Ask, Structured, ask_for, schema_of, thoughts_alone
from exai.consulting.web_search import WebSearch
from exai.consulting.window import Fit, Question, Window, tokens_beside
from exai.conversations.conversations import Conversation, Conversations
from exai.conversations.estimates import estimate_tokens
from exai.conversations.token_counts import TokenCounts
from exai.costs import Usage
from exai.messages import Message, Role
from exai.providers.base import Completion, OnDelta, Prompt
from exai.providers.catalog import Model, SearchWay
from exai.routing.asker import ModelAsker
from exai.routing.ledger import Stage
from exai.routing.router import Choice, ModelRouter
from exai.routing.tool_loop import ToolLoop, TypedTool
from exai.runtime.clock import Clock

__all__ = ["Consultant"]


class Answered(msgspec.Struct, frozen=True):
    """What one model answered to its own prompt."""

    prompt: Prompt
    fit: Fit
    shown: ShownMaterial
    completion: Completion
    structured: Structured[msgspec.Struct] | None = None


class Consultant:
    """Asks models on behalf of tools. One serves every tool and every call."""

    def __init__(
        self,
        *,
        router: ModelRouter,
        conversations: Conversations,
        files: FileSources,
        limits: config.Conversations,
        tool_limits: config.ToolLoop,
        counts: TokenCounts,
        clock: Clock,
    ) -> None:
        self._router = router
        self._conversations = conversations
        self._files = files
        self._limits = limits
        self._tool_limits = tool_limits
        self._counts = counts
        self._clock = clock
        self._window = Window(conversations, counts, limits)

    async def consult(self, inquiry: Inquiry, context: CallContext) -> Consultation:
        """Have one question answered, and record the exchange.

        Raises:
            ToolFault: one of its subclasses; nothing was recorded.
        """
        with context.stage(Stage.STORE):
            conversation = await self._conversations.open(context.caller, inquiry.continuation_id)
        material = await gather(inquiry, self._files, context)
        choice = await self._choose(inquiry, conversation, material, context)
        asker = context.ask.branch()

        async def answer_of(model: Model, ask: ModelAsker) -> Answered:
            turn = context.asking_through(ask)
            prompt, fit, shown = await self._fit(inquiry, conversation, material, model, turn)
            return await self._ask(inquiry, prompt, fit, shown, turn)

        answered, choice = await asker.along(choice, answer_of)
        shown, completion = answered.shown, answered.completion
        if not inquiry.web_search and not shown.excerpts and inquiry.answer_as is None:
            self._learn(answered.prompt.model, shown, answered.fit, completion)
        left_s = context.ask.terms.deadline - self._clock.monotonic()
        recording = await record(self._conversations, conversation, shown, completion, context, left_s=left_s)
        bill = asker.ledger.bill
        return Consultation(
            inquiry=inquiry,
            material=shown,
            choice=choice,
            fit=answered.fit,
            prompt=answered.prompt,
            completion=completion,
            structured=answered.structured,
            recording=recording,
            exchanges_remaining=self._remaining(recording),
            tried=asker.ledger.tried,
            usage=bill.usage or Usage(),
            cost=bill.cost,
        )

    async def _choose(
        self, inquiry: Inquiry, conversation: Conversation, material: Material, context: CallContext
    ) -> Choice:
        """Choose the model, and have read what depends on it."""
        kinds = tuple(item.attachment.kind for item in material.attached)
        choice = choose_model(
            self._router, inquiry, conversation, has_images=bool(material.images), kinds=kinds
        )
        await self._files.read_unread(
            material.gathered,
            context.caller,
            context.hold,
            choice.model,
            deadline=context.ask.terms.deadline,
            send_secrets=inquiry.send_secrets,
        )
        return choice

    async def _fit(
        self,
        inquiry: Inquiry,
        conversation: Conversation,
        material: Material,
        model: Model,
        context: CallContext,
    ) -> tuple[Prompt, Fit, ShownMaterial]:
        """Make the prompt for one model: files as far as they fit, then as much of the history.

        Raises:
            ContextOverflow: the question leaves no room for an answer.
        """
        instruction_tokens = estimate_tokens(inquiry.instructions) + _schema_tokens(inquiry)
        room = 0.0
        if material.gathered.texts:
            room = await self._window.room(
                model,
                inquiry.question,
                instruction_tokens,
                tokens_beside(len(material.images), len(material.attached)),
                inquiry.max_answer_tokens,
            )
        shown = await material.shown(room, can_read=model.calls_tools)

        def prompt_with(history: tuple[Message, ...]) -> Prompt:
            return _prompt(inquiry, conversation, shown, model, history)

        question = Question(
            text=shown.question,
            shown_tokens=tokens_beside(len(shown.images), len(shown.attached)),
            instruction_tokens=instruction_tokens,
            max_answer_tokens=inquiry.max_answer_tokens,
            prompt_with=prompt_with,
        )
        fit = await self._window.fit(model, conversation, question, context)
        return prompt_with(fit.recalled.messages), fit, shown

    async def _ask(
        self, inquiry: Inquiry, prompt: Prompt, fit: Fit, shown: ShownMaterial, context: CallContext
    ) -> Answered:
        on_delta = context.progress.deltas_of(prompt.model.name)
        ask = self._asker(inquiry, prompt, fit, shown, context)
        if inquiry.answer_as is None:
            return Answered(prompt, fit, shown, await ask(prompt, on_delta))
        structured = await ask_for(inquiry.answer_as, prompt, ask, thoughts_alone(on_delta))
        return Answered(prompt, fit, shown, structured.completion, structured)

    def _asker(
        self, inquiry: Inquiry, prompt: Prompt, fit: Fit, shown: ShownMaterial, context: CallContext
    ) -> Ask:
        """Return what asks the model, with the tools that it may call on the way."""
        limits = inquiry.tool_limits or self._tool_limits
        reading: Sequence[TypedTool] = ()
        if shown.can_read and shown.excerpts:
            left = self._window.left(prompt.model, fit, inquiry.max_answer_tokens)
            reading = ReadingTools(shown.excerpts, left, context.progress).tools
        if inquiry.web_search:
            return WebSearch(self._router, prompt.model, context, limits, self._clock, further=reading).answer
        if not reading:
            return context.ask
        loop = ToolLoop(reading, limits, self._clock)

        async def ask(prompt: Prompt, on_delta: OnDelta | None) -> Completion:
            declared = msgspec.structs.replace(prompt, tools=loop.specs)
            return await loop.run(context.ask, declared, on_delta)

        return ask

    def _learn(self, model: Model, material: ShownMaterial, fit: Fit, completion: Completion) -> None:
        """Compare the estimate with the provider's count, where both are of the same text alone."""
        reported = completion.usage.input
        if reported is None or material.images or material.attached or completion.model != model.name:
            return
        self._counts.learn(model.name, estimated=fit.by_script, reported=reported - model.template_tokens)

    def _remaining(self, recording: Recording) -> int:
        return 0 if recording.conversation_id is None else self._limits.max_exchanges - recording.exchanges


def _schema_tokens(inquiry: Inquiry) -> int:
    """Estimate what the schema of the answer takes of the prompt."""
    if inquiry.answer_as is None:
        return 0
    return estimate_tokens(msgspec.json.encode(schema_of(inquiry.answer_as).schema).decode())


def _prompt(
    inquiry: Inquiry,
    conversation: Conversation,
    material: ShownMaterial,
    model: Model,
    history: tuple[Message, ...],
) -> Prompt:
    return Prompt(
        model=model,
        messages=(
            Message(Role.SYSTEM, inquiry.instructions),
            *history,
            Message(
                Role.USER,
                material.question,
                images=material.images,
                attachments=tuple(item.attachment for item in material.attached),
            ),
        ),
        effort=inquiry.effort,
        temperature=inquiry.temperature,
        max_output_tokens=inquiry.max_answer_tokens,
        web_search=inquiry.web_search and model.web_search is not SearchWay.TOOL,
        conversation_key=conversation.id,
    )
