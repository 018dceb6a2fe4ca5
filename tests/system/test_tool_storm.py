"""Every answering tool under clients that leave, time-outs and failing providers: nothing of it is left."""

import json
from pathlib import Path

import pytest

from exai_emulator import Emulator
from support.daemon_in_process import StartInProcess
from support.tool_storm import STORM_ENVIRON, Storm

pytestmark = pytest.mark.virtual_time

CALLS = 60
"""A share of those of `scripts/bench tools`."""


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_permit_every_task_and_every_row_has_its_end(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path, seed: int
) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "sums.py").write_text("def add(one, other):\n    return one - other\n")
    environ = {**STORM_ENVIRON, "EXAI_FILES__ROOTS": json.dumps([str(folder)])}
    async with start_in_process(**environ) as daemon:
        storm = Storm(daemon, emulator, [folder / "sums.py"], folder, seed)
        remains = await storm.run(CALLS, clients=8)
    assert remains.faults == []
    assert remains.ends.keys() >= {"ok", "cancelled", "vanished"}, remains.ends
