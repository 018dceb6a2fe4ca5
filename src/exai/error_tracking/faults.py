"""A fault as it is recorded: what was raised, where, under which circumstances.

It is made at the place that noticed it and never changed. Nothing in it is formatted or redacted yet: noticing has to
cost microseconds, and whoever stores a fault or shows it takes its texts through `Redaction` first.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = [
    "LONGEST_MESSAGE",
    "MOST_EXCEPTIONS",
    "MOST_FRAMES",
    "OURSELVES",
    "OWN_PROJECT",
    "Fault",
    "FaultFrame",
    "FaultSource",
    "RaisedException",
]

OURSELVES = "exai:"
"""Begins the subjects of callers that EXAI is itself, such as its investigator."""

OWN_PROJECT = 1
"""The project of EXAI's own faults; programs that report have others."""

LONGEST_MESSAGE = 2_000
"""Characters of a message that are kept until it is redacted."""

MOST_FRAMES = 250
"""Of one exception, those nearest to the crash."""

MOST_EXCEPTIONS = 5
"""Of one chain, those nearest to the one that was seen."""


class FaultSource(StrEnum):
    """Which place noticed a fault."""

    CALL = "call"
    """A call that ended in anything but an answer, or a request that failed in passing."""
    DOOR = "door"
    TASK = "task"
    WATCHER = "watcher"
    LOG = "log"
    LOOP = "loop"
    START = "start"
    """Starting: what ended it, and calls that an earlier process left without an end."""
    OUTSIDE = "outside"
    """A program that reports to EXAI."""


class FaultFrame(msgspec.Struct, frozen=True):
    """One line of a stack."""

    module: str
    """Dotted; for other languages whatever names the file's unit. Empty: not known."""
    function: str
    """Qualified by its class where that is known."""
    file: str = ""
    line: int = 0
    """0: not known."""
    own: bool = False
    """Whether it is of the project's own code, not of a library."""


class RaisedException(msgspec.Struct, frozen=True):
    """One exception of a chain."""

    type: str
    """With its module, but for those of the language: `exai.errors.StoreFailed`, `KeyError`."""
    message: str = ""
    """As it was raised, cut to `LONGEST_MESSAGE`."""
    template: str | None = None
    """The message's fixed part, as its source gives it; `None` has it derived from the message."""
    detail: str = ""
    """What a typed attribute says: `errno 2`, `sqlstate 23505`, `status 429`."""
    frames: tuple[FaultFrame, ...] = ()
    """From the outermost call to the crash."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One occurrence of something that went wrong."""

    occurrence_id: str
    at: float
    """When it was noticed, in seconds since 1970 by our clock."""
    source: FaultSource
    reported_at: float | None = None
    """When it happened, by its reporter's clock."""
    project: int = OWN_PROJECT
    code: str | None = None
    """Of `errors.py`, where it is one of ours."""
    chain: tuple[RaisedException, ...] = ()
    """Each cause before its effect, so that the exception which was seen is the last. Empty for a line of a log."""
    message: str = ""
    """Of a fault without an exception, as its source wrote it, cut to `LONGEST_MESSAGE`."""
    template: str | None = None
    """That message's fixed part, as its source gives it."""
    logger: str = ""
    fixable_by: str | None = None
    """`caller`, `operator`, `provider` or `developer`; `None`: not known."""
    handled: bool = False
    """Whether something put it right, such as a retry, so that nobody was failed."""
    facts: Mapping[str, str] = {}
    """What the rule of fingerprints may need beside the rest, such as `field`, `gate`, `stage`, `setting`."""
    reported_fingerprint: tuple[str, ...] = ()
    """What the reporter wants it to be grouped by; `{{ default }}` stands for what our rule gives."""
    call_id: str | None = None
    incident_id: str | None = None
    event_id: str | None = None
    """The reporter's name for the occurrence: a repeat of it is no further one."""
    tool: str | None = None
    provider: str | None = None
    model: str | None = None
    door: str | None = None
    subject: str | None = None
    client: str | None = None
    own_doing: bool = False
    """Whether a caller of EXAI itself met it, such as its investigator."""
    release: str = ""
    """Empty: not known."""
    settings_digest: str = ""
    context: Mapping[str, str] = {}
    """What else the reporter said, for people: tags, its clock, its environment."""
