"""Hours of the journal, added up from real rows."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from exai.callers import Caller, Door
from exai.monitoring.baselines.rollups import MOST_HOURS, Rollups, add_up, histograms_of, latency_of
from exai.monitoring.statistics.quantiles import quantile_of
from exai.runtime.clock import ManualClock
from exai.storage.baselines.calls import JournalReader, Period
from exai.storage.baselines.rollups import RollupTable
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.database import Database
from support.measured_calls import call_row, write_calls
from support.queued_writes import commit_queued

BEGAN = datetime(2026, 11, 29, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
CALL_S = 900.0


class Made:
    """Rollups over a database, at a moment that a test moves."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock(BEGAN.timestamp())
        self.table = RollupTable(database, self.clock)
        self.reader = JournalReader(database)
        self.rollups = Rollups(self.reader, self.table, self.clock, CALL_S)


@pytest.fixture
def made(database: Database) -> Made:
    return Made(database)


async def test_an_hour_is_added_up_once_none_of_its_calls_can_run(made: Made, database: Database) -> None:
    rows = [
        call_row(BEGAN),
        call_row(
            BEGAN + timedelta(minutes=59), outcome="failed", error_code="provider_throttled", cost_usd=None
        ),
        call_row(BEGAN + timedelta(minutes=5), model_used="kimi-k3", provider="kimi", emulated=2),
        call_row(BEGAN + HOUR, tool="think"),
    ]
    await write_calls(database, rows)
    made.clock.advance(3_600 + CALL_S + 59)
    assert await made.rollups.make() == 0
    made.clock.advance(1)
    assert await made.rollups.make() == 1
    glm, kimi = await made.table.between(BEGAN, BEGAN + 24 * HOUR)
    assert (glm.tool, glm.provider, glm.model, glm.calls) == ("chat", "glm", "glm-5.3", 2)
    assert glm.outcomes == '{"failed":1,"ok":1}'
    assert (glm.requests, glm.input_tokens, glm.output_tokens, glm.cost_usd) == (2, 200, 100, 0.01)
    assert (kimi.model, kimi.emulated) == ("kimi-k3", 1)
    assert latency_of([glm, kimi]).count == 2
    assert histograms_of(glm)["first_token_ms"].total == 400.0


async def test_percentiles_of_hours_are_those_of_the_rows(made: Made, database: Database) -> None:
    dice = random.Random(7)
    values = [dice.lognormvariate(6, 1) for _ in range(1_500)]
    await write_calls(
        database,
        [
            call_row(BEGAN + timedelta(seconds=7 * place), stages={"generation_ms": value})
            for place, value in enumerate(values)
        ],
    )
    made.clock.advance(5 * 3_600)
    assert await made.rollups.make() == 4
    rows = await made.table.between(BEGAN, BEGAN + 4 * HOUR)
    whole = latency_of(rows)
    assert whole.count == 1_500
    for share in (0.5, 0.95, 0.99):
        assert whole.quantile(share) == pytest.approx(quantile_of(sorted(values), share).value, rel=0.006)


async def test_made_by_two_or_twice_it_is_the_same(made: Made, database: Database) -> None:
    await write_calls(database, [call_row(BEGAN + timedelta(minutes=place)) for place in range(50)])
    made.clock.advance(2 * 3_600)
    other = Rollups(made.reader, RollupTable(database, made.clock), made.clock, CALL_S)
    assert await made.rollups.make() == 1
    before = await made.table.between(BEGAN, BEGAN + HOUR)
    await other._make(BEGAN)
    assert await made.table.between(BEGAN, BEGAN + HOUR) == before
    assert await other.make() == 0
    async for page in made.reader.pages(Period(BEGAN, BEGAN + HOUR)):
        assert add_up(BEGAN, page) == before


async def test_an_hour_with_a_call_that_got_its_end_later_is_made_again(
    made: Made, database: Database
) -> None:
    journal = Journal(database, made.clock)
    await journal.begin(CallBegun("call_1", Caller(subject="alice", door=Door.HTTP), "chat", "glm-5.3", None))
    made.clock.advance(2 * 3_600)
    assert await made.rollups.make() == 1
    assert await made.table.between(BEGAN, BEGAN + HOUR) == []
    journal.end_soon(CallEnd("call_1", "failed", "x", None, None, None, None, None, {}))
    await commit_queued(database)
    assert await made.rollups.make() == 1
    (row,) = await made.table.between(BEGAN, BEGAN + HOUR)
    assert (row.calls, row.outcomes, row.model, row.provider) == (1, '{"failed":1}', "glm-5.3", "")
    assert await made.rollups.make() == 0


@pytest.mark.sqlite
async def test_a_long_journal_is_caught_up_with_in_several_runs(made: Made, database: Database) -> None:
    await write_calls(database, [call_row(BEGAN), call_row(BEGAN + 99 * HOUR)])
    made.clock.advance(102 * 3_600)
    assert [await made.rollups.make() for _ in range(4)] == [MOST_HOURS, MOST_HOURS, 5, 0]
    assert [row.hour for row in await made.table.between(BEGAN, BEGAN + 200 * HOUR)] == [
        BEGAN,
        BEGAN + 99 * HOUR,
    ]
    made.clock.advance(400 * 86_400 - 50 * 3_600)
    assert await made.table.prune() == 52
    assert len(await made.table.between(BEGAN, BEGAN + 200 * HOUR)) == 1


async def test_without_a_call_there_is_nothing_to_make(made: Made) -> None:
    made.clock.advance(10_000)
    assert await made.rollups.make() == 0
