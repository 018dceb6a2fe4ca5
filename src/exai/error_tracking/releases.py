"""In which order releases of a project follow one another.

Two that are versions are compared as such; equal versions, and releases that are none, follow in the order in which
they were first seen. An unknown release is the newest.
"""

import re
from collections.abc import Sequence

from exai.storage.error_tracking.rows import ReleaseRow

__all__ = ["is_at_least"]

_VERSION = re.compile(r"(?:[\w.-]+@)?v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-.]?([0-9A-Za-z.-]+))?(?:\+.*)?")
"""Semantic versions, with the name of a package before them as SDKs write it, and those of Python."""


def is_at_least(release: str, least: str, known: Sequence[ReleaseRow]) -> bool:
    """Whether `release` is `least`, or came after it."""
    if release == least or not release:
        return True
    one, other = _version(release), _version(least)
    if one is not None and other is not None and one != other:
        return one > other
    ordinals = {each.release: each.ordinal for each in known}
    newest = len(known) + 1
    return ordinals.get(release, newest) >= ordinals.get(least, newest)


def _version(release: str) -> tuple[tuple[int, int, int], bool, list[tuple[int, int, str]]] | None:
    """Read a version so that it compares as semantic versioning says: a pre-release comes before its release."""
    found = _VERSION.fullmatch(release)
    if found is None:
        return None
    numbers = (int(found[1]), int(found[2]), int(found[3] or 0))
    tail = re.findall(r"\d+|[A-Za-z-]+", found[4] or "")
    return numbers, not tail, [(0, int(each), "") if each.isdigit() else (1, 0, each) for each in tail]
