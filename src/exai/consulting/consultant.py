"""From a tool's inquiry to a recorded answer, the same for every tool that asks a model.

    conversation opened → files and pictures read → model chosen
        → for each model that may answer: fitted to its window → asked, with tools that read what it was not shown
        → estimate corrected → exchange recorded → answer

The exchange is committed before the answer leaves, so a handle that a caller holds always leads to everything it
was answered. Where the database takes no exchange, the answer says so: it is paid for, so it is given. A call that
fails records nothing, and may be made again.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache

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
from exai.conversations.conversations import Conversation, Conversations, new_conversation
from exai.conversations.estimates import estimate_tokens
from exai.conversations.token_counts import TokenCounts
from exai.costs import Cost, Usage
from exai.messages import Message, Role
from exai.providers.base import Completion, OnDelta, Prompt
from exai.providers.catalog import Model, SearchWay
from exai.routing.asker import ModelAsker
from exai.routing.ledger import Stage
from exai.routing.router import Choice, ModelRouter
from exai.routing.tool_loop import ToolLoop, TypedTool
from exai.runtime.clock import Clock

__all__ = ["Answered", "Consultant", "Fitted", "Prepared", "Turn"]


class Prepared(msgspec.Struct, frozen=True):
    """An inquiry with what was read for it; the same for every model that is asked."""

    inquiry: Inquiry
    conversation: Conversation
    material: Material

    def varied(
        self, *, question: str, instructions: str | None = None, answer_as: type[msgspec.Struct] | None = None
    ) -> "Prepared":
        """Return another question about the same material."""
        inquiry = msgspec.structs.replace(
            self.inquiry,
            question=question,
            instructions=self.inquiry.instructions if instructions is None else instructions,
            answer_as=self.inquiry.answer_as if answer_as is None else answer_as,
        )
        return Prepared(inquiry, self.conversation, replace(self.material, question=question))


class Fitted(msgspec.Struct, frozen=True):
    """An inquiry as one model would be asked it."""

    prepared: Prepared
    prompt: Prompt
    fit: Fit
    shown: ShownMaterial

    def estimate(self, answer_tokens: int) -> Cost:
        """Estimate what it costs with an answer of so many tokens, thinking included."""
        return self.prompt.model.cost(Usage(input=self.fit.tokens, output=answer_tokens))


class Answered(msgspec.Struct, frozen=True):
    """What one model answered to its own prompt."""

    fitted: Fitted
    completion: Completion
    structured: Structured[msgspec.Struct] | None = None


class Turn(msgspec.Struct, frozen=True):
    """What one model said in a conversation of messages, and what that cost."""

    completion: Completion
    cost: Cost


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
        self.router = router
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
        prepared = await self.prepare(inquiry, context)
        choice = await self._choose_shown(prepared, context)
        asker = context.ask.branch()

        async def answer_of(model: Model, ask: ModelAsker) -> Answered:
            turn = context.asking_through(ask)
            return await self.ask(await self.fit(prepared, model, turn), turn)

        answered, choice = await asker.along(choice, answer_of)
        fitted, completion = answered.fitted, answered.completion
        if not inquiry.web_search and not fitted.shown.excerpts and inquiry.answer_as is None:
            self._learn(fitted, completion)
        recording = await self.record(fitted, completion, context)
        bill = asker.ledger.bill
        return Consultation(
            inquiry=inquiry,
            material=fitted.shown,
            choice=choice,
            fit=fitted.fit,
            prompt=fitted.prompt,
            completion=completion,
            structured=answered.structured,
            recording=recording,
            exchanges_remaining=self.remaining(recording),
            tried=asker.ledger.tried,
            usage=bill.usage or Usage(),
            cost=bill.cost,
        )

    async def turn(self, prepared: Prepared, further: Sequence[Message], context: CallContext) -> Turn:
        """Have a model answer, or call what the inquiry declares, behind messages that followed the question.

        Raises:
            ToolFault: one of its subclasses.
        """
        choice = await self._choose_shown(prepared, context)
        able = tuple(model for model in choice.fallbacks if model.calls_tools)
        asker = context.ask.branch()

        async def answer_of(model: Model, ask: ModelAsker) -> Completion:
            fitted = await self.fit(prepared, model, context.asking_through(ask))
            messages = (*fitted.prompt.messages, *further)
            on_delta = thoughts_alone(context.progress.deltas_of(model.name))
            return await ask(msgspec.structs.replace(fitted.prompt, messages=messages), on_delta)

        completion, _ = await asker.along(msgspec.structs.replace(choice, fallbacks=able), answer_of)
        return Turn(completion, asker.ledger.bill.cost)

    async def _choose_shown(self, prepared: Prepared, context: CallContext) -> Choice:
        """Choose who is asked, and have read what depends on that."""
        choice, gathered = self.choose(prepared), prepared.material.gathered
        if gathered.unread:
            await self.read_unread(prepared, choice.model, context)
        if gathered.attached:
            choice = _shown_the_same(choice, prepared.material)
        return choice

    async def prepare(self, inquiry: Inquiry, context: CallContext) -> Prepared:
        """Open the inquiry's conversation, and read its files and pictures.

        Raises:
            ToolFault: one of its subclasses.
        """
        if inquiry.continuation_id is None:
            conversation = new_conversation()
        else:
            with context.stage(Stage.STORE):
                conversation = await self._conversations.open(
                    context.caller, inquiry.continuation_id, fork=inquiry.fork
                )
        return Prepared(inquiry, conversation, await gather(inquiry, self._files, context))

    def choose(self, prepared: Prepared) -> Choice:
        """Choose the model, and who may take over.

        Raises:
            ToolFault: no model that was asked for can answer.
        """
        gathered = prepared.material.gathered
        attached = gathered.attached
        return choose_model(
            self.router,
            prepared.inquiry,
            prepared.conversation,
            has_images=bool(gathered.images),
            kinds=tuple([item.attachment.kind for item in attached]) if attached else (),
        )

    async def read_unread(self, prepared: Prepared, model: Model, context: CallContext) -> None:
        """Have documents read whose reading depends on the model that will be asked.

        Raises:
            ToolFault: one of them cannot be read.
        """
        gathered = prepared.material.gathered
        if not gathered.unread:
            return
        await self._files.read_unread(
            gathered,
            context.caller,
            context.hold,
            model,
            deadline=context.ask.terms.deadline,
            send_secrets=prepared.inquiry.send_secrets,
        )

    async def read_for(self, prepared: Prepared, model: Model, context: CallContext) -> Prepared:
        """Return the inquiry with its documents as one of several models is shown them.

        Raises:
            ToolFault: that model cannot be shown one of them.
        """
        if not prepared.material.gathered.unread:
            return prepared
        material = replace(prepared.material, gathered=prepared.material.gathered.copy())
        own = Prepared(prepared.inquiry, prepared.conversation, material)
        await self.read_unread(own, model, context)
        return own

    async def fit(self, prepared: Prepared, model: Model, context: CallContext) -> Fitted:
        """Make the prompt for one model: files as far as they fit, then as much of the history.

        Raises:
            ContextOverflow: the question leaves no room for an answer.
        """
        inquiry, material = prepared.inquiry, prepared.material
        instruction_tokens = _instruction_tokens(inquiry.instructions)
        if inquiry.answer_as is not None:
            instruction_tokens += _schema_tokens(inquiry.answer_as)
        room = 0.0
        if material.gathered.texts:
            room = await self._window.room(
                model,
                inquiry.preface + inquiry.question,
                instruction_tokens,
                tokens_beside(len(material.images), len(material.attached)),
                inquiry.max_answer_tokens,
            )
        shown = await material.shown(room, can_read=model.calls_tools and not inquiry.tools)

        def prompt_with(history: tuple[Message, ...]) -> Prompt:
            return _prompt(inquiry, prepared.conversation, shown, model, history)

        question = Question(
            text=inquiry.preface + shown.question,
            shown_tokens=tokens_beside(len(shown.images), len(shown.attached)),
            instruction_tokens=instruction_tokens,
            max_answer_tokens=inquiry.max_answer_tokens,
            prompt_with=prompt_with,
        )
        fit = await self._window.fit(model, prepared.conversation, question, context)
        return Fitted(prepared, prompt_with(fit.recalled.messages), fit, shown)

    async def ask(self, fitted: Fitted, context: CallContext, *, quietly: bool = False) -> Answered:
        """Have one model answer, with the tools that it may call on the way; `quietly`: without progress of it.

        Raises:
            ToolFault: one of its subclasses.
        """
        prompt, kind = fitted.prompt, fitted.prepared.inquiry.answer_as
        on_delta = None if quietly else context.progress.deltas_of(prompt.model.name)
        ask = self._asker(fitted, context)
        if kind is None:
            return Answered(fitted, await ask(prompt, on_delta))
        structured = await ask_for(kind, prompt, ask, thoughts_alone(on_delta))
        return Answered(fitted, structured.completion, structured)

    async def record(self, fitted: Fitted, completion: Completion, context: CallContext) -> Recording:
        """Commit the exchange, or say why it is not kept; a part of a longer work is none."""
        if not fitted.prepared.inquiry.records:
            return Recording(None, fitted.prepared.conversation.exchanges)
        return await record(
            self._conversations,
            fitted.prepared.conversation,
            fitted.shown,
            completion,
            context,
            left_s=self.left_s(context),
        )

    def left_s(self, context: CallContext) -> float:
        """Return the seconds that are left of a call."""
        return context.ask.terms.deadline - self._clock.monotonic()

    def remaining(self, recording: Recording) -> int:
        """Return how many exchanges a conversation may still have."""
        return 0 if recording.conversation_id is None else self._limits.max_exchanges - recording.exchanges

    async def request_of(self, fitted: Fitted, context: CallContext) -> bytes:
        """Return the body of the request that `ask` would begin with; nothing is sent.

        Raises:
            AbilityMissing: the model cannot do what the prompt needs.
        """
        tools, kind = self._tools(fitted, context), fitted.prepared.inquiry.answer_as
        prompt = msgspec.structs.replace(
            fitted.prompt,
            tools=() if tools is None else tools.specs,
            answer_schema=None if kind is None else schema_of(kind),
        )
        return await self.router.providers[prompt.model.provider].request_of(prompt)

    def _asker(self, fitted: Fitted, context: CallContext) -> Ask:
        """Return what asks the model, with the tools that it may call on the way."""
        tools = self._tools(fitted, context)
        if tools is None:
            return context.ask
        if isinstance(tools, WebSearch):
            return tools.answer
        loop = tools

        async def ask(prompt: Prompt, on_delta: OnDelta | None) -> Completion:
            declared = msgspec.structs.replace(prompt, tools=loop.specs)
            return await loop.run(context.ask, declared, on_delta)

        return ask

    def _tools(self, fitted: Fitted, context: CallContext) -> WebSearch | ToolLoop | None:
        """Return the tools that the model may call; `None`: there are none."""
        inquiry, model, shown = fitted.prepared.inquiry, fitted.prompt.model, fitted.shown
        limits = inquiry.tool_limits or self._tool_limits
        if inquiry.tools and model.calls_tools:
            once = limits.model_copy(update={"max_rounds": 1})
            return ToolLoop((), once, self._clock, declared=inquiry.tools)
        reading: Sequence[TypedTool] = ()
        if shown.can_read and shown.excerpts:
            left = self._window.left(model, fitted.fit, inquiry.max_answer_tokens)
            reading = ReadingTools(shown.excerpts, left, context.progress).tools
        if inquiry.web_search:
            return WebSearch(self.router, model, context, limits, self._clock, further=reading)
        return ToolLoop(reading, limits, self._clock) if reading else None

    def _learn(self, fitted: Fitted, completion: Completion) -> None:
        """Compare the estimate with the provider's count, where both are of the same text alone."""
        reported, model = completion.usage.input, fitted.prompt.model
        if reported is None or fitted.shown.images or fitted.shown.attached or completion.model != model.name:
            return
        self._counts.learn(
            model.name, estimated=fitted.fit.by_script, reported=reported - model.template_tokens
        )


