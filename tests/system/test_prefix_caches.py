"""Second passes and follow-up questions begin with what the provider has read already."""

import json
from pathlib import Path

import pytest

from exai_emulator import Emulator
from support.cached_shares import LEAST, cached_shares, written_workspace
from support.daemon_in_process import StartInProcess

pytestmark = pytest.mark.virtual_time

HELD = (
    "think, second pass",
    "debug, second pass",
    "write, second pass",
    "consensus, second pass",
    "chat, follow-up",
    "think, follow-up",
    "plan, follow-up",
    "debug, follow-up",
    "analyze, follow-up",
    "write, follow-up",
    "consensus, follow-up",
)
"""`scripts/bench tools` measures what else there is."""


async def test_most_of_a_second_prompt_is_in_the_cache(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    folder, files = written_workspace(tmp_path)
    async with start_in_process(EXAI_FILES__ROOTS=json.dumps([str(folder)])) as daemon:
        shares = await cached_shares(daemon.mcp_ws, emulator, folder, files)
    assert {what: shares.get(what, 0.0) for what in HELD if shares.get(what, 0.0) < LEAST} == {}
