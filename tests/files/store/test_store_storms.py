"""Two processes put, remove and collect the same few contents: a share of what `scripts/bench files-storm` runs."""

from pathlib import Path

import pytest

from exai import config
from exai.storage.database import Database
from support.store_storm import StormOrder, audit_storm, run_storm


@pytest.mark.timeout(300)
async def test_references_are_what_two_processes_have_put_and_not_removed(tmp_path: Path) -> None:
    await (await Database.open(config.Database(), tmp_path)).close()
    orders = [StormOrder(str(tmp_path), seed, operations=300, equal_uploads=25) for seed in (1, 2)]
    results = await run_storm(orders)
    assert await audit_storm(tmp_path, results) == []
    for result in results:
        assert result["counts"]["put"] > 50
        assert result["counts"]["removed"] > 50
        assert result["counts"]["collected"] > 0
