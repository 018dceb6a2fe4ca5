"""The doctor's look at what EXAI talks to: the database, the providers and, through them, the clock."""

import asyncio
from collections.abc import Mapping

from exai.config.sources import Loaded
from exai.doctor.findings import Finding, problem, warning, well
from exai.errors import ExaiError, StartFault
from exai.providers.base import Provider, Reached
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.storage.database import Schema, look_at_schema

__all__ = ["look_at_database", "look_at_providers"]

REACH_S = 10.0
"""How long a provider may take to answer."""
SET_IT = "Set it by NTP: tokens are judged by it."
TOLERATED_S, LARGEST_S = 10.0, 60.0
"""How far clocks may differ: unnoticed, and before tokens are refused."""


async def look_at_database(loaded: Loaded, clock: Clock) -> list[Finding]:
    """Whether it can be reached, has the schema that this version needs, and goes by the same time."""
    name = "database"
    settings = loaded.settings
    try:
        schema = await look_at_schema(settings.database, settings.data_dir)
    except StartFault as fault:
        return [problem(name, str(fault).rstrip("."), "See `database.url` and `data_dir`.")]
    found = [_schema(name, schema)]
    if schema.clock is not None:
        found.append(_clock("the database", schema.clock - clock.wall()))
    return found


def _schema(name: str, schema: Schema) -> Finding:
    if schema.version == schema.needed:
        return well(name, f"{schema.kind} with schema {schema.version}, as this version needs it")
    if schema.version is None:
        return well(name, f"{schema.kind}, empty; the first start sets it up")
    if schema.version < schema.needed:
        says = f"{schema.kind} with schema {schema.version}, and this version needs {schema.needed}"
        return problem(name, says, "Back it up, then run `exai migrate`.")
    says = f"{schema.kind} with schema {schema.version}, which a newer EXAI wrote"
    return problem(name, says, "Install that version, or use another database.")


async def look_at_providers(loaded: Loaded, clock: Clock) -> list[Finding]:
    """Whether each provider with a key can be reached and takes it, and whose clock says otherwise than ours."""
    settings = loaded.settings
    try:
        router = ModelRouter.from_settings(settings.providers, settings.models, settings.timeouts, clock)
    except StartFault as fault:
        return [problem("models", str(fault).rstrip("."), "Correct the setting.")]
    try:
        asked = {name: each for name, each in router.providers.items() if each.configured}
        outcomes = await asyncio.gather(*(_reach(provider) for provider in asked.values()))
    finally:
        await router.close()
    found = [_provider(name, outcome) for name, outcome in zip(asked, outcomes, strict=True)]
    return [*found, _providers_clock(dict(zip(asked, outcomes, strict=True)))]


async def _reach(provider: Provider) -> Reached | ExaiError:
    try:
        return await provider.reach(within_s=REACH_S)
    except ExaiError as fault:
        return fault


def _provider(name: str, outcome: Reached | ExaiError) -> Finding:
    if isinstance(outcome, Reached):
        takes = (
            "takes the key" if outcome.lists_models else "answers; it lists no models, so its key is untried"
        )
        return well("providers", f"{name} {takes}")
    sentence, _, mend = str(outcome).rstrip(".").partition(". ")
    return problem("providers", f"{name}: {sentence}", f"{mend or 'Try again later'}.")


def _providers_clock(outcomes: Mapping[str, Reached | ExaiError]) -> Finding:
    ahead = [
        (abs(each.ahead_s), each.ahead_s, who)
        for who, each in outcomes.items()
        if isinstance(each, Reached) and each.ahead_s is not None
    ]
    if not ahead:
        says = "no provider was reached to compare this machine's clock with"
        return warning("clock", says, SET_IT)
    _, ahead_s, who = min(ahead)  # the nearest: one provider's clock may itself be wrong
    return _clock(who, ahead_s)


def _clock(who: str, ahead_s: float) -> Finding:
    """How the clock of somebody, so far ahead of ours, compares with it."""
    if abs(ahead_s) <= TOLERATED_S:
        return well("clock", f"agrees with that of {who} within {max(1, round(abs(ahead_s)))} s")
    says = f"this machine's clock is {abs(ahead_s):.0f} s {'behind' if ahead_s > 0 else 'ahead of'} that of {who}"
    return (problem if abs(ahead_s) > LARGEST_S else warning)("clock", says, SET_IT)
