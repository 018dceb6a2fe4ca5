"""The places of a stack that are looked at in sources: own frames, the one of the crash first."""

from typing import Any

import msgspec

__all__ = ["Place", "own_functions", "own_places"]

MOST_PLACES = 6
APART = 12
"""Lines by which two places of a file have to be apart to be two."""


class Place(msgspec.Struct, frozen=True):
    """A line of a file, as it was reported."""

    module: str
    function: str
    file: str
    line: int


def own_places(body: dict[str, Any], most: int = MOST_PLACES) -> list[Place]:
    """List the own frames of an occurrence, the one of the crash first, then its callers, then those of its effects."""
    found: list[Place] = []
    for frame in _own_frames(body):
        if not frame["file"] or frame["line"] < 1:
            continue
        place = Place(frame["module"], frame["function"], frame["file"], frame["line"])
        if not any(each.file == place.file and abs(each.line - place.line) < APART for each in found):
            found.append(place)
        if len(found) == most:
            break
    return found


def own_functions(body: dict[str, Any]) -> list[str]:
    """List the functions of own frames as groups name them, the one of the crash first."""
    return list(dict.fromkeys(f"{each['module']}:{each['function']}" for each in _own_frames(body)))


def _own_frames(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        frame
        for raised in body.get("chain", [])
        for frame in reversed(raised.get("frames", []))
        if frame["own"]
    ]
