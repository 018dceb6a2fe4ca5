"""What callers used, added up from real rows."""

from exai.callers import Caller, Door
from exai.costs import Usage as Tokens
from exai.runtime.clock import ManualClock
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.calls.usage import UsageReports
from exai.storage.database import Database
from support.queued_writes import commit_queued

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
    ) -> None:
        self._calls += 1
        call_id = f"call_{self._calls}"
        await self._journal.begin(CallBegun(call_id, caller, "chat", model, None))
        if outcome is not None:
            provider = None if model is None else "glm"
            self._journal.end_soon(
                CallEnd(call_id, outcome, None, model, provider, None, tokens, cost, {}, 2)
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
    assert (unchosen.provider, unchosen.calls, unchosen.unanswered, unchosen.requests) == (None, 2, 1, 2)


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
