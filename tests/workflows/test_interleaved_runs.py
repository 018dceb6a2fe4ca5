"""Runs of one owner and of two, interleaved at every request: none has a word of another one."""

from pathlib import Path

import pytest

from exai.storage.database import Database
from support.interleaved_runs import interleave

SCHEDULES = 5
"""A share of those of `scripts/bench tools`."""


@pytest.mark.parametrize("owners", [("anna",), ("anna", "ben")])
async def test_no_run_has_a_word_of_another_one(
    database: Database, tmp_path: Path, owners: tuple[str, ...]
) -> None:
    for seed in range(SCHEDULES):
        assert await interleave(database, tmp_path, owners, seed) == (0, 0), seed
