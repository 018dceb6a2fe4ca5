"""`chat`: one question to one model, in a conversation that goes on by handle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec

from exai import config
from exai.auth import scopes
from exai.consulting.context import CallContext, timed
from exai.consulting.web_search import WebSearch
from exai.consulting.window import Fit, Question, Window
from exai.conversations.conversations import Conversation, Conversations
from exai.conversations.estimates import estimate_tokens
from exai.conversations.token_counts import TokenCounts
from exai.costs import Bill, Usage
from exai.errors import AbilityMissing, BadArguments, ProviderUnconfigured, UnknownModel
from exai.files.reader import FileReader
from exai.messages import Citation, Effort, FileExcerpt, Image, Message, Role
from exai.prompts import prompt
from exai.providers.base import Completion, DeltaKind, OnDelta, Prompt
from exai.providers.catalog import Model, SearchWay
from exai.routing.fallback import told
from exai.routing.progress import Progress
from exai.routing.router import Choice, ModelRouter
from exai.runtime.clock import Clock
from exai.tools.base import Arguments, JsonObject, Tool, ToolAnswer

__all__ = ["Chat", "ChatArguments"]

EFFORTS = {
    **{effort.value: effort for effort in Effort},
    "off": Effort.NONE,
    "minimal": Effort.LOW,
    "xhigh": Effort.MAX,
}
"""Those of the schema, and steps that other servers have."""


class ChatArguments(Arguments, frozen=True):
    prompt: Annotated[
        str, msgspec.Meta(min_length=1, description="The question, with what is needed to answer it")
    ]
    model: (
        Annotated[
            str, msgspec.Meta(max_length=200, description="From `models`; used or refused, never swapped")
        ]
        | None
    ) = None
    fallback_models: (
        Annotated[
            list[str],
            msgspec.Meta(max_length=10, description="May answer instead, in turn, if `model` cannot"),
        ]
        | None
    ) = None
    absolute_file_paths: Annotated[
        list[str], msgspec.Meta(max_length=500, description="Text files to show, instead of pasting them")
    ] = msgspec.field(default_factory=list)
    images: Annotated[
        list[str],
        msgspec.Meta(max_length=100, description="Absolute paths or data: URLs (PNG, JPEG, GIF, WebP)"),
    ] = msgspec.field(default_factory=list)
    effort: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=40,
                description="How hard to think; default: the model's own",
                extra_json_schema={"enum": [effort.value for effort in Effort]},
            ),
        ]
        | None
    ) = None
    use_websearch: Annotated[bool, msgspec.Meta(description="Let the model search the web")] = False
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    max_answer_tokens: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    continuation_id: (
        Annotated[str, msgspec.Meta(max_length=200, description="Of an earlier answer: goes on from there")]
        | None
    ) = None


@dataclass(frozen=True)
class _Material:
    """What the caller shows, whichever model answers."""

    files: tuple[FileExcerpt, ...]
    images: tuple[Image, ...]
    question: str
    """The prompt with its files, as it is sent and kept."""


@dataclass(frozen=True)
class _Context:
    """What of the material and of the conversation enters the prompt of one model."""

    material: _Material
    fit: Fit
    prompt: Prompt
    """All of it, as the model is asked."""


class Chat:
    """Consults a model about a question, its files and pictures, and what was said before."""

    def __init__(
        self,
        *,
        router: ModelRouter,
        conversations: Conversations,
        files: FileReader,
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
        self._system = Message(Role.SYSTEM, prompt("chat"))
        self._window = Window(conversations, counts, limits, clock, estimate_tokens(self._system.text))

    def tool(self) -> Tool[ChatArguments]:
        """The catalogue's entry."""
        return Tool(
            name="chat",
            title="Ask a model",
            description=(
                "Ask a GLM or Kimi model: a second opinion, an explanation, ideas, a review of files or pictures. "
                "Go on with continuation_id; the model then knows what was said before."
            ),
            arguments=ChatArguments,
            run=self.run,
            output_schema=_OUTPUT_SCHEMA,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"use_websearch": scopes.SEARCH},
            argument_aliases={"thinking_mode": "effort", "reasoning_effort": "effort"},
            open_world=True,
        )

    async def run(self, arguments: ChatArguments, context: CallContext) -> ToolAnswer:
        """Answer one question.

        The exchange is committed before the answer leaves: a handle that a caller
        holds always leads to what it was told. A call that fails keeps nothing.

        Raises:
            ToolFault: one of its subclasses.
        """
        if not arguments.prompt.strip():
            raise BadArguments("Argument 'prompt' is blank. Say what you want to know.")
        with timed(context, "store_ms", self._clock):
            conversation = await self._conversations.open(context.caller, arguments.continuation_id)
        choice = self._choose(arguments, conversation)
        context.provider, context.model_used = choice.model.provider, choice.model.name
        context.conversation_id = conversation.id
        material = await self._gather(arguments)

        async def answer_of(model: Model) -> tuple[Completion, _Context]:
            context.provider, context.model_used = model.provider, model.name
            shown = await self._fit(arguments, conversation, material, model, context)
            listener = _listener(context.progress) if context.streams else None
            if not arguments.use_websearch:
                return await context.ask(shown.prompt, listener), shown
            searches = WebSearch(self._router, model, context, self._tool_limits, self._clock)
            return await searches.answer(shown.prompt, listener), shown

        (completion, shown), choice = await context.ask.along(choice, answer_of)
        context.model_reason = choice.reason
        if not arguments.use_websearch:
            self._learn(shown, completion)
        with timed(context, "store_ms", self._clock):
            number = await self._conversations.record(
                conversation,
                caller=context.caller,
                question=_as_kept(material),
                answer=completion.text,
                reasoning=completion.reasoning,
                model=completion.model,
                call_id=context.call_id,
            )
        remaining = self._limits.max_exchanges - number
        return _answer(completion, choice, arguments, shown, conversation.id, remaining, context)

    def _choose(self, arguments: ChatArguments, conversation: Conversation) -> Choice:
        """The model named; else the one that the conversation has; else the configured default."""

        def resolve(name: str | None, *, kept: bool = False) -> Choice:
            return self._router.resolve(
                name,
                images=bool(arguments.images),
                web_search=arguments.use_websearch,
                effort=_effort(arguments),
                fallback=arguments.fallback_models,
                kept=kept,
            )

        before = conversation.last_model
        if arguments.model is not None or before is None:
            return resolve(arguments.model)
        try:
            return resolve(before, kept=True)
        except (UnknownModel, AbilityMissing, ProviderUnconfigured) as fault:
            why = f"No model was named, and this conversation's {before} cannot answer: {fault}"
            return replace(resolve(None), reason=why)

    async def _gather(self, arguments: ChatArguments) -> _Material:
        """Read files and pictures.

        Raises:
            FileRefused: a file may not or cannot be read.
        """
        files = await self._files.read_texts(arguments.absolute_file_paths)
        images = await self._files.read_images(arguments.images)
        return _Material(files, images, _question(arguments.prompt, files))

    async def _fit(
        self,
        arguments: ChatArguments,
        conversation: Conversation,
        material: _Material,
        model: Model,
        context: CallContext,
    ) -> _Context:
        """The prompt for one model, with as much of the conversation as its window holds.

        Raises:
            ContextOverflow: question and files alone leave no room for an answer.
        """

        def prompt_with(history: tuple[Message, ...]) -> Prompt:
            return self._prompt(arguments, model, conversation, history, material)

        images = len(material.images)
        question = Question(material.question, images, arguments.max_answer_tokens, prompt_with)
        fit = await self._window.fit(model, conversation, question, context)
        return _Context(material, fit, prompt_with(fit.recalled.messages))

    def _prompt(
        self,
        arguments: ChatArguments,
        model: Model,
        conversation: Conversation,
        history: tuple[Message, ...],
        material: _Material,
    ) -> Prompt:
        return Prompt(
            model=model,
            messages=(
                self._system,
                *history,
                Message(Role.USER, material.question, images=material.images),
            ),
            effort=_effort(arguments),
            temperature=arguments.temperature,
            max_output_tokens=arguments.max_answer_tokens,
            web_search=arguments.use_websearch and model.web_search is not SearchWay.TOOL,
            conversation_key=conversation.id,
        )

    def _learn(self, shown: _Context, completion: Completion) -> None:
        """Compare the estimate with the provider's count, where both are of the same text alone."""
        model, reported = shown.prompt.model, completion.usage.input
        if reported is None or shown.material.images or completion.model != model.name:
            return
        self._counts.learn(
            model.name, estimated=shown.fit.by_script, reported=reported - model.template_tokens
        )


