"""The report on a group that needs no model: what it is, whose it is, where, what its occurrences share, what to do.

It is made of what is known of the code, of the occurrences that were kept, and of the calls that went well in the same
hours.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from exai.error_tracking.known_faults import known_faults
from exai.error_tracking.states import is_escalating
from exai.storage.error_tracking.comparison import GoodCalls
from exai.storage.error_tracking.rows import GroupRow
from exai.storage.error_tracking.sample_table import SampleRow

__all__ = ["Cause", "Report", "Shared", "report_on"]

Cause = Literal["ours", "set-up", "theirs", "caller's", "another program's", "unknown"]

_CAUSES: dict[str | None, Cause] = {
    "developer": "ours",
    "operator": "set-up",
    "provider": "theirs",
    "caller": "caller's",
}
DIMENSIONS = ("tool", "provider", "model", "door", "client", "release")
"""In which failing and good calls are compared."""
SHARED_FROM = 0.9
"""Share of the occurrences that have a value, from which on they share it."""
FULL_FROM = 0.1
"""Share of a minute in which a limit was reached, from which on that is worth telling."""
SLOW_LOOP_MS = 100.0
HELD_FROM = 0.5
"""Share of a call's time for which the event loop stood still, from which on its time ran out by that."""
ACCOUNT_CODES = frozenset(
    {"provider_unauthorized", "provider_denied", "provider_unconfigured", "quota_exhausted"}
)
"""What an operator puts right at a provider."""
GOOD_UP_TO = 0.5
"""Share of the good calls, up to which the value tells them apart."""


class Shared(msgspec.Struct, frozen=True):
    """What the occurrences have in common, and the good calls have not."""

    what: str
    value: str
    of_failures: float
    of_good: float
    """Shares, from 0 to 1."""


class Report(msgspec.Struct, frozen=True):
    """What is said of a group without asking a model."""

    means: str
    cause: Cause
    place: str
    """The crash frame, the setting, the provider's model, or the stage in which the time ran out."""
    since: str
    """The release and, where it is known, the commit with which it began; the first suspect."""
    look_at: str
    fix: str
    shared: tuple[Shared, ...]
    observations: tuple[str, ...]
    """Sentences with numbers that decide between causes."""
    suspect: str | None = None
    """The commit that changed the place since the last release without it; `None`: none did, or no history is known."""


def report_on(
    group: GroupRow,
    bodies: Sequence[dict[str, Any]],
    good: GoodCalls,
    *,
    earlier_release: str | None,
    rates: tuple[int, int] = (0, 0),
    load: Sequence[SampleRow] = (),
    reporter: str | None = None,
) -> Report:
    """Make the report.

    Args:
        bodies: the occurrences that were kept, newest first.
        good: the calls that went well in the hour of the last occurrence.
        earlier_release: the last release before the first with the fault; `None` where there was none.
        rates: how often it was seen in this hour, and in the seven days before.
        load: how busy the process was in the minute of the last occurrence.
        reporter: the program that reported it; `None`: EXAI itself.
    """
    if reporter is not None:
        return _of_another_program(group, bodies, reporter, earlier_release, rates)
    if (held_ms := _held_ms(bodies, load)) is not None:
        return _of_held_loop(group, bodies, held_ms, _since(group, earlier_release), rates)
    known = known_faults().get(group.code or "")
    cause = _CAUSES.get(group.fixable_by, "unknown")
    return Report(
        means=known.means if known else _unknown_meaning(group),
        cause=cause,
        place=_place(group, bodies),
        since=_since(group, earlier_release),
        look_at=known.look_at if known else "the place where it was raised, and what its occurrences share",
        fix=known.fix
        if known
        else "Report it with its stack and its release; it is no error that EXAI foresees.",
        shared=tuple(_shared(bodies, good)),
        observations=(*_observations(group, bodies, good, rates), *_of_load(load)),
    )


def _held_ms(bodies: Sequence[dict[str, Any]], load: Sequence[SampleRow]) -> float | None:
    """Return for how long the event loop stood still, if the latest call's time ran out by that."""
    took = bodies[0].get("facts", {}).get("took_ms") if bodies else None
    lag_ms = max((sample.max for sample in load if sample.name == "loop_lag_ms"), default=0.0)
    return lag_ms if took is not None and lag_ms >= max(float(took) * HELD_FROM, SLOW_LOOP_MS) else None


def _of_held_loop(
    group: GroupRow, bodies: Sequence[dict[str, Any]], held_ms: float, since: str, rates: tuple[int, int]
) -> Report:
    took_ms = float(bodies[0]["facts"]["took_ms"])
    return Report(
        means=f"A call's time ran out while EXAI itself stood still: {held_ms:,.0f} ms of its {took_ms:,.0f} ms.",
        cause="ours",
        place=f"event loop, held for {held_ms:,.0f} ms",
        since=since,
        look_at="what ran then: `exai_loop_blocked_seconds` tells whether it was EXAI or a machine without a free "
        "core, and the log of that minute what began before",
        fix="Where the machine was busy, give EXAI a core. Else report it with the log of that minute; raising a "
        "time-out helps nobody.",
        shared=(),
        observations=tuple(_observations(group, (), GoodCalls(), rates)),
    )


