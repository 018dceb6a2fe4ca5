"""Older names of tools that tell about the server, and of web search."""

from collections.abc import Mapping
from typing import Any

from exai.errors import BadArguments
from exai.tools.aliases import Alias
from exai.tools.normalizing import is_blank

__all__ = ["SEARCHES", "STATES", "STATES_OF_MODELS"]

LOG_PATH = (
    "Argument 'path': EXAI reads no file of its machine for a caller, and its log is its operator's. Leave it out: "
    "`status` has your own calls, by section errors or by id."
)

RECENCIES = {
    "oneday": "day",
    "oneweek": "week",
    "onemonth": "month",
    "oneyear": "year",
    "nolimit": None,
    "all": None,
}


def _refuse_path(given: Mapping[str, Any]) -> None:
    if not is_blank(given.get("path")):
        raise BadArguments(LOG_PATH)


def _with_our_recency(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name a recency as `search` does."""
    recency = given.get("search_recency_filter")
    if not isinstance(recency, str):
        return given
    return {**given, "search_recency_filter": RECENCIES.get(recency.strip().casefold(), recency)}


STATES = (
    Alias("version"),
    Alias("health", presets={"section": "providers"}, ignored=frozenset({"tail_lines"})),
    Alias("self-check", presets={"section": "doctor"}, ignored=frozenset({"log_lines"})),
    Alias(
        "activity",
        presets={"section": "calls"},
        ignored=frozenset({"lines", "filter", "source", "since", "until", "structured"}),
        check=_refuse_path,
    ),
    Alias(
        "toolcall_log_tail",
        presets={"section": "calls"},
        ignored=frozenset({"n", "path"}),
        check=_refuse_path,
    ),
    Alias(
        "kimi_capture_headers",
        presets={"id": "last"},
        renames={"call_id": "id"},
        ignored=frozenset({"messages", "model", "session_id", "call_key"}),
    ),
)
"""They become `status`. A log is its operator's: what a caller is shown are its own calls."""

STATES_OF_MODELS = (
    Alias("listmodels"),
    Alias("provider_capabilities", ignored=frozenset({"include_tools", "show_advanced", "invalidate_cache"})),
)
"""They become `models`, which is a section of `status`."""

SEARCHES = (
    Alias(
        "glm_web_search",
        renames={
            "search_query": "query",
            "search_recency_filter": "recency",
            "search_domain_filter": "domains",
        },
        presets={"engine": "glm"},
        ignored=frozenset({"search_engine", "request_id", "user_id"}),
        rewrite=_with_our_recency,
    ),
)
"""They become `search`."""
