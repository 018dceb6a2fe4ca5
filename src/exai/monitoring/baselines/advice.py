"""What to do about the stage that explains slow calls: a table of rules, with the limit to change."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from exai.monitoring.baselines.attribution import Attribution

__all__ = ["RULES", "Circumstances", "Limits", "advise"]

WEIGHTY = 0.25
"""The share of the excess from which on a stage is the bottleneck."""
OFTEN_FULL = 0.1
THROTTLED = 0.01
HEADROOM = 0.8
"""The share of a limit that may be in use (Little's law gives what is)."""


class Limits(msgspec.Struct, frozen=True):
    """The limits that may be raised."""

    global_limit: int
    provider_limit: int
    model_limit: int


class Circumstances(msgspec.Struct, frozen=True):
    """What else is known of a model's calls."""

    provider: str
    model: str
    peak_per_s: float
    """Calls that began in its busiest minute."""
    holding_s: float
    """How long a call holds its permits, on average."""
    throttled: float
    """The share of its calls that its provider refused at first as too many."""
    all_full: float = 0.0
    """The share of the time in which the permits of the whole daemon were all in use."""
    provider_full: float = 0.0
    model_full: float = 0.0
    worst_lag: str = ""
    """In which minutes the event loop was late most, with by how much."""


Rule = Callable[[Circumstances, Limits], str]


def advise(found: Attribution, about: Circumstances, limits: Limits) -> str:
    """Say what to do about the stage that explains most."""
    first = found.stages[0]
    if first.share < WEIGHTY:
        return "No stage explains a quarter of it alone: slow calls are slow all over."
    return RULES[first.stage](about, limits)


def _waits_for_provider(about: Circumstances, limits: Limits) -> str:
    if about.throttled >= THROTTLED:
        return (
            f"{about.provider} itself is the limit: it refuses {about.throttled:.1%} of these calls as too many. "
            "Spread them over time or over other models; a higher limit here makes it worse."
        )
    is_model = about.model_full >= about.provider_full
    name, now = ("model_limit", limits.model_limit) if is_model else ("provider_limit", limits.provider_limit)
    full = max(about.model_full, about.provider_full)
    if full < OFTEN_FULL:
        return (
            f"Calls wait for a permit in short rushes: `admission.{name}` ({now}) was reached in {full:.1%} of the "
            "time. Let clients ask less at once."
        )
    return f"Raise `admission.{name}` from {now} to {_needed(about, now)}: it was reached in {full:.1%} of the time."


def _waits_for_all(about: Circumstances, limits: Limits) -> str:
    now = limits.global_limit
    return (
        f"Raise `admission.global_limit` from {now} to {_needed(about, now)}: it was reached in {about.all_full:.1%} "
        "of the time; look whether one caller has most of it (`admission.caller_limit`)."
    )


def _needed(about: Circumstances, now: int) -> int:
    """Return the permits in use at the busiest minute's rate, by Little's law, with headroom."""
    return max(now + 1, math.ceil(about.peak_per_s * about.holding_s / HEADROOM))


def _processes(about: Circumstances, _: Limits) -> str:
    lag = about.worst_lag or "no minute stands out"
    return f"EXAI itself is late: the event loop or a large text. Worst minutes of the loop: {lag}."


def _always(sentence: str) -> Rule:
    return lambda about, _: sentence.format(provider=about.provider, model=about.model)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "session_wait_ms": _always(
            "Messages wait in their session: the client reads slowly, or its connection is cut often."
        ),
        "global_sem_wait_ms": _waits_for_all,
        "provider_sem_wait_ms": _waits_for_provider,
        "failed_requests_ms": _always(
            "{provider} fails at first and is asked again: see `exai errors list`; name `fallback_models`."
        ),
        "backoff_ms": _always(
            "Calls pause between retries, since {provider} fails or throttles: spread calls over time or models."
        ),
        "connect_ms": _always("Connecting to {provider} takes long: look at DNS, proxy and distance."),
        "first_token_ms": _always(
            "{model} thinks or reads long before its first token: shorter prompts, less `effort`, or a faster model."
        ),
        "generation_ms": _always(
            "{model} writes long answers: a lower `max_answer_tokens`, a question for less, or a faster model."
        ),
        "tools_ms": _always("Searches and files that the model asks for take the time: ask for fewer."),
        "store_ms": _always(
            "The database takes the time: look at its disk, at backups and at other writers."
        ),
        "processing_ms": _processes,
    }
)
"""What to do, by stage."""
