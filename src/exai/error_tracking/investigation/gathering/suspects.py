"""The first suspect of a group: the commit that changed its place since the last release without it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from exai.error_tracking.investigation.gathering.places import own_places
from exai.error_tracking.investigation.gathering.sources import (
    OpenSources,
    SourceReader,
    SourceUnavailable,
    commit_names,
)
from exai.storage.error_tracking.rows import GroupRow

__all__ = ["FirstSuspects", "last_good_commit"]

_log = structlog.get_logger(__name__)

WITHIN_S = 3.0
MOST_KEPT = 500


class FirstSuspects:
    """Finds them, and remembers them: neither the releases nor the commits between them change."""

    def __init__(self, open_sources: OpenSources) -> None:
        self._open_sources = open_sources
        self._kept: dict[tuple[str, str], str | None] = {}

    async def of(self, group: GroupRow, body: dict[str, Any], releases: Sequence[str]) -> str | None:
        """Name the commit with its date, subject and file; `None`: none is known.

        Args:
            body: of an occurrence that was kept.
            releases: of the project, in the order of their first sight.
        """
        key = (group.group_id, group.first_release)
        if key not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = await self._found(group, body, releases)
        return self._kept[key]

    async def _found(self, group: GroupRow, body: dict[str, Any], releases: Sequence[str]) -> str | None:
        places = [(each.file, each.line) for each in own_places(body)]
        if not places or group.first_release not in releases[1:]:
            return None
        try:
            async with asyncio.timeout(WITHIN_S), self._open_sources(group.project_id) as reader:
                if reader is None or not reader.repository:
                    return None
                since = await last_good_commit(reader, group.first_release, releases)
                until = await reader.commit_named(commit_names(group.first_release))
                found = await reader.suspects(since[0], until, places) if since else ()
        except (TimeoutError, SourceUnavailable):
            return None
        except Exception:  # noqa: BLE001 - a report goes without it
            _log.warning("the first suspect of a group cannot be found", group=group.number, exc_info=True)
            return None
        first = next((each for each in found if each.is_at_place), None)
        return None if first is None else f"commit {first.commit[:12]}, {first.title}, in {first.path}"


async def last_good_commit(
    reader: SourceReader, first_release: str, releases: Sequence[str]
) -> tuple[str, str] | None:
    """Find the last release before the first with an error whose commit is known; return commit and release."""
    before = releases[: releases.index(first_release)] if first_release in releases else ()
    for release in reversed(before):
        try:
            return await reader.commit_named(commit_names(release)), release
        except SourceUnavailable:
            continue
    return None