def _effort(arguments: ChatArguments) -> Effort | None:
    """The effort asked for; `None`: the model's own.

    Raises:
        BadArguments: there is no such effort.
    """
    if arguments.effort is None:
        return None
    effort = EFFORTS.get(arguments.effort.strip().casefold())
    if effort is None:
        raise BadArguments(
            f"Argument 'effort': there is no effort {arguments.effort!r}. Give one of {', '.join(Effort)}, or leave "
            "it out for the model's own."
        )
    return effort


def _listener(progress: Progress) -> OnDelta:
    def listen(kind: DeltaKind, text: str) -> None:
        if kind is DeltaKind.TEXT:
            progress.text(text)
        else:
            progress.reasoning(text)

    return listen


def _question(text: str, files: Sequence[FileExcerpt]) -> str:
    """The prompt with its files in front; a file's mark holds its own digest, so no file can forge its end."""
    parts = []
    for file in files:
        mark = f"FILE {file.path} sha256:{file.sha256[:16]}"
        body = file.text if file.text.endswith("\n") else file.text + "\n"
        parts.append(f"--- BEGIN {mark}\n{body}--- END {mark}\n")
    return "\n".join([*parts, text])


def _as_kept(material: _Material) -> str:
    """The question as later calls recall it; pictures are named, not kept."""
    count = len(material.images)
    if not count:
        return material.question
    return (
        f"{material.question}\n\n[{count} picture{'s' if count > 1 else ''} shown here, no longer attached]"
    )


