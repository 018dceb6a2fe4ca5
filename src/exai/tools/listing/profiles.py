"""Which tools a list has, in which order, and who is shown which list.

Whatever a list leaves out answers all the same: arguments, tools and older names. A profile is what a client pays for
reading, and never what its user may do; that is for scopes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from exai import config
from exai.callers import Caller
from exai.config.calls.tools import ListedFor, Profile
from exai.protocol.schemas import listed_part
from exai.tools.aliases import Alias
from exai.tools.base import Tool
from exai.tools.listing.entries import ToolDescription, described, described_older

__all__ = ["LEAN", "ORDER", "STANDARD", "Listing", "Profiles", "listings_of"]

STANDARD: Profile = "standard"

ORDER = (
    "chat",
    "think",
    "debug",
    "review",
    "plan",
    "analyze",
    "write",
    "consensus",
    "challenge",
    "search",
    "files",
    "status",
)
"""The listed tools as every list has them; others, which an extension may bring, come last."""

LEAN = frozenset({"chat", "debug", "review", "consensus", "files", "status"})
"""What is left of it where each token counts; without schemas of results, which say of themselves what they are."""

Listing = tuple[ToolDescription, ...]


class Profiles:
    """Decides which list a caller is shown. It does not change while the process runs."""

    def __init__(self, settings: config.Tools) -> None:
        self._usual = settings.profile
        self._rules = settings.listed_for
        self.differ = bool(self._rules)
        """Whether one caller's list may be another than the next one's."""

    def of(self, caller: Caller) -> Profile:
        """Return the profile of a caller's list."""
        return next((rule.profile for rule in self._rules if _applies(rule, caller)), self._usual)


def listings_of(tools: Sequence[Tool[Any, Any]]) -> Mapping[Profile, Listing]:
    """Make the list of every profile."""
    listed = sorted((tool for tool in tools if tool.is_listed), key=lambda tool: _place(tool.name))
    made: dict[Profile, Listing] = dict.fromkeys(get_args(Profile), ())
    made["standard"] = tuple(described(tool) for tool in listed)
    made["lean"] = tuple(
        replace(entry, output_schema=None) for entry in made["standard"] if entry.name in LEAN
    )
    made["full"] = tuple(
        replace(entry, input_schema=listed_part(tool.argument_schema, ()))
        for tool, entry in zip(listed, made["standard"], strict=True)
    )
    unlisted = (described(tool) for tool in tools if not tool.is_listed)
    older = (described_older(tool, alias) for tool, alias in _older(tools))
    made["compatible"] = (*made["standard"], *sorted((*unlisted, *older), key=lambda entry: entry.name))
    return made


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _older(tools: Iterable[Tool[Any, Any]]) -> Iterator[tuple[Tool[Any, Any], Alias]]:
    return ((tool, alias) for tool in tools for alias in tool.aliases if alias.answers)


def _applies(rule: ListedFor, caller: Caller) -> bool:
    if rule.client is not None and _client_name(caller) != rule.client.casefold():
        return False
    token = None if caller.credential is None else caller.credential.token_id
    return rule.token is None or rule.token == token


def _client_name(caller: Caller) -> str:
    """Return the name that the caller's client gives itself, without its version."""
    return caller.client.rpartition(" ")[0].casefold()
