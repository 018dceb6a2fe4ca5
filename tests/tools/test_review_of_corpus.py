"""A share of the corpus, reviewed by a perfect reader and one that makes findings up; `scripts/bench tools` has all."""

from pathlib import Path

import pytest
from benchmarks.corpus_data import load

from exai_emulator import Emulator
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket
from support.reviewed_corpus import packed_of, recall, review_of

CORPUS = load()
SEEN = ("ledgerbook-d1", "routekit-d4", "feedreader-d5", "ratelimit-d3")


@pytest.mark.parametrize("defect_id", SEEN)
async def test_the_prompt_shows_what_it_takes_to_see_a_defect(defect_id: str) -> None:
    defect = CORPUS.defect(defect_id)
    packed = await packed_of(CORPUS, defect, 8_000)
    assert recall(defect, packed.shown) == 1
    assert packed.tokens <= 8_000


async def test_of_what_is_made_up_nothing_is_shown_and_what_is_true_stays(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    clean = CORPUS.clean[0]
    async with (
        start_in_process(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as client,
    ):
        of_defect = await review_of(client, emulator, CORPUS, CORPUS.defect("ledgerbook-d3"), tmp_path)
        of_clean = await review_of(client, emulator, CORPUS, clean, tmp_path)
    assert of_defect.was_reported
    assert of_defect.has_found
    assert of_defect.false == 0
    assert sum(of_defect.withheld.values()) >= 20
    assert of_clean.findings == []
