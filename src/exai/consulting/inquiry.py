"""A question to a model, before the model is chosen."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from exai import config
from exai.messages import Effort
from exai.providers.base import ToolSpec

__all__ = ["Inquiry"]


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """One question to one model, with what the caller shows beside it."""

    instructions: str
    """The system message."""
    question: str
    preface: str = ""
    """What stands in front of the conversation: the next question about the same begins in the same way."""
    model: str | None = None
    """`None`: the conversation's model, else the configured default."""
    fallback_models: Sequence[str] | None = None
    """Models that may answer when `model` cannot; `None`: as configured."""
    file_paths: Sequence[str] = ()
    numbered_after: int = 0
    """How many ids such as `E3` the question itself has: those of its files follow."""
    send_secrets: bool = False
    """Whether files are sent although they hold secrets."""
    reads_documents: Literal["here", "provider"] | None = None
    """Who reads documents; `None`: as configured."""
    images: Sequence[str] = ()
    """Absolute paths or `data:` URLs."""
    effort: Effort | None = None
    """`None`: the model's own."""
    web_search: bool = False
    temperature: float | None = None
    max_answer_tokens: int | None = None
    continuation_id: str | None = None
    """Of the conversation to go on with; `None` begins one."""
    fork: bool = False
    """Whether the conversation goes on in a copy of it, and stays as it is."""
    answer_as: type[msgspec.Struct] | None = None
    """The object that the answer is to be; `None`: text."""
    tools: Sequence[ToolSpec] = ()
    """What earlier requests of the same work declare, so that this one begins like them; with any, there are no others.

    `Consultant.turn` hands calls of them out; `consult` has the model answer without.
    """
    tool_limits: config.ToolLoop | None = None
    """Limits of the model's tool calls; `None`: the settings `tool_loop.*`."""
    records: bool = True
    """Whether the exchange is kept in its conversation; a part of a longer work is not."""
