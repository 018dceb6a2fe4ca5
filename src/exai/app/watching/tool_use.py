"""Builds what reports on the use of tools."""

import json
from collections.abc import Collection, Mapping

from exai.config import Settings
from exai.conversations.estimates import estimate_tokens
from exai.monitoring.tool_use.reading import ToolReports
from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.tools.listing.profiles import LEAN
from exai.transports.opening import RECORDING

__all__ = ["listed_tokens", "tool_reports_of"]


def tool_reports_of(settings: Settings, database: Database, clock: Clock) -> ToolReports:
    """Build it over a database, as commands use it beside a daemon."""
    return ToolReports(database, clock, listed_tokens(settings.tools.hidden), LEAN)


def listed_tokens(hidden: Collection[str] = ()) -> Mapping[str, int]:
    """Count what a model reads of each entry of the usual list."""
    listed = json.loads(RECORDING.read_bytes())["tools/list"]["tools"]
    return {
        entry["name"]: estimate_tokens(json.dumps(_read(entry), ensure_ascii=False, separators=(",", ":")))
        for entry in listed
        if entry["name"] not in hidden
    }


def _read(entry: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in entry.items() if name != "_meta"}
