"""Purses: a caller with a budget asks nothing that was not granted, never twice, and is charged what it cost."""

import asyncio

import pytest

from exai.callers import Caller, Door
from exai.dispatch.purses import Purse
from exai.errors import ProviderOverloaded
from exai.storage.calls.budgets import Limit
from exai.storage.database import Database
from support.queued_writes import commit_queued
from support.scripted import ScriptedProvider
from support.services import CALLER, Services, error_facts

OWN = Caller("exai:auditor", Door.WEBSOCKET, scopes=frozenset({"*"}))


def with_purse(
    database: Database, provider: ScriptedProvider, *limits: Limit, request_usd: float = 0.01
) -> Services:
    purse = Purse("auditor", "auditor.mode", request_usd, limits)
    return Services(database, provider, purses={OWN.subject: purse})


async def test_only_what_is_granted_is_sent(database: Database) -> None:
    services = with_purse(database, ScriptedProvider(), Limit(3_600.0, requests=2))
    answers = await asyncio.gather(*(services.call(word=f"{n}", caller=OWN) for n in range(6)))
    refused = [error_facts(answer) for answer in answers if answer.is_error]
    assert len(services.provider.asked) == 2
    assert [facts["code"] for facts in refused] == ["budget_spent"] * 4
    assert all(3_500 < facts["retry_after_s"] <= 3_600 for facts in refused)
    assert "2 requests within 1 h (`auditor.mode`)" in refused[0]["message"]


@pytest.mark.sqlite
async def test_other_callers_are_not_bounded(database: Database) -> None:
    services = with_purse(database, ScriptedProvider(), Limit(3_600.0, requests=0))
    assert not (await services.call(caller=CALLER)).is_error
    assert (await services.call(caller=OWN)).is_error


@pytest.mark.sqlite
async def test_a_failure_that_would_pass_is_not_asked_again(database: Database) -> None:
    provider = ScriptedProvider(ProviderOverloaded("Busy.", retry_after_s=0.01))
    services = with_purse(database, provider, Limit(3_600.0, requests=9))
    assert error_facts(await services.call(caller=OWN))["code"] == "provider_overloaded"
    assert len(provider.asked) == 1


@pytest.mark.sqlite
async def test_what_a_request_cost_takes_the_place_of_what_it_reserved(database: Database) -> None:
    services = with_purse(database, ScriptedProvider(), Limit(86_400.0, usd=20.0), request_usd=15.0)
    assert not (await services.call(caller=OWN, word="one")).is_error
    await commit_queued(database)
    assert not (await services.call(caller=OWN, word="two")).is_error, (
        "the first cost less than it had reserved"
    )


@pytest.mark.sqlite
async def test_a_request_that_died_keeps_what_it_had_reserved(database: Database) -> None:
    asked = asyncio.Event()

    async def hang(_: object) -> str:
        asked.set()
        await asyncio.Event().wait()
        return "never"

    services = with_purse(database, ScriptedProvider(hang), Limit(86_400.0, usd=0.02), request_usd=0.02)
    running = services.start(caller=OWN)
    await asked.wait()
    facts = error_facts(await services.call(caller=OWN))
    assert facts["code"] == "budget_spent"
    assert "0.02 USD within 24 h" in facts["message"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
