"""Votes in which one model follows the others in the second round: with a point that it names, and without one."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from exai_emulator import Emulator, Persona, ReplyRule
from support.mcp_websocket import McpSocket, mcp_socket

__all__ = ["Follower", "every_follower", "troubles_of"]

MODELS = {"glm": "glm-5.3", "kimi": "kimi-k3"}
SECOND_ROUND = "Other reviewers made these points"
NO_POINT = ("", "the others", "most of them", "P0", "P3", "P99", "p", "P1.5", "P-1", "points P1 and P2")
"""What a model may write that names none of the two points that it was shown."""
POINTS = ("P1", "p2.", "2", " P1 ")


class Follower(msgspec.Struct, frozen=True):
    """Who follows, from what to what, and what it says moved it."""

    provider: str
    options: tuple[str, ...]
    first: str
    others: str
    moved_by: str
    is_moved: bool
    """Whether that names a point."""


def every_follower() -> list[Follower]:
    """List them: each family, each change of a verdict, with and without options, each word for what moved it."""
    return list(_followers())


def _followers() -> Iterator[Follower]:
    for options in ((), ("left", "right", "neither")):
        verdicts = options or ("support", "oppose", "depends")
        for provider, (first, others) in itertools.product(MODELS, itertools.permutations(verdicts, 2)):
            for moved_by in (*NO_POINT, *POINTS):
                yield Follower(provider, options, first, others, moved_by, moved_by in POINTS)


async def troubles_of(address: str, emulator: Emulator, followers: Sequence[Follower]) -> list[str]:
    """Hold a vote with each; return whose votes did not count as they must."""
    found = []
    async with mcp_socket(address) as client:
        for number, each in enumerate(followers):
            emulator.script.clear()
            _script(emulator, each)
            found += [f"{each}: {what}" for what in await _troubles(client, each, number)]
    return found


def _script(emulator: Emulator, follower: Follower) -> None:
    for provider in MODELS:
        follows = provider == follower.provider
        first = follower.first if follows else follower.others
        again = _vote(follower.others, follower.moved_by if follows else "")
        emulator.script.reply(ReplyRule(SECOND_ROUND, Persona("fixed", text=again), provider=provider))
        emulator.script.reply(ReplyRule(".", Persona("fixed", text=_vote(first, "")), provider=provider))


def _vote(verdict: str, moved_by: str) -> str:
    points = ["It is simple.", "It was measured."]
    return json.dumps({"verdict": verdict, "confidence": 6, "points": points, "moved_by": moved_by})


async def _troubles(client: McpSocket, follower: Follower, number: int) -> list[str]:
    options = {"options": list(follower.options)} if follower.options else {}
    result = await client.tool(
        "consensus",
        {"question": f"Which of {number}?", "models": list(MODELS.values()), "arbiter": "none", **options},
    )
    if result["isError"]:
        return [result["content"][0]["text"]]
    votes: dict[str, Any] = {each["model"]: each for each in result["structuredContent"]["votes"]}
    vote = votes[MODELS[follower.provider]]
    counted = follower.others if follower.is_moved else follower.first
    found = [] if vote["verdict"] == counted else [f"counted as {vote['verdict']}"]
    if bool(vote.get("conformed")) == follower.is_moved:
        found.append("marked the wrong way")
    if ("moved_by" in vote) != follower.is_moved:
        found.append(f"moved by {vote.get('moved_by')!r}")
    if result["_meta"]["exai/report"]["rounds"] != 2:
        found.append("there was no second round")
    return found
