"""What share of a prompt a provider had in its cache: second passes of a call, and follow-up questions."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exai_emulator import Emulator, Persona, RequestRecord
from support.every_tool import answering_tools
from support.mcp_websocket import mcp_socket

__all__ = ["LEAST", "cached_shares", "written_workspace"]

FILES = 6
LEAST = 0.7
"""That is aimed at."""
SHORT = Persona("fixed", text="Line 3 adds where it must subtract.")
FIRST, SECOND = "Why is the sum wrong?", "And what of the product?"


def written_workspace(place: Path) -> tuple[Path, tuple[Path, ...]]:
    """Write files that are long beside a question and an answer."""
    folder = place.resolve() / "workspace"
    folder.mkdir()
    files = tuple(folder / f"part_{number}.py" for number in range(FILES))
    for number, file in enumerate(files):
        file.write_text(
            "\n".join(f"def of_{number}_{n}(x):\n    return x * {n} + {number}" for n in range(60))
        )
    return folder, files


async def cached_shares(
    address: str, emulator: Emulator, folder: Path, files: Sequence[Path]
) -> dict[str, float]:
    """Ask every tool that takes files about these, then something else; the shares by tool and occasion."""
    emulator.persona = SHORT
    shares = {}
    async with mcp_socket(address) as client:
        for tool in await answering_tools(client):
            if not tool.takes_files:
                continue
            for provider in ("glm", "kimi"):
                emulator.accounts[provider].cache.clear()
            given = tool.arguments(FIRST, files=tuple(files), folder=folder)
            first, answer = await _asked(client.tool(tool.name, given), emulator)
            if (share := _share(_later(first))) is not None:
                shares[f"{tool.name}, second pass"] = share
            handle = (answer.get("structuredContent") or {}).get("continuation_id")
            if handle is not None and tool.continues:  # what was shown stays in the conversation
                again = {**tool.arguments(SECOND), "continuation_id": handle}
            else:
                again = tool.arguments(SECOND, files=tuple(files), folder=folder)
            second, _ = await _asked(client.tool(tool.name, again), emulator)
            if (share := _share(_firsts(second))) is not None:
                shares[f"{tool.name}, follow-up"] = share
    return shares


async def _asked(call: Any, emulator: Emulator) -> tuple[list[RequestRecord], Mapping[str, Any]]:
    before = len(emulator.log.requests)
    answer = await call
    assert not answer["isError"], json.dumps(answer)
    return [record for record in emulator.log.requests[before:] if record.charged is not None], answer


def _firsts(records: Sequence[RequestRecord]) -> list[RequestRecord]:
    """The first request of each model."""
    return list({record.model: record for record in reversed(records)}.values())


def _later(records: Sequence[RequestRecord]) -> list[RequestRecord]:
    """Those of a model that was asked before in the same call."""
    firsts = _firsts(records)
    return [record for record in records if record not in firsts]


def _share(records: Sequence[RequestRecord]) -> float | None:
    charged = [record.charged for record in records if record.charged is not None]
    if not charged:
        return None
    return round(sum(each.cached for each in charged) / sum(each.prompt for each in charged), 3)
