"""How much of a model's window a prompt takes, and how much history still fits."""

import math
from collections.abc import Callable

import msgspec

from exai import config
from exai.consulting.context import CallContext
from exai.conversations.conversations import (
    NOTHING_RECALLED,
    TOKENS_PER_EXCHANGE,
    Conversation,
    Conversations,
    Recalled,
)
from exai.conversations.long_texts import estimate_long_text
from exai.conversations.token_counts import TokenCounts
from exai.errors import ContextOverflow
from exai.messages import Message
from exai.providers.base import Prompt
from exai.providers.catalog import Model
from exai.routing.ledger import Stage

__all__ = ["Fit", "Question", "Window", "tokens_beside"]

TOKENS_PER_IMAGE = 1_500
"""What a picture may cost in a prompt: an upper middle of what both providers document."""

TOKENS_PER_FILE = 10_000
"""What a file may cost that is shown as it is: no provider documents it, and one that is larger is refused there."""

NEAR = (0.85, 1.25)
"""Shares of the window between which an estimate may be wrong enough to matter, so that a provider's own
counter is asked where there is one."""


class Question(msgspec.Struct, frozen=True):
    """What is to fit beside the history."""

    text: str
    shown_tokens: int
    """What its pictures and attached files may cost."""
    instruction_tokens: int
    """The estimate for the system message."""
    max_answer_tokens: int | None
    prompt_with: Callable[[tuple[Message, ...]], Prompt]
    """The whole prompt, given the history's messages."""


class Fit(msgspec.Struct, frozen=True):
    """A prompt that fits."""

    recalled: Recalled
    tokens: int
    """What the whole prompt is expected to be."""
    counted: bool
    """Whether the provider counted it; else it is an estimate."""
    error: float | None
    """The mean relative error of this model's latest estimates; `None` where none was counted yet."""
    by_script: int
    """The estimate before any correction, the pictures and the provider's template left out."""


class Window:
    """Fits prompts into windows."""

    def __init__(
        self,
        conversations: Conversations,
        counts: TokenCounts,
        limits: config.Conversations,
    ) -> None:
        self._conversations = conversations
        self._counts = counts
        self._limits = limits

    async def fit(
        self, model: Model, conversation: Conversation, question: Question, context: CallContext
    ) -> Fit:
        """Fit the question with as much of the history as there is room for.

        Raises:
            ContextOverflow: the question alone leaves no room for an answer.
        """
        window = model.context_tokens
        known = self._counts.of(model.name)
        factor = self._counts.factor(model.name)
        by_script = (
            question.instruction_tokens + TOKENS_PER_EXCHANGE + await estimate_long_text(question.text)
        )
        beside = model.template_tokens + question.shown_tokens
        for_question = math.ceil(by_script * factor) + beside
        for_answer = self._for_answer(model, question.max_answer_tokens)
        counted = None
        if window - for_answer < for_question and _is_near(for_question + for_answer, window):
            counted = await context.ask.count_tokens(question.prompt_with(()))
            for_question = for_question if counted is None else counted
        room = window - for_answer - for_question
        if room < 0:
            raise ContextOverflow(
                f"The question with its files is {'about ' if counted is None else ''}{for_question:,} tokens; with "
                f"{for_answer:,} kept for the answer it does not fit into the {window:,} tokens of {model.name}. "
                "Send fewer or smaller files, or name a model with a larger window (see `status` with section models)."
            )
        budget = min(int(window * self._limits.history_share), room)
        recalled = await self._recall(conversation, model, budget / factor, context)
        expected = for_question + math.ceil(recalled.tokens * factor)
        if recalled.included and _is_near(expected + for_answer, window):
            counted = await context.ask.count_tokens(question.prompt_with(recalled.messages))
            if counted is not None and (excess := counted + for_answer - window) > 0:
                recalled = await self._recall(conversation, model, recalled.tokens - excess / factor, context)
                expected, counted = for_question + math.ceil(recalled.tokens * factor), None
        elif recalled.included:
            counted = None
        return Fit(
            recalled=recalled,
            tokens=expected if counted is None else counted,
            counted=counted is not None,
            error=None if known is None else known.mean_error,
            by_script=by_script + recalled.tokens,
        )

    async def room(
        self,
        model: Model,
        text: str,
        instruction_tokens: int,
        shown_tokens: int,
        max_answer_tokens: int | None,
    ) -> float:
        """Return how many tokens, by our own estimate, there are for files beside a question and its answer."""
        by_script = instruction_tokens + TOKENS_PER_EXCHANGE + await estimate_long_text(text)
        beside = model.template_tokens + shown_tokens + self._for_answer(model, max_answer_tokens)
        return (model.context_tokens - beside) / self._counts.factor(model.name) - by_script

    def left(self, model: Model, fit: Fit, max_answer_tokens: int | None) -> float:
        """Return how many tokens, by our own estimate, a prompt that fits may still grow by."""
        left = model.context_tokens - self._for_answer(model, max_answer_tokens) - fit.tokens
        return left / self._counts.factor(model.name)

    def _for_answer(self, model: Model, max_answer_tokens: int | None) -> int:
        return min(
            max_answer_tokens or model.max_output_tokens,
            int(model.context_tokens * self._limits.max_answer_share),
        )

    async def _recall(
        self, conversation: Conversation, model: Model, budget: float, context: CallContext
    ) -> Recalled:
        if not conversation.exchanges:
            return NOTHING_RECALLED
        with context.stage(Stage.STORE):
            return await self._conversations.recall(
                conversation, max(0, int(budget)), reasoning_of=model.name if model.keeps_reasoning else None
            )


def tokens_beside(images: int, files: int) -> int:
    """Estimate what pictures and attached files take of a prompt."""
    return images * TOKENS_PER_IMAGE + files * TOKENS_PER_FILE


def _is_near(tokens: int, window: int) -> bool:
    low, high = NEAR
    return window * low <= tokens <= window * high
