"""A vote that changes in the second round counts only where it names the point that moved it; in every case."""

from exai_emulator import Emulator
from support.daemon_in_process import StartInProcess
from support.followed_votes import every_follower, troubles_of

SHARE = 13
"""Every so many; `scripts/bench tools` has all. It shares no factor with how the cases repeat."""


async def test_whoever_follows_without_a_point_has_its_first_vote(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    followers = every_follower()[::SHARE]
    assert {each.is_moved for each in followers} == {True, False}
    async with start_in_process() as daemon:
        assert await troubles_of(daemon.mcp_ws, emulator, followers) == []
