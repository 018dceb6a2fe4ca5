"""From a fault to the answer of a call that failed."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from exai.consulting.answer import TriedModel
from exai.errors import Stopping, ToolFault
from exai.routing.ledger import Tried
from exai.tools.base import ToolAnswer

__all__ = ["ERROR_KEY", "ErrorFacts", "failure"]

ERROR_KEY = "exai/error"
"""In the `_meta` of an answer that is an error."""


HEAD_CHARACTERS = 24_000
TAIL_CHARACTERS = 6_000
"""Of an answer that broke off, at its beginning and at its end: together half of what common clients show a model."""


class ErrorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a program needs to know of a failed call."""

    code: str
    message: str
    retryable: bool
    fixable_by: str
    call_id: str
    tried: tuple[TriedModel, ...] | UnsetType = UNSET
    retry_after_s: float | UnsetType = UNSET
    begun: bool | UnsetType = UNSET
    """`False` where a stopping daemon refused the call before anything of it ran; else left out."""


def failure(fault: ToolFault, call_id: str, tried: Sequence[Tried] = (), *, advice: str = "") -> ToolAnswer:
    """Make the answer of a failed call: the sentence for the model, the facts for the program.

    `advice` is a further sentence of what to do.
    """
    text = f"{fault} {advice}" if advice else str(fault)
    facts = ErrorFacts(
        code=fault.code,
        message=text,
        retryable=fault.retryable,
        fixable_by=fault.fixable_by,
        call_id=call_id,
        tried=tuple(map(TriedModel.of, tried)) or UNSET,
        retry_after_s=UNSET if fault.retry_after_s is None else fault.retry_after_s,
        begun=False if isinstance(fault, Stopping) and not fault.begun else UNSET,
    )
    if len(tried) > 1:
        text += " Tried: " + ", ".join(f"{each.model} ({each.outcome})" for each in tried) + "."
    if fault.partial:
        text = f"{text}\n\nWhat had arrived:\n{_readable(fault.partial)}"
    return ToolAnswer(text=text, structured=None, meta={ERROR_KEY: msgspec.to_builtins(facts)}, is_error=True)


def _readable(partial: str) -> str:
    """Cut the middle out of a text that no client would read."""
    left_out = len(partial) - HEAD_CHARACTERS - TAIL_CHARACTERS
    if left_out <= 0:
        return partial
    head, tail = partial[:HEAD_CHARACTERS], partial[-TAIL_CHARACTERS:]
    return f"{head}\n[{left_out:,} characters left out]\n{tail}"
