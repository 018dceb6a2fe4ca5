"""A run whose client, daemon or both are gone before, during or after any of its commits comes to the same."""

from pathlib import Path

import pytest

from exai.storage.database import Database
from support.killed_runs import FORMS, OTHERS, Form, every_kill, troubles_of

SHARE = 7
"""Every so many of the kills on PostgreSQL; `scripts/bench tools` has all."""


@pytest.mark.parametrize("form", FORMS)
async def test_it_comes_to_the_same_and_nothing_that_ended_is_asked_again(
    database: Database, tmp_path: Path, form: Form
) -> None:
    kills = await every_kill(database, tmp_path, form)
    assert len(kills) >= 12 * 8
    share = 1 if database.kind == "sqlite" else SHARE
    assert await troubles_of(database, tmp_path, kills[::share]) == []


SHARE_OF_OTHERS = {"sqlite": 11, "postgresql": 37}
"""Every so many: each starts a process that reads the workspace."""


@pytest.mark.parametrize("form", OTHERS)
async def test_workflows_that_read_a_workspace_come_to_the_same(
    database: Database, tmp_path: Path, form: Form
) -> None:
    kills = await every_kill(database, tmp_path, form)
    assert len(kills) >= 6 * 8
    assert await troubles_of(database, tmp_path, kills[:: SHARE_OF_OTHERS[database.kind]]) == []
