"""What `exai baseline load` sends: a TOML file with questions, and, for rehearsals, times at which EXAI is away.

[[ask]]
tool = "chat"
weight = 3
arguments = { model = "glm-5.3-flash", prompt = "What is a heron?" }

[[away]]
after = "6h"
lasts = "2h"
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from exai.errors import StartFault

__all__ = ["Ask", "Away", "Scenario", "read_scenario"]

MOST_BYTES = 2**20


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that is sent again and again, each time with a number of its own in the prompt."""

    tool: str
    arguments: dict[str, Any]
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Away(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time at which the daemon of a rehearsal is stopped; 0s is a restart."""

    after: str
    lasts: str


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    ask: Annotated[list[Ask], msgspec.Meta(min_length=1)]
    away: list[Away] = []


def read_scenario(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        StartFault: the file cannot be read, or is none.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise StartFault(
                f"{path} is larger than 1 MiB; a scenario is a few lines (docs/baselines.md has one)."
            )
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(found, Scenario)
    except OSError as error:
        raise StartFault(f"{path} cannot be read: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise StartFault(f"{path} is no scenario: {error}. docs/baselines.md has an example.") from None
