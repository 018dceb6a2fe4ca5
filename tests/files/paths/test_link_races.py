"""Links swapped while a path is opened, at every way by which a path becomes a stored file."""

import os
from pathlib import Path

import pytest

from exai.cli.stored_files.sources import Source, Unreadable
from exai.storage.database import Database
from support.link_races import INSIDE, OUTSIDE, race
from support.shelves import OpenShelf

pytestmark = pytest.mark.sqlite

ROUNDS = 100


async def test_nothing_outside_is_stored_while_links_are_swapped(database: Database, tmp_path: Path) -> None:
    shelf = OpenShelf(database, tmp_path / "store")
    done, came = await race(tmp_path, shelf, ROUNDS)
    assert done.total() == 4 * ROUNDS
    for way in ("tool", "bridge", "sync"):
        assert came[way] <= {INSIDE}, way
    # What its user names is read as `cp` does, links included, and never a part of one and a part of another.
    assert came["command"] <= {INSIDE, OUTSIDE}


async def test_a_file_of_the_command_line_that_becomes_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (file := tmp_path / "a.txt").write_text("x")
    source = Source(file)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(Unreadable, match="no regular file"):
        await source.sha256()
