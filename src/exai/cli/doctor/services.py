"""Checks of what EXAI talks to: the database, the providers and, through them, the clock."""

import asyncio
from collections.abc import Mapping

from exai.cli.doctor.findings import Finding, ok, problem, warning
from exai.config.demo import EMULATED_PROVIDERS
from exai.config.sources import Loaded
from exai.errors import ExaiError, StartFault
from exai.providers.base import Provider, Reached
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.storage.database import Schema, inspect_schema

__all__ = ["check_database", "check_providers"]

REACH_S = 10.0
"""How long a provider may take to answer."""
SET_CLOCK = "Set it by NTP: tokens are judged by it."
TOLERATED_S, LARGEST_S = 10.0, 60.0
"""How far clocks may differ: without a warning, and before tokens are refused."""


async def check_database(loaded: Loaded, clock: Clock) -> list[Finding]:
    """Check that the database can be reached, has the schema that this version needs, and has the same time."""
    name = "database"
    settings = loaded.settings
    try:
        schema = await inspect_schema(settings.database, settings.data_dir)
    except StartFault as fault:
        return [problem(name, str(fault).rstrip("."), "See `database.url` and `data_dir`.")]
    found = [_schema(name, schema)]
    if schema.clock is not None:
        found.append(_clock("the database", schema.clock - clock.wall()))
    return found


def _schema(name: str, schema: Schema) -> Finding:
    if schema.version == schema.needed:
        return ok(name, f"{schema.kind} with schema {schema.version}, as this version needs it")
    if schema.version is None:
        return ok(name, f"{schema.kind}, empty; the first start sets it up")
    if schema.version < schema.needed:
        message = f"{schema.kind} with schema {schema.version}, and this version needs {schema.needed}"
        return problem(name, message, "Back it up, then run `exai migrate`.")
    message = f"{schema.kind} with schema {schema.version}, which a newer EXAI wrote"
    return problem(name, message, "Install that version, or use another database.")


async def check_providers(loaded: Loaded, clock: Clock) -> list[Finding]:
    """Check that each provider with a key can be reached and accepts it, and compare its clock with ours."""
    settings = loaded.settings
    try:
        router = ModelRouter.from_settings(settings.providers, settings.models, settings.timeouts, clock)
    except StartFault as fault:
        return [problem("models", str(fault).rstrip("."), "Correct the setting.")]
    try:
        emulated = EMULATED_PROVIDERS if loaded.demo else frozenset()
        asked = {
            name: each for name, each in router.providers.items() if each.configured and name not in emulated
        }
        outcomes = await asyncio.gather(*(_reach(provider) for provider in asked.values()))
    finally:
        await router.close()
    found = [_provider(name, outcome) for name, outcome in zip(asked, outcomes, strict=True)]
    if loaded.demo and not asked:
        return []
    return [*found, _providers_clock(dict(zip(asked, outcomes, strict=True)))]


async def _reach(provider: Provider) -> Reached | ExaiError:
    try:
        return await provider.reach(within_s=REACH_S)
    except ExaiError as fault:
        return fault


def _provider(name: str, outcome: Reached | ExaiError) -> Finding:
    if isinstance(outcome, Reached):
        outcome_text = (
            "accepts the key"
            if outcome.lists_models
            else "answers; it lists no models, so its key is untried"
        )
        return ok("providers", f"{name} {outcome_text}")
    sentence, _, fix = str(outcome).rstrip(".").partition(". ")
    return problem("providers", f"{name}: {sentence}", f"{fix or 'Try again later'}.")


def _providers_clock(outcomes: Mapping[str, Reached | ExaiError]) -> Finding:
    ahead = [
        (abs(each.ahead_s), each.ahead_s, who)
        for who, each in outcomes.items()
        if isinstance(each, Reached) and each.ahead_s is not None
    ]
    if not ahead:
        message = "no provider was reached to compare this machine's clock with"
        return warning("clock", message, SET_CLOCK)
    _, ahead_s, who = min(ahead)  # the nearest: one provider's clock may itself be wrong
    return _clock(who, ahead_s)


def _clock(who: str, ahead_s: float) -> Finding:
    """Make the finding about a clock that is so many seconds ahead of ours."""
    if abs(ahead_s) <= TOLERATED_S:
        return ok("clock", f"agrees with that of {who} within {max(1, round(abs(ahead_s)))} s")
    message = f"this machine's clock is {abs(ahead_s):.0f} s {'behind' if ahead_s > 0 else 'ahead of'} that of {who}"
    return (problem if abs(ahead_s) > LARGEST_S else warning)("clock", message, SET_CLOCK)