def _shown_the_same(choice: Choice, material: Material) -> Choice:
    """Leave out who may take over and is not shown the attached files."""
    kinds = [item.attachment.kind for item in material.attached]
    able = (model for model in choice.fallbacks if all(map(model.part_for, kinds)))
    return msgspec.structs.replace(choice, fallbacks=tuple(able))


@lru_cache(maxsize=64)
def _instruction_tokens(instructions: str) -> int:
    """Estimate what a tool's instructions take of the prompt: they are few, and the same for each call."""
    return estimate_tokens(instructions)


@cache
def _schema_tokens(kind: type[msgspec.Struct]) -> int:
    """Estimate what the schema of the answer takes of the prompt."""
    return estimate_tokens(msgspec.json.encode(schema_of(kind).schema).decode())


def _behind(preface: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Put a text in front of what a user says first."""
    at = next(place for place, message in enumerate(messages) if message.role is Role.USER)
    first = msgspec.structs.replace(messages[at], text=f"{preface}\n{messages[at].text}")
    return (*messages[:at], first, *messages[at + 1 :])


def _prompt(
    inquiry: Inquiry,
    conversation: Conversation,
    material: ShownMaterial,
    model: Model,
    history: tuple[Message, ...],
) -> Prompt:
    attached = material.attached
    question = Message(
        Role.USER,
        material.question,
        images=material.images,
        attachments=tuple([item.attachment for item in attached]) if attached else (),
    )
    messages = (*history, question)
    if inquiry.preface:
        messages = _behind(inquiry.preface, messages)
    return Prompt(
        model=model,
        messages=(Message(Role.SYSTEM, inquiry.instructions), *messages),
        effort=inquiry.effort,
        temperature=inquiry.temperature,
        max_output_tokens=inquiry.max_answer_tokens,
        tools=tuple(inquiry.tools) if inquiry.tools and model.calls_tools else (),
        web_search=inquiry.web_search and model.web_search is not SearchWay.TOOL,
        conversation_key=conversation.id,
    )
