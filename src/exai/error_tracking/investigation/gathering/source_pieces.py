"""Pieces of sources and history for the frames of an occurrence, at the commit of its release."""

from collections.abc import Sequence
from typing import Any

from exai.error_tracking.investigation.bundle import Provenance, Subject
from exai.error_tracking.investigation.gathering.filling import Draft
from exai.error_tracking.investigation.gathering.places import Place, own_places
from exai.error_tracking.investigation.gathering.sources import (
    SourceCommit,
    SourceReader,
    SourceUnavailable,
    commit_names,
)
from exai.error_tracking.investigation.gathering.suspects import last_good_commit

__all__ = ["AROUND", "SourcePieces", "commit_text"]

AROUND = 12
"""Lines before and behind the line of a frame."""
KINDS = ("source", "history", "blame")


class SourcePieces:
    """Collects drafts as they are read, so that those that are there stay when the time is over."""

    def __init__(self, subject: Subject, body: dict[str, Any], *, provenance: Provenance) -> None:
        self._subject = subject
        self._places = own_places(body)
        self._provenance: Provenance = provenance
        self.drafts: list[Draft] = []
        self.left_out: list[tuple[str, str, str]] = []
        self.repository = ""
        """Root of the repository that was read; empty: none."""
        self.commit = ""
        self.suspects: Sequence[SourceCommit] = ()

    async def read(self, reader: SourceReader | None, releases: Sequence[str]) -> None:
        """Read what the frames name.

        Args:
            releases: of the project, in the order of their first sight.

        Raises:
            SourceUnavailable: nothing of the rest can be read.
        """
        if not self._places:
            raise SourceUnavailable(
                "Its stack has no frame of the project's own code with a file and a line."
            )
        if reader is None:
            raise SourceUnavailable("No repository of this program is named in the settings.")
        if reader.repository:
            self.commit = await reader.commit_named(commit_names(self._subject.release))
            self.repository = reader.repository
        for number, place in enumerate(self._places):
            await self._source(reader, place, is_crash=number == 0)
        if not self.commit:
            raise SourceUnavailable("The installed package has no history, and no repository is named.")
        await self._history(reader, releases)
        await self._blame(reader, self._places[0])

    def leave_out_the_rest(self, reason: str) -> None:
        """Name what was not read."""
        known = {draft.kind for draft in self.drafts} | {kind for kind, *_ in self.left_out}
        named = {
            "source": "of the frames",
            "history": "of these files",
            "blame": "of the line",
        }
        self.left_out += [(kind, named[kind], reason) for kind in KINDS if kind not in known]

    async def _source(self, reader: SourceReader, place: Place, *, is_crash: bool) -> None:
        first = max(1, place.line - AROUND)
        named = f"{place.file}:{place.line}"
        try:
            found = await reader.lines(self.commit, place.file, first, place.line + AROUND)
        except SourceUnavailable as error:
            self.left_out.append(("source", named, str(error)))
            return
        last = found.first + len(found.lines) - 1
        at = f"at {self.commit[:12]}" if self.commit else "as installed"
        modified = ", which was modified" if self._subject.release.endswith("-dirty") else ""
        self.drafts.append(
            Draft(
                kind="source",
                place=f"{found.path}:{found.first}-{last} {at}{modified}; frame {place.function}, line {place.line}",
                text="\n".join(found.lines),
                provenance=self._provenance,
                path=found.path,
                first=found.first,
                commit=self.commit,
                is_failing_place=is_crash,
            )
        )

    async def _history(self, reader: SourceReader, releases: Sequence[str]) -> None:
        good = await last_good_commit(reader, self._subject.group.first_release, releases)
        since, told = ("", "up to its release") if good is None else (good[0], f"since release {good[1]}")
        places = [(place.file, place.line) for place in self._places]
        self.suspects = await reader.suspects(since, self.commit, places)
        if not self.suspects:
            self.left_out.append(("history", f"commits {told}", "None changed these files."))
        for each in self.suspects:
            at_place = "; at the place" if each.is_at_place else ""
            self.drafts.append(
                Draft(
                    kind="history",
                    place=f"commit {each.commit[:12]} {told}, {each.path}{at_place}",
                    text=commit_text(each),
                    provenance=self._provenance,
                    commit=each.commit,
                )
            )

    async def _blame(self, reader: SourceReader, place: Place) -> None:
        try:
            found = await reader.blame(self.commit, place.file, place.line)
        except SourceUnavailable as error:
            self.left_out.append(("blame", f"{place.file}:{place.line}", str(error)))
            return
        self.drafts.append(
            Draft(
                kind="blame",
                place=f"{found.path}:{place.line} is of commit {found.commit[:12]}",
                text=commit_text(found),
                provenance=self._provenance,
                commit=found.commit,
            )
        )


def commit_text(commit: SourceCommit) -> str:
    """Tell a commit, and what it did to the file."""
    return "\n".join((f"commit {commit.commit}", commit.title, f"file {commit.path}", *commit.lines))
