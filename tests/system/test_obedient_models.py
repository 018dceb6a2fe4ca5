"""A model that obeys what it reads: no tool of EXAI lets it read, write or reach what the caller did not ask for."""

import json
from pathlib import Path

import pytest
from benchmarks.corpus_data import load

from exai_emulator import Emulator
from support.daemon_in_process import StartInProcess
from support.obedient_models import effects_of, prepare

pytestmark = pytest.mark.virtual_time


async def test_nothing_comes_of_what_a_text_tells_a_model(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    corpus = load()
    injections = [each for each in corpus.injections if not corpus.is_held_out(each)][
        :: len(corpus.injections) // 2
    ]
    folder = prepare(tmp_path)
    async with start_in_process(EXAI_FILES__ROOTS=json.dumps([str(folder)])) as daemon:
        assert await effects_of(daemon.mcp_ws, emulator, folder, corpus, injections) == []
