"""Estimates are corrected by what providers counted, and what was learnt is kept."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai import config
from exai.conversations.token_counts import LEAST_TOKENS, STORE_EVERY_S, TokenCounts
from exai.runtime.clock import ManualClock
from exai.storage.conversations.calibrations import Calibration, CalibrationTable
from exai.storage.database import Database


async def test_estimates_come_nearer_with_every_count(database: Database) -> None:
    counts = await TokenCounts.open(CalibrationTable(database), ManualClock())
    assert (counts.of("m"), counts.factor("m")) == (None, 1.0)
    errors = []
    for _ in range(30):
        errors.append(abs(2_000 * counts.factor("m") - 2_600) / 2_600)
        counts.learn("m", estimated=2_000, reported=2_600)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01
    known = counts.of("m")
    assert known is not None
    assert known.samples == 30
    assert 0 < (known.mean_error or 0) < errors[0]
    assert counts.factor("another") == 1.0


async def test_a_change_of_the_tokenizer_is_followed_and_shown_as_error(database: Database) -> None:
    counts = await TokenCounts.open(CalibrationTable(database), ManualClock())
    for _ in range(200):
        counts.learn("m", estimated=5_000, reported=5_000)
    steady = counts.of("m")
    assert steady is not None
    assert steady.mean_error == pytest.approx(0, abs=1e-9)
    counts.learn("m", estimated=5_000, reported=10_000)
    assert (counts.of("m") or steady).mean_error > 0  # type: ignore[operator]
    for _ in range(200):
        counts.learn("m", estimated=5_000, reported=10_000)
    assert counts.factor("m") == pytest.approx(2, rel=0.02)


async def test_short_prompts_and_silence_teach_nothing(database: Database) -> None:
    counts = await TokenCounts.open(CalibrationTable(database), ManualClock())
    counts.learn("m", estimated=LEAST_TOKENS - 1, reported=5_000)
    counts.learn("m", estimated=5_000, reported=0)
    assert counts.of("m") is None


async def test_calibrations_are_stored_in_groups_and_loaded_by_the_next_run(
    database_settings: config.Database, tmp_path: Path
) -> None:
    clock = ManualClock()
    first = await Database.open(database_settings, tmp_path)
    counts = await TokenCounts.open(CalibrationTable(first), clock)
    for reported in (1_300, 1_250, 1_280):
        counts.learn("m", estimated=1_000, reported=reported)
    assert (await TokenCounts.open(CalibrationTable(first), clock)).of("m") is None, (
        "nothing is written per call"
    )
    clock.advance(STORE_EVERY_S)
    counts.learn("n", estimated=1_000, reported=900)
    counts.learn("m", estimated=1_000, reported=1_270)
    counts.store_soon()
    await first.close()

    second = await Database.open(database_settings, tmp_path)
    again = await TokenCounts.open(CalibrationTable(second), clock)
    for model in ("m", "n"):
        known, before = again.of(model), counts.of(model)
        assert known is not None
        assert before is not None
        assert known.samples == before.samples
        assert known.factor == pytest.approx(before.factor)
        assert known.mean_error == pytest.approx(before.mean_error)
    await second.close()


async def test_two_daemons_add_to_one_row(database_settings: config.Database, tmp_path: Path) -> None:
    clock = ManualClock()
    database = await Database.open(database_settings, tmp_path)
    table = CalibrationTable(database)
    one, other = await TokenCounts.open(table, clock), await TokenCounts.open(table, clock)
    for counts, reported in ((one, 1_200), (other, 1_400)):
        for _ in range(10):
            counts.learn("m", estimated=1_000, reported=reported)
        counts.store_soon()
    await database.close()
    database = await Database.open(database_settings, tmp_path)
    known = (await TokenCounts.open(CalibrationTable(database), clock)).of("m")
    await database.close()
    assert known is not None
    assert known.samples == 20
    assert 1.2 < known.factor < 1.4


OBSERVED = st.builds(
    Calibration,
    samples=st.just(1),
    estimated=st.floats(LEAST_TOKENS, 1e6),
    reported=st.floats(1, 1e6),
    error=st.floats(0, 10),
    weight=st.just(1.0),
)


@given(st.lists(OBSERVED, min_size=1, max_size=8), st.integers(0, 8))
def test_it_does_not_matter_in_which_groups_observations_are_stored(
    observed: list[Calibration], cut: int
) -> None:
    def summed(some: list[Calibration]) -> Calibration:
        total = Calibration()
        for each in some:
            total = total.then(each)
        return total

    together, apart = summed(observed), summed(observed[:cut]).then(summed(observed[cut:]))
    assert apart.samples == together.samples
    for name in ("estimated", "reported", "error", "weight"):
        assert getattr(apart, name) == pytest.approx(getattr(together, name))
    assert 0.25 <= together.factor <= 4
    assert (together.mean_error or 0) >= 0
