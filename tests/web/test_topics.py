"""Topics of the feed: made once for all who want them, never too large, and kept when they cannot be made."""

import asyncio
import json
from typing import Any

import pytest

from exai.errors import StoreFailed
from exai.runtime.clock import ManualClock
from exai.web.topics import FRAME_BYTES, LEAST_S, Topic, Topics


class Source:
    """What a topic shows."""

    def __init__(self) -> None:
        self.made = 0
        self.rows: list[str] = []
        self.fails = False

    async def make(self, share: float) -> dict[str, Any]:
        self.made += 1
        await asyncio.sleep(0)
        if self.fails:
            raise StoreFailed("The database is away.")
        return {"rows": self.rows[: max(1, int(len(self.rows) * share))]}


def topics_of(source: Source) -> tuple[Topics, ManualClock]:
    clock = ManualClock()
    return Topics([Topic("one", source.make)], clock), clock


async def test_many_who_ask_at_once_and_soon_after_share_one_document() -> None:
    source = Source()
    topics, clock = topics_of(source)
    states = await asyncio.gather(*(topics.current("one") for _ in range(50)))
    assert (source.made, {state.seq for state in states}) == (1, {1})
    await topics.current("one")
    assert source.made == 1
    clock.advance(LEAST_S)
    assert (await topics.current("one")).seq == 1, "what did not change has the number that it had"
    source.rows = ["new"]
    clock.advance(LEAST_S)
    assert (await topics.current("one")).seq == 2
    assert source.made == 3


async def test_a_document_is_cut_until_it_fits_says_so_and_grows_again() -> None:
    source = Source()
    topics, clock = topics_of(source)
    source.rows = ["x" * 1_000] * 300
    state = await topics.current("one")
    assert len(state.frame.encode()) <= FRAME_BYTES
    shown = json.loads(state.frame)["full"]
    assert (shown["cut"], 30 <= len(shown["rows"]) < 64) == (True, True)
    source.rows = ["short"] * 8
    for _ in range(8):
        clock.advance(LEAST_S)
        state = await topics.current("one")
    assert json.loads(state.frame)["full"] == {"rows": ["short"] * 8}


async def test_what_can_not_fit_at_all_is_said_and_not_sent() -> None:
    source = Source()
    topics, _ = topics_of(source)
    source.rows = ["x" * 100_000]
    assert json.loads((await topics.current("one")).frame)["full"] == {"cut": True, "too_large": True}


async def test_a_topic_that_cannot_be_made_keeps_its_state_and_is_tried_again_later() -> None:
    source = Source()
    topics, clock = topics_of(source)
    await topics.refresh(["one"])
    source.fails = True
    clock.advance(LEAST_S)
    await topics.refresh(["one"])
    state = topics.newest("one")
    assert state is not None
    assert state.seq == 1
    await topics.refresh(["one"])
    assert source.made == 2, "not at once"
    clock.advance(10)
    with pytest.raises(StoreFailed):
        await topics.current("one")
