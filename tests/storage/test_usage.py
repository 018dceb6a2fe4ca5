"""What callers used, added up from real rows."""

from collections.abc import Sequence

from exai.callers import Caller, Door
from exai.costs import Usage as Tokens
from exai.events.requests import Purpose, RequestRecord
from exai.runtime.clock import ManualClock
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.calls.usage import UsageReports
from exai.storage.database import Database
from support.queued_writes import commit_queued
from support.request_records import record

ALICE = Caller(subject="alice", door=Door.WEBSOCKET)
BOB = Caller(subject="idp:bob", door=Door.HTTP)


class Book:
    """A journal that tests write calls into."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock()
        self.usage = UsageReports(database, self.clock)
        self._journal = Journal(database, self.clock)
        self._database = database
        self._calls = 0

    async def call(
        self,
        caller: Caller,
        *,
        model: str | None = "glm-5.3",
        outcome: str | None = "ok",
        tokens: Tokens | None = None,
        cost: float | None = None,
        others: Sequence[RequestRecord] = (),
    ) -> None:
        """One call with one request of `model` in two attempts, or none without a model; `others` come after it."""
        self._calls += 1
        call_id = f"call_{self._calls}"
        await self._journal.begin(CallBegun(call_id, caller, "chat", model, None))
        if outcome is not None:
            asked = record(model or "", tokens, attempts=2, outcome=outcome, cost_usd=cost)
            requests = (*(() if model is None else (asked,)), *others)
            self._journal.end_soon(
                CallEnd(call_id, outcome, None, None, None, None, tokens, cost, {}, requests)
            )
        await commit_queued(self._database)


async def test_calls_tokens_and_cost_add_up_by_caller_and_model(database: Database) -> None:
    book = Book(database)
    await book.call(ALICE, tokens=Tokens(input=10, cached=4, output=5, reasoning=2), cost=0.25)
    await book.call(ALICE, outcome="failed", tokens=Tokens(input=1, output=0), cost=0.5)
    await book.call(ALICE, model="glm-5.3-flashx", tokens=Tokens(input=7, output=3))
    await book.call(BOB, tokens=Tokens(input=100, output=50), cost=0.125)
    await book.call(BOB, model=None, outcome="failed")
    await book.call(BOB, outcome=None)
    report = {(each.caller, each.model): each for each in await book.usage.report(days=1, caller=None)}
    mine = report["alice", "glm-5.3"]
    assert (mine.provider, mine.calls, mine.unanswered, mine.requests, mine.cost_usd) == (
        "glm",
        2,
        1,
        4,
        0.75,
    )
    assert (mine.input_tokens, mine.cached_tokens, mine.output_tokens, mine.reasoning_tokens) == (11, 4, 5, 2)
    assert mine.without_price == 0
    unpriced = report["alice", "glm-5.3-flashx"]
    assert (unpriced.cost_usd, unpriced.without_price) == (0.0, 1)
    assert report["idp:bob", "glm-5.3"].calls == 1
    unchosen = report["idp:bob", None]
    assert (unchosen.provider, unchosen.calls, unchosen.unanswered, unchosen.requests) == (None, 2, 1, 0)


async def test_what_an_emulator_answered_is_a_row_of_its_own(database: Database) -> None:
    book = Book(database)
    emulated = record("glm-5.3", Tokens(input=3, output=1), cost_usd=0.125, number=2, emulated=True)
    await book.call(ALICE, tokens=Tokens(input=10, output=5), cost=0.25, others=[emulated])
    await book.call(ALICE, model=None)
    report = await book.usage.report(days=1, caller=None)
    assert {(each.model, each.emulated): (each.calls, each.cost_usd) for each in report} == {
        ("glm-5.3", False): (1, 0.25),
        ("glm-5.3", True): (1, 0.125),
        (None, False): (1, 0.0),
    }


async def test_a_call_that_asked_two_models_counts_for_each_with_what_each_used(database: Database) -> None:
    book = Book(database)
    kimi = record(
        "kimi-k3", Tokens(input=7, output=3), number=2, provider="kimi", cost_usd=0.5, outcome="answer_broken"
    )
    await book.call(ALICE, tokens=Tokens(input=100, output=50), cost=0.25, others=[kimi])
    await book.call(ALICE, tokens=Tokens(input=1, output=1), cost=0.125)
    first, second = await book.usage.report(days=1, caller="alice")
    assert (first.model, first.calls, first.unanswered, first.requests) == ("kimi-k3", 1, 1, 1)
    assert (first.input_tokens, first.output_tokens, first.cost_usd) == (7, 3, 0.5)
    assert (second.model, second.calls, second.unanswered, second.requests) == ("glm-5.3", 2, 0, 4)
    assert (second.input_tokens, second.output_tokens, second.cost_usd) == (101, 51, 0.375)


async def test_a_call_is_one_however_often_it_asks_a_model_and_counting_is_no_answer(
    database: Database,
) -> None:
    book = Book(database)
    others = [
        record(number=2, usage=Tokens(input=5, output=5), cost_usd=0.5),
        record(number=3, purpose=Purpose.COUNT, outcome="provider_failed"),
        record("web-search", number=4, purpose=Purpose.WEB_SEARCH, cost_usd=0.25),
    ]
    await book.call(ALICE, cost=1.0, others=others)
    rows = {each.model: each for each in await book.usage.report(days=1, caller=None)}
    assert (rows["glm-5.3"].calls, rows["glm-5.3"].unanswered, rows["glm-5.3"].requests) == (1, 0, 4)
    assert (rows["glm-5.3"].cost_usd, rows["glm-5.3"].without_price) == (1.5, 0)
    assert (rows["web-search"].calls, rows["web-search"].cost_usd) == (1, 0.25)


async def test_the_most_expensive_comes_first(database: Database) -> None:
    book = Book(database)
    await book.call(ALICE, cost=0.25)
    await book.call(BOB, cost=0.5)
    assert [each.caller for each in await book.usage.report(days=1, caller=None)] == ["idp:bob", "alice"]


async def test_a_report_is_of_its_time_and_of_its_caller_alone(database: Database) -> None:
    book = Book(database)
    await book.call(ALICE, cost=0.25)
    await book.call(BOB, cost=0.5)
    book.clock.advance(2 * 86_400)
    await book.call(ALICE, cost=1.0)
    assert [(each.caller, each.cost_usd) for each in await book.usage.report(days=1, caller=None)] == [
        ("alice", 1.0)
    ]
    assert [(each.caller, each.cost_usd) for each in await book.usage.report(days=3, caller="alice")] == [
        ("alice", 1.25)
    ]
    assert await book.usage.report(days=3, caller="alice' OR '1'='1") == []
