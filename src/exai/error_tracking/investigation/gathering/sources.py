"""Sources and history of what failed, as whoever can read them hands them in."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

__all__ = ["OpenSources", "SourceCommit", "SourceLines", "SourceReader", "SourceUnavailable", "commit_names"]

_HASH = re.compile(r"[0-9a-f]{7,40}")


class SourceUnavailable(Exception):
    """What was asked for cannot be read; the message says why, to people."""


class SourceLines(msgspec.Struct, frozen=True):
    """Lines of a file."""

    path: str
    """In the repository, or in the installed package."""
    first: int
    """From 1."""
    lines: tuple[str, ...]


class SourceCommit(msgspec.Struct, frozen=True):
    """A commit that changed a file."""

    commit: str
    title: str
    """Its date, and the first line of its message."""
    path: str
    lines: tuple[str, ...] = ()
    """Of its hunks, each behind its sign."""
    is_at_place: bool = False
    """Whether it wrote or surrounds the lines that failed."""


class SourceReader(Protocol):
    """Reads one repository, or an installed package, which has no commits. What looks like a secret is replaced.

    Each question raises `SourceUnavailable` where it cannot be answered.
    """

    repository: str
    """Its root; empty: an installed package."""

    async def commit_named(self, names: Sequence[str]) -> str:
        """Return the commit of the first name that is known."""
        ...

    async def lines(self, commit: str, path: str, first: int, last: int) -> SourceLines:
        """Read lines of a file at a commit, by a path as it was reported; without a commit as it is installed."""
        ...

    async def suspects(
        self, since: str, until: str, places: Sequence[tuple[str, int]]
    ) -> Sequence[SourceCommit]:
        """List the commits of a range that changed the files of some paths and lines, those at a place first."""
        ...

    async def blame(self, commit: str, path: str, line: int) -> SourceCommit:
        """Return the commit that wrote a line."""
        ...

    async def history(self, commit: str, path: str) -> Sequence[SourceCommit]:
        """List the latest commits that changed a file."""
        ...

    async def change(self, commit: str, path: str) -> Sequence[str]:
        """Show what a commit changed, in a file or in all."""
        ...


OpenSources = Callable[[int], AbstractAsyncContextManager[SourceReader | None]]
"""Opens the sources of a project by its number; `None` where none are known."""


def commit_names(release: str) -> list[str]:
    """List by what the commit of a release may be found: the hash that it has, else tags of its version."""
    version, _, build = release.partition("+")
    commit = build.removesuffix("-dirty")
    if _HASH.fullmatch(commit):
        return [commit]
    bare = version.rpartition("@")[2]
    if _HASH.fullmatch(bare):
        return [bare]
    return [each for each in dict.fromkeys((version, bare, f"v{bare}")) if each.strip("v")]