def _answer(
    completion: Completion,
    choice: Choice,
    arguments: ChatArguments,
    shown: _Context,
    handle: str,
    remaining: int,
    context: CallContext,
) -> ToolAnswer:
    material, fit = shown.material, shown.fit
    notes = list(completion.notes)
    if completion.finish_reason == "length":
        notes.append("The answer was cut at its token cap. Ask to go on, or raise max_answer_tokens.")
    if remaining == 0:
        notes.append("This was the conversation's last exchange. Start a new one without continuation_id.")
    if context.bill.cost.free:
        notes.append(f"{completion.model} is free of charge by its list price.")
    if fit.counted:
        notes.append(
            f"{completion.provider} counted the prompt beforehand, as it comes near the window's limit."
        )
    if len(context.tried) > 1 and choice.reason is not None:
        notes.append(choice.reason)
    if fit.recalled.dropped:
        notes.append(f"The {fit.recalled.dropped} oldest exchanges did not fit and were left out.")
    footer = [f"continuation_id: {handle}", f"{completion.model}", f"{remaining} exchanges remaining"]
    structured: JsonObject = {
        "answer": completion.text,
        "continuation_id": handle,
        "exchanges_remaining": remaining,
        "model_requested": arguments.model,
        "model_used": completion.model,
        "model_reason": choice.reason,
        "tried": told(context.tried) if sum(each.requests for each in context.tried) > 1 else [],
        "model_echoed": completion.echoed_model,
        "provider": completion.provider,
        "effort": shown.prompt.model.effort_used(shown.prompt.effort),
        "finish_reason": completion.finish_reason,
        "usage": _usage(context.bill.usage or Usage()),
        "cost_usd": context.bill.cost.usd,
        "cost": _cost(context.bill),
        # The dispatcher completes this very object when the call ends.
        "timings": context.timings,
        "context": {
            "exchanges_included": fit.recalled.included,
            "exchanges_dropped": fit.recalled.dropped,
            "files": [file.path for file in material.files],
            "images": len(material.images),
            "tokens_expected": fit.tokens,
            "expected_by": completion.provider if fit.counted else "estimate",
            "estimate_error": fit.error,
        },
        "citations": [_citation(citation) for citation in completion.citations],
        "notes": notes,
        "call_id": context.call_id,
    }
    lines = [completion.text, "", f"[{' | '.join(footer)}]", *(f"Note: {note}" for note in notes)]
    if completion.citations:
        lines += ["Sources:", *map(_source_line, completion.citations)]
    text = "\n".join(lines)
    return ToolAnswer(text=text, structured=structured)


def _usage(usage: Usage) -> JsonObject:
    return {
        "input": usage.input,
        "cached": usage.cached,
        "output": usage.output,
        "reasoning": usage.reasoning,
        "cache_write": usage.cache_write,
    }


def _cost(bill: Bill) -> JsonObject:
    """The items in dollars; why one is missing, where one is."""
    cost = bill.cost
    items: JsonObject = {name: round(usd, 9) for name, usd in cost.items.items()}
    if cost.unknown:
        items["unknown"] = list(cost.unknown)
    return items


def _source_line(citation: Citation) -> str:
    dated = f" ({citation.published})" if citation.published else ""
    return f"- {citation.title}{dated} {citation.url}".rstrip()


def _citation(citation: Citation) -> JsonObject:
    return {"title": citation.title, "url": citation.url, "published": citation.published}


_COUNT = {"type": ["integer", "null"]}

_STRING = {"type": "string"}

_OUTPUT_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "continuation_id": {"type": "string"},
        "exchanges_remaining": {"type": "integer"},
        "model_requested": {"type": ["string", "null"]},
        "model_used": {"type": "string"},
        "model_reason": {"type": ["string", "null"]},
        "tried": {"type": "array", "items": {"type": "object"}},
        "effort": {"type": ["string", "null"]},
        "finish_reason": {"enum": ["stop", "length"]},
        "usage": {
            "type": "object",
            "additionalProperties": _COUNT,
        },
        "cost_usd": {"type": ["number", "null"]},
        "cost": {"type": "object"},
        "timings": {"type": "object", "additionalProperties": {"type": "number"}},
        "context": {"type": "object"},
        "citations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"title": _STRING, "url": _STRING, "published": {"type": ["string", "null"]}},
            },
        },
        "notes": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["answer", "continuation_id", "exchanges_remaining", "model_used"],
}
