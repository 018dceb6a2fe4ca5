"""After a storm every object at a provider has its row and every row its object, and nothing is left after deletion."""

from pathlib import Path

import pytest

from exai_emulator import EmulatorOptions, running
from support.copies_storm import run_copies_storm


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_storm_leaves_no_object_without_a_row_and_no_row_without_an_object(
    seed: int, tmp_path: Path
) -> None:
    async with running(EmulatorOptions()) as emulator:
        result = await run_copies_storm(emulator, tmp_path / "data", seed, 100)
    assert result.unforeseen == []
    assert (result.objects_without_row, result.rows_without_object) == (0, 0)
    assert (result.objects_after_deletion, result.contents_after_deletion) == (0, 0)
    assert result.done["send"] > 10
    assert result.faults, "the providers failed"
