"""Guards: what one caller may use within an hour is never exceeded, by calls side by side nor after a restart."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exai import config
from exai.callers import Caller, Door
from exai.consulting.context import CallContext
from exai.consulting.results import ToolReturn
from exai.errors import BadArguments, ProviderRefused
from exai.runtime.clock import ManualClock
from exai.storage.calls.guarded import Amounts, GuardedCalls, Refused, Reservation
from exai.storage.database import Database
from support.scripted import ScriptedProvider
from support.services import Said, Services, Words, error_facts

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def guarded(**settings: float) -> config.Guards:
    return config.Guards.model_validate(settings)


async def test_calls_side_by_side_get_as_many_as_there_are(database: Database) -> None:
    services = Services(database, ScriptedProvider(), guards=guarded(calls_per_hour=5))
    answers = await asyncio.gather(*(services.call(word=f"{number}") for number in range(20)))
    refused = [error_facts(answer) for answer in answers if answer.is_error]
    assert len(refused) == 15
    assert len(services.provider.asked) == 5
    assert {facts["code"] for facts in refused} == {"hourly_limit"}
    assert all(facts["retryable"] for facts in refused)
    assert all(3_500 < facts["retry_after_s"] <= 3_600 for facts in refused)
    assert "5 of the 5 calls" in refused[0]["message"]
    assert "guards.calls_per_hour" in refused[0]["message"]


async def test_processes_on_one_database_share_a_limit(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    other = await Database.open(database_settings, tmp_path)
    try:
        two = [
            Services(each, ScriptedProvider(), guards=guarded(calls_per_hour=4)) for each in (database, other)
        ]
        calls = [services.call(word=f"{number}") for number in range(6) for services in two]
        answers = await asyncio.gather(*calls)
    finally:
        await other.close()
    assert sum(not answer.is_error for answer in answers) == 4
    assert sum(len(services.provider.asked) for services in two) == 4


async def test_a_restart_forgets_nothing_and_an_hour_does(database: Database) -> None:
    clock = ManualClock()
    before = Services(database, ScriptedProvider(), guards=guarded(calls_per_hour=1), clock=clock)
    assert not (await before.call()).is_error
    clock.advance(600)
    after = Services(database, ScriptedProvider(), guards=guarded(calls_per_hour=1), clock=clock)
    assert error_facts(await after.call())["retry_after_s"] == 3_000
    clock.advance(3_000)
    assert not (await after.call()).is_error


async def test_each_caller_has_its_own(database: Database) -> None:
    services = Services(database, ScriptedProvider(), guards=guarded(calls_per_hour=1))
    other = Caller(subject="other", door=Door.HTTP, scopes=frozenset({"tools:models"}))
    assert not (await services.call()).is_error
    assert not (await services.call(caller=other)).is_error
    assert (await services.call()).is_error


async def test_a_call_that_asked_nothing_does_not_count(database: Database) -> None:
    async def refuse(_: Words, __: CallContext) -> ToolReturn[Said]:
        raise BadArguments("No.")

    services = Services(database, ScriptedProvider(), refuse, guards=guarded(calls_per_hour=1))
    for _ in range(3):
        assert error_facts(await services.call())["code"] == "bad_arguments"


async def test_a_call_that_failed_at_its_provider_counts(database: Database) -> None:
    provider = ScriptedProvider(ProviderRefused("No."))
    services = Services(database, provider, guards=guarded(calls_per_hour=1))
    assert error_facts(await services.call())["code"] == "provider_refused"
    assert error_facts(await services.call())["code"] == "hourly_limit"


async def test_what_running_calls_may_cost_is_reserved_and_settled(database: Database) -> None:
    let_go = asyncio.Event()

    async def wait(_: object) -> str:
        await let_go.wait()
        return "done"

    provider = ScriptedProvider(wait, wait)
    services = Services(database, provider, guards=guarded(usd_per_hour=20, call_usd=10))
    running = [services.start(word="one"), services.start(word="two")]
    while len(provider.asked) < 2:  # noqa: ASYNC110 - the provider has no event for its second call
        await asyncio.sleep(0)
    facts = error_facts(await services.call(word="three"))
    assert facts["code"] == "hourly_limit"
    assert "20.0000 of the 20 USD" in facts["message"]
    let_go.set()
    await asyncio.gather(*running)
    assert not (await services.call(word="four")).is_error, "they cost less than they had reserved"


async def test_seconds_of_models_are_guarded(database: Database) -> None:
    services = Services(database, ScriptedProvider(), guards=guarded(model_s_per_hour=60, call_model_s=60))
    running = [services.start(word=f"{number}") for number in range(2)]
    answers = await asyncio.gather(*running)
    assert sorted(answer.is_error for answer in answers) == [False, True]


@pytest.mark.parametrize(
    ("spent", "limits", "limit", "minutes"),
    [
        ([], Amounts(calls=1), None, 0),
        ([(-30, 0.0, 0.0)], Amounts(calls=1), "calls", 30),
        ([(-50, 0.3, 0.0), (-10, 0.7, 0.0)], Amounts(usd=1.0), "usd", 10),
        ([(-50, 0.05, 0.0), (-10, 0.95, 0.0)], Amounts(usd=1.0), "usd", 50),
        ([(-61, 5.0, 0.0)], Amounts(usd=1.0), None, 0),
        ([(-5, 0.0, 95.0)], Amounts(calls=9, model_s=100), "model_s", 55),
        ([(-40, 0.0, 90.0), (-5, 0.0, 9.0)], Amounts(calls=2, model_s=100), "calls", 20),
    ],
)
async def test_when_a_call_may_begin_again(
    database: Database,
    spent: list[tuple[float, float, float]],
    limits: Amounts,
    limit: str | None,
    minutes: float,
) -> None:
    table = GuardedCalls(database, ManualClock())
    nothing = Amounts()
    for number, (ago, usd, seconds) in enumerate(spent):
        at = NOON + timedelta(minutes=ago)
        assert await table.reserve(Reservation(f"{number}", "me", at, usd, seconds, nothing)) is None
    refused = await table.reserve(Reservation("new", "me", NOON, 0.1, 10.0, limits))
    if limit is None:
        assert refused is None
    else:
        assert isinstance(refused, Refused)
        assert refused.limit == limit
        assert refused.free_at == NOON + timedelta(minutes=minutes)


async def test_one_that_wants_more_than_all_gets_all(database: Database) -> None:
    table = GuardedCalls(database, ManualClock())
    limits = Amounts(usd=1.0)
    assert await table.reserve(Reservation("large", "me", NOON, 5.0, 1.0, limits)) is None
    assert await table.reserve(Reservation("next", "me", NOON, 0.1, 1.0, limits)) is not None
