"""Writes what each list of tools costs a client into `docs/tools.md`: `python -m checks.prices`.

Run it after a change of a tool's name, description, arguments or results, and after `checks.opening`.
"""

import json
from pathlib import Path
from typing import Any, get_args

from checks.opening import unserved_registry
from exai.config.calls.tools import Profile
from exai.conversations.estimates import estimate_tokens
from exai.tools.listing.entries import ToolDescription

__all__ = ["BEGIN", "END", "MANUAL", "as_listed", "price_of", "table"]

MANUAL = Path(__file__).parents[1] / "docs" / "tools.md"
BEGIN, END = "<!-- prices: written by checks/prices.py -->\n", "<!-- end of prices -->\n"

MEANINGS = {
    "lean": "the tools that agents call most",
    "standard": "every tool, with the arguments that an agent needs; the default",
    "full": "every tool, with all of its arguments",
    "compatible": "`standard`, and the older names with the arguments that they had",
}


def as_listed(tool: ToolDescription) -> dict[str, Any]:
    """Return an entry as a client receives it."""
    entry = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "annotations": tool.annotations,
        "_meta": tool.meta,
    }
    return {name: value for name, value in entry.items() if value is not None}


def price_of(*tools: ToolDescription) -> tuple[int, int]:
    """Return the characters of a list, or of some entries of one, and the tokens of what a model reads of it."""
    listed = [as_listed(tool) for tool in tools]
    read = [{name: value for name, value in entry.items() if name != "_meta"} for entry in listed]
    return len(_as_sent(listed)), estimate_tokens(_as_sent(read))


def _as_sent(listed: list[dict[str, Any]]) -> str:
    return json.dumps(listed, ensure_ascii=False, separators=(",", ":"))


def table() -> str:
    """Render the prices of the lists, and of each tool of the default one."""
    registry = unserved_registry()
    lines = ["| list | entries | characters | tokens | has |", "|---|---|---|---|---|"]
    for profile in get_args(Profile):
        listing = registry.listing_of(profile)
        characters, tokens = price_of(*listing)
        lines.append(f"| `{profile}` | {len(listing)} | {characters:,} | {tokens:,} | {MEANINGS[profile]} |")
    each = ", ".join(f"`{tool.name}` {price_of(tool)[1]}" for tool in registry.listing)
    return "\n".join([*lines, "", f"Tokens of each entry of `standard`: {each}.", ""])


def main() -> None:
    """Put the table in the place of the one that is there."""
    text = MANUAL.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    MANUAL.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
