"""From a fault to the answer of a call that failed."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from exai.consulting.answer import TriedModel
from exai.error_tracking.known_groups import KnownGroup
from exai.error_tracking.provenance import Provenance
from exai.errors import DeadlineExceeded, ProviderTimeout, Stopping, ToolFault
from exai.routing.ledger import Tried
from exai.storage.error_tracking.rows import State
from exai.tools.base import ToolAnswer

__all__ = [
    "ERROR_KEY",
    "LEAST_PARTIAL",
    "MOST_CHARACTERS",
    "ErrorFacts",
    "advice_on",
    "bounded",
    "facts_of_time",
    "failure",
]

ERROR_KEY = "exai/error"
"""In the `_meta` of an answer that is an error."""


MOST_CHARACTERS = 1_500
"""Of an error. Clients cut long ones, and some of them show a model no more than this."""

LEAST_PARTIAL = 300
"""Characters that are kept for what had arrived of an answer."""

TAIL = 100
"""Of what is cut, so many characters of its end are shown, in which a sentence says what to do."""


class ErrorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a program needs to know of a failed call."""

    code: str
    message: str
    retryable: bool
    fixable_by: str
    call_id: str
    tried: tuple[TriedModel, ...] | UnsetType = UNSET
    retry_after_s: float | UnsetType = UNSET
    group: str | UnsetType = UNSET
    """The group of errors that it belongs to, as `E-17`; left out, with the next three, where it has none yet and
    where the caller can mend the fault."""
    seen: int | UnsetType = UNSET
    """How often this happened, to anybody."""
    state: State | UnsetType = UNSET
    cause: str | UnsetType = UNSET
    """In one line, where it is known."""
    cause_by: Provenance | UnsetType = UNSET
    """`outside` where a model wrote the cause; else left out."""
    begun: bool | UnsetType = UNSET
    """`False` where a stopping daemon refused the call before anything of it ran; else left out."""


def failure(
    fault: ToolFault,
    call_id: str,
    tried: Sequence[Tried] = (),
    *,
    advice: str = "",
    partial_file: str | None = None,
    group: KnownGroup | None = None,
) -> ToolAnswer:
    """Make the answer of a failed call: the sentence for the model, the facts for the program.

    Args:
        advice: a further sentence of what to do.
        partial_file: the stored file with all that had arrived of an answer.
        group: what is known of this error already.
    """
    text = f"{fault} {advice}" if advice else str(fault)
    facts = ErrorFacts(
        code=fault.code,
        message=bounded(text, MOST_CHARACTERS),
        retryable=fault.retryable,
        fixable_by=fault.fixable_by,
        call_id=call_id,
        tried=tuple(map(TriedModel.of, tried)) or UNSET,
        retry_after_s=UNSET if fault.retry_after_s is None else fault.retry_after_s,
        begun=False if isinstance(fault, Stopping) and not fault.begun else UNSET,
    )
    if group is not None:
        facts = msgspec.structs.replace(
            facts,
            group=group.group,
            seen=group.seen,
            state=group.state,
            cause=UNSET if group.cause is None else group.cause,
            cause_by=UNSET if group.cause_by == "server" else group.cause_by,
        )
    if len(tried) > 1:
        text += " Tried: " + ", ".join(f"{each.model} ({each.outcome})" for each in tried) + "."
    if fault.partial:
        if partial_file is not None:
            text += f" All that had arrived: `files` with action read, id {partial_file}."
        text = bounded(text, MOST_CHARACTERS - LEAST_PARTIAL)
        heading = "\n\nWhat had arrived:\n"
        text += heading + bounded(fault.partial, MOST_CHARACTERS - len(text) - len(heading))
    return ToolAnswer(
        text=bounded(text, MOST_CHARACTERS),
        structured=None,
        meta={ERROR_KEY: msgspec.to_builtins(facts)},
        is_error=True,
    )


def facts_of_time(fault: ToolFault, stage: str | None, seconds: float) -> dict[str, str]:
    """Say of a call whose time ran out how long it took, and of one that was stopped by its deadline in which stage."""
    if not isinstance(fault, DeadlineExceeded | ProviderTimeout):
        return {}
    took = {"took_ms": str(round(seconds * 1_000))}
    return {**took, "stage": stage} if stage is not None and isinstance(fault, DeadlineExceeded) else took


def bounded(text: str, most: int) -> str:
    """Cut the middle out of a text that is too long, and say how much that is."""
    if len(text) <= most:
        return text
    mark = f" [… {len(text):,} characters in all …] "
    tail = text[-TAIL:]
    return f"{text[: most - len(mark) - len(tail)]}{mark}{tail}"


def advice_on(fault: ToolFault, own_deadline_s: float | None) -> str:
    """Name the setting that bounds a call whose time was over, unless its tool has a bound of its own."""
    is_bounded_by_setting = isinstance(fault, DeadlineExceeded) and not own_deadline_s
    return "Whoever runs EXAI can raise `timeouts.call_s`." if is_bounded_by_setting else ""
