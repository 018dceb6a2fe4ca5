"""Samples by the minute: mean, highest, and how long a limit was reached."""

from datetime import UTC, datetime, timedelta

from exai.monitoring.minute_samples import MinuteSamples, Reading
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.error_tracking.sample_table import SampleRow, SampleTable
from support.waiting import wait_until

BEGAN = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


async def test_a_minute_is_added_up() -> None:
    clock = ManualClock(wall=BEGAN.timestamp())
    kept: list[SampleRow] = []
    value = 0.0
    seconds: list[float] = []
    samples = MinuteSamples(
        clock,
        lambda: [Reading("in use", value, 4)],
        kept.extend,
        lambda wall, readings: seconds.append(wall + readings[0].value),
    )
    for second in range(90):
        value = float(second % 5)
        await samples.tick()
        clock.advance(1)
    samples.flush()
    assert kept == [
        SampleRow(BEGAN, "in use", 2.0, 4.0, 0.2),
        SampleRow(BEGAN.replace(minute=1), "in use", 2.0, 4.0, 0.2),
    ]
    assert seconds[:6] == [BEGAN.timestamp() + offset for offset in (0, 2, 4, 6, 8, 5)]


async def test_what_is_urgent_is_kept_before_its_minute_is_over() -> None:
    clock = ManualClock(wall=BEGAN.timestamp())
    kept: list[SampleRow] = []
    lags = iter([5.0, 8_000.0, 5.0])
    samples = MinuteSamples(
        clock,
        lambda: [Reading("loop_lag_ms", lag := next(lags), urgent=lag > 1_000)],
        kept.extend,
        lambda *_: None,
    )
    for _ in range(3):
        await samples.tick()
        clock.advance(1)
    assert kept == [SampleRow(BEGAN, "loop_lag_ms", 4_002.5, 8_000.0, 0.0)]
    samples.flush()
    assert kept[1:] == [SampleRow(BEGAN, "loop_lag_ms", 2_670.0, 8_000.0, 0.0)]


async def test_samples_are_kept_by_process_and_minute(database: Database) -> None:
    table = SampleTable(database)
    row = SampleRow(BEGAN, "loop_lag_ms", 1.0, 5.0, 0.0)
    later = SampleRow(BEGAN, "loop_lag_ms", 2.0, 9.0, 0.0)
    for rows in ([row], [later]):
        table.keep_soon(rows)
    moment = BEGAN.replace(second=30)

    async def replaced() -> bool:
        return await table.at(database.run_id, moment) == [later]

    await wait_until(replaced, what="the later samples are kept")
    assert await table.at(database.run_id, BEGAN - timedelta(seconds=1)) == [later], "what it suffered from"
    assert await table.at(database.run_id, BEGAN - timedelta(seconds=3)) == []
    assert await table.at("run_another", moment) == []
