"""What a model may ask for beside the bundle: at most six items of a closed list, whose places are checked."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from exai.config import Settings
from exai.error_tracking.investigation.bundle import (
    MENU,
    MOST_ITEMS,
    FurtherItem,
    ItemKind,
    Provenance,
    Subject,
)
from exai.error_tracking.investigation.gathering.facts import occurrence_text, setting_text
from exai.error_tracking.investigation.gathering.filling import Draft, Filling
from exai.error_tracking.investigation.gathering.source_pieces import commit_text
from exai.error_tracking.investigation.gathering.sources import SourceReader, SourceUnavailable
from exai.monitoring.recent.lines import RecentLines
from exai.storage.error_tracking.groups import OccurrenceRow

__all__ = ["Menu"]

MOST_SOURCE_LINES = 120
MOST_LOG_S = 300
MOST_LOG_LINES = 150
_RANGE = re.compile(r"(?P<path>.{1,300}):(?P<first>\d{1,7})-(?P<last>\d{1,7})", re.DOTALL)
_LINE = re.compile(r"(?P<path>.{1,300}):(?P<line>\d{1,7})", re.DOTALL)
_CHANGE = re.compile(r"(?P<commit>[0-9a-f]{7,40})(?::(?P<path>.{1,300}))?", re.DOTALL)
_SECONDS = re.compile(r"(\d{1,3})(?: ?s)?")
_NUMBER = re.compile(r"\d{1,3}")


class Menu:
    """Answers further items about one group."""

    def __init__(
        self,
        subject: Subject,
        commit: str,
        reader: SourceReader | None,
        *,
        occurrences: Sequence[OccurrenceRow],
        settings: Settings,
        lines: RecentLines | None,
        provenance: Provenance,
    ) -> None:
        """`occurrences` are those that are kept, newest first."""
        self._subject = subject
        self._commit = commit
        self._reader = reader
        self._occurrences = occurrences
        self._settings = settings
        self._lines = lines
        self._provenance: Provenance = provenance
        self._answers: Mapping[ItemKind, Callable[[str], Awaitable[Draft]]] = {
            "source": self._source,
            "history": self._history,
            "blame": self._blame,
            "change": self._change,
            "log": self._log,
            "occurrence": self._occurrence,
            "setting": self._setting,
        }

    async def add(self, filling: Filling, items: Sequence[FurtherItem], within_s: float) -> None:
        """Add what is asked for; what cannot be had, or not in time, is named with the reason."""
        until = asyncio.get_running_loop().time() + within_s
        for item in items[MOST_ITEMS:]:
            filling.leave_out(item.kind, item.place[:200], f"Only {MOST_ITEMS} items may be asked for.")
        for item in dict.fromkeys(items[:MOST_ITEMS]):
            try:
                async with asyncio.timeout_at(until):
                    filling.add_further(await self._answers[item.kind](item.place.strip()))
            except TimeoutError:
                filling.leave_out(item.kind, item.place[:200], "The time for gathering was over.")
            except SourceUnavailable as error:
                filling.leave_out(item.kind, item.place[:200], str(error))

    async def _source(self, place: str) -> Draft:
        found = _matched(_RANGE, place, "source")
        first = max(1, int(found["first"]))
        last = min(int(found["last"]), first + MOST_SOURCE_LINES - 1)
        lines = await self._sources().lines(self._commit, found["path"], first, last)
        at = f"at {self._commit[:12]}" if self._commit else "as installed"
        return Draft(
            kind="source",
            place=f"{lines.path}:{lines.first}-{lines.first + len(lines.lines) - 1} {at}",
            text="\n".join(lines.lines),
            provenance=self._provenance,
            path=lines.path,
            first=lines.first,
            commit=self._commit,
        )

    async def _history(self, place: str) -> Draft:
        commits = await self._sources().history(self._need_commit(), place)
        text = "\n".join(f"{each.commit[:12]} {each.title}" for each in commits)
        return Draft(
            kind="history", place=f"commits of {place[:200]}", text=text, provenance=self._provenance
        )

    async def _blame(self, place: str) -> Draft:
        found = _matched(_LINE, place, "blame")
        commit = await self._sources().blame(self._need_commit(), found["path"], int(found["line"]))
        return Draft(
            kind="blame",
            place=f"{commit.path}:{found['line']} is of commit {commit.commit[:12]}",
            text=commit_text(commit),
            provenance=self._provenance,
            commit=commit.commit,
        )

    async def _change(self, place: str) -> Draft:
        found = _matched(_CHANGE, place, "change")
        self._need_commit()
        rows = await self._sources().change(found["commit"], found["path"] or "")
        return Draft(
            kind="change",
            place=f"commit {place[:200]}",
            text="\n".join(rows),
            provenance=self._provenance,
            commit=found["commit"],
        )

    async def _log(self, place: str) -> Draft:
        seconds = int(_matched(_SECONDS, place, "log")[1])
        if self._lines is None:
            raise SourceUnavailable("The process that had it does not remember its log any more.")
        if seconds > MOST_LOG_S:
            raise SourceUnavailable(f"At most {MOST_LOG_S} seconds of the log may be asked for.")
        at, occurrence = self._subject.occurrence.at.timestamp(), self._subject.occurrence
        near = self._lines.around(
            at, seconds, occurrence.call_id, occurrence.incident_id, most=MOST_LOG_LINES
        )
        if not near:
            raise SourceUnavailable(f"No line was written within {seconds} s of it.")
        return Draft(
            kind="log",
            place=f"lines of the log within {seconds} s",
            text="\n".join(near),
            provenance="own",
        )

    async def _occurrence(self, place: str) -> Draft:
        number = int(_matched(_NUMBER, place, "occurrence")[0])
        others = [
            each for each in self._occurrences if each.occurrence_id != self._subject.occurrence.occurrence_id
        ]
        if not 1 <= number <= len(others):
            raise SourceUnavailable(f"{len(others)} further occurrences are kept.")
        chosen = others[number - 1]
        body = msgspec.json.decode(chosen.body, type=dict[str, Any])
        return Draft(
            kind="occurrence",
            place=f"occurrence {chosen.occurrence_id}",
            text=occurrence_text(body, chosen.at, chosen.release),
            provenance=self._provenance,
            occurrence_id=chosen.occurrence_id,
        )

    async def _setting(self, place: str) -> Draft:
        text = setting_text(self._settings, place)
        if text is None:
            raise SourceUnavailable("There is no setting of this name.")
        return Draft(kind="setting", place=f"setting {place}", text=text)

    def _sources(self) -> SourceReader:
        if self._reader is None:
            raise SourceUnavailable("No repository of this program is named in the settings.")
        return self._reader

    def _need_commit(self) -> str:
        if not self._commit:
            raise SourceUnavailable("The commit of its release is not known.")
        return self._commit


def _matched(pattern: re.Pattern[str], place: str, kind: ItemKind) -> re.Match[str]:
    found = pattern.fullmatch(place)
    if found is None:
        raise SourceUnavailable(f"Its place is spelled otherwise: {MENU[kind]}.")
    return found