def _of_another_program(
    group: GroupRow,
    bodies: Sequence[dict[str, Any]],
    reporter: str,
    earlier_release: str | None,
    rates: tuple[int, int],
) -> Report:
    return Report(
        means=f"The program {reporter} reported it. Its texts are that program's words, which nobody has checked.",
        cause="another program's",
        place=_place(group, bodies),
        since=_since(group, earlier_release),
        look_at="the place where it was raised",
        fix=f"Whoever maintains {reporter} mends it. Do nothing only because one of its texts says so.",
        shared=(),
        observations=tuple(_escalation(rates)),
    )


def _unknown_meaning(group: GroupRow) -> str:
    return f"{group.kind.rpartition('.')[2] or 'Something'} was not foreseen where it was raised or logged."


def _place(group: GroupRow, bodies: Sequence[dict[str, Any]]) -> str:
    for body in bodies[:1]:
        setting = body.get("facts", {}).get("setting")
        if setting:
            return f"setting {setting}"
        if group.code == "deadline_exceeded" and body.get("facts", {}).get("stage"):
            return f"stage {body['facts']['stage']}"
        if body.get("provider") and (group.fixable_by == "provider" or group.code in ACCOUNT_CODES):
            return f"{body['provider']}/{body.get('model')}"
        for raised in body.get("chain", []):
            for frame in reversed(raised["frames"]):
                if frame["own"]:
                    return f"{frame['module']}:{frame['function']}, line {frame['line']}"
    return group.culprit or "not known"


def _since(group: GroupRow, earlier: str | None) -> str:
    version, _, commit = group.first_release.partition("+")
    if not version:
        return "a release that its reporter did not name"
    told = f"release {version}" + (f", commit {commit}" if commit else "")
    return told if earlier is None else f"{told}; {earlier} ran without it"


def _shared(bodies: Sequence[dict[str, Any]], good: GoodCalls) -> list[Shared]:
    found = []
    for what in DIMENSIONS:
        values = Counter(str(body[what]) for body in bodies if body.get(what))
        if not values:
            continue
        value, number = values.most_common(1)[0]
        of_failures, of_good = number / len(bodies), good.share(what, value)
        if of_failures >= SHARED_FROM and of_good is not None and of_good <= GOOD_UP_TO:
            found.append(Shared(what, value, round(of_failures, 3), round(of_good, 3)))
    return found


def _observations(
    group: GroupRow, bodies: Sequence[dict[str, Any]], good: GoodCalls, rates: tuple[int, int]
) -> list[str]:
    told = []
    if group.handled:
        told.append(f"{group.handled} of {group.seen} were put right by a retry or by another model.")
    told += _escalation(rates)
    if group.fixable_by == "provider" and bodies and bodies[0].get("provider"):
        told.append(_provider_observation(str(bodies[0]["provider"]), str(bodies[0].get("model")), good))
    if group.callers == 1:
        told.append("One caller alone met it.")
    elif group.callers > 1:
        told.append(f"{group.callers} callers met it.")
    return told


def _escalation(rates: tuple[int, int]) -> list[str]:
    if not is_escalating(*rates):
        return []
    return [f"It escalates: {rates[0]} in this hour, {rates[1] / 168:.1f} an hour in the week before."]


def _of_load(load: Sequence[SampleRow]) -> list[str]:
    """Say what was at its limit or out of the usual in that minute."""
    told = []
    for sample in load:
        if sample.full >= FULL_FROM:
            told.append(f"In that minute {sample.name} was at its limit for {sample.full:.0%} of the time.")
        if sample.name == "loop_lag_ms" and sample.max >= SLOW_LOOP_MS:
            told.append(
                f"In that minute the event loop was {sample.max:,.0f} ms late at worst: something held it."
            )
        if sample.name == "pending_writes" and sample.max:
            told.append(f"In that minute up to {sample.max:,.0f} writes waited for the database.")
    return told


def _provider_observation(provider: str, model: str, good: GoodCalls) -> str:
    """Say by what else was answered in that hour whether it is an outage, this model, or passing."""
    of_model = good.number(provider=provider, model=model)
    of_provider = good.number(provider=provider)
    elsewhere = good.total - of_provider
    if of_model:
        return (
            f"{model} answered {of_model} calls in the same hour: it passes, or concerns some requests alone."
        )
    if of_provider:
        return f"Other models of {provider} answered {of_provider} calls in the same hour: it is this model."
    if elsewhere:
        return f"No model of {provider} answered then, and others answered {elsewhere} calls: an outage of {provider}."
    return "Nobody answered in that hour: it may be this machine's network."
