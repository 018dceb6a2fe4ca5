"""A decision on a group as callers write it, the same over HTTP and for agents."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec

from exai.error_tracking.console import Console, GroupLine
from exai.error_tracking.states import archive, reopen, resolve
from exai.errors import BadArguments
from exai.storage.error_tracking.rows import Change, GroupRow

__all__ = [
    "LONGEST_NOTE",
    "LONGEST_RELEASE",
    "MOST_TIMES",
    "Days",
    "Decision",
    "DecisionKind",
    "Fingerprint",
    "Note",
    "OneOrMore",
    "Others",
    "Release",
    "number_of",
]

DecisionKind = Literal["resolve", "archive", "reopen", "merge", "split"]
MOST_TIMES = 10**9
LONGEST_NOTE = 2_000
OneOrMore = Annotated[int, msgspec.Meta(ge=1, le=MOST_TIMES)]
Note = Annotated[str, msgspec.Meta(max_length=LONGEST_NOTE)]
LONGEST_RELEASE = 200
Release = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_RELEASE)]
Days = Annotated[float, msgspec.Meta(gt=0, le=3_650)]
Others = Annotated[list[str], msgspec.Meta(max_length=100)]
Fingerprint = Annotated[str, msgspec.Meta(max_length=64)]


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody decides."""

    decision: DecisionKind
    version: OneOrMore | None = None
    """That was looked at; another one is refused."""
    note: Note = ""
    release: Release | None = None
    """Of `resolve`: it comes back from this release on; `next`: from the first that is seen after now."""
    days: Days | None = None
    more: OneOrMore | None = None
    hourly: OneOrMore | None = None
    """Of `archive`: until then; whichever comes first."""
    groups: Others = []
    """Of `merge`: those that become part of it."""
    fingerprint: Fingerprint = ""
    """Of `split`: its first digits."""

    async def on(self, console: Console, number: int, actor: str) -> GroupLine:
        """Decide on a group; return it as it is now.

        Raises:
            UnknownGroup: there is no such group, or none to merge or split.
            DecisionRefused: its state does not allow it, or it was changed since `version`.
            StoreFailed: nothing was changed.
        """
        if self.decision == "merge":
            others = list(map(number_of, self.groups))
            return await console.merge(number, others, actor=actor, note=self.note, version=self.version)
        if self.decision == "split":
            return await console.split(
                number, self.fingerprint, actor=actor, note=self.note, version=self.version
            )
        return await console.decide(number, self._change, version=self.version, actor=actor, note=self.note)

    def _change(self, group: GroupRow) -> Change:
        now = datetime.now(UTC)
        if self.decision == "resolve":
            return resolve(group, at=now, release=self.release)
        if self.decision == "archive":
            until = None if self.days is None else now + timedelta(days=self.days)
            return archive(group, until=until, more=self.more, hourly=self.hourly)
        return reopen(group)


def number_of(name: str) -> int:
    """Read the number of a group, as `E-17` or `17`.

    Raises:
        BadArguments: it is none.
    """
    digits = name.strip().upper().removeprefix("E-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise BadArguments("Groups are named as E-17.")
    return int(digits)
