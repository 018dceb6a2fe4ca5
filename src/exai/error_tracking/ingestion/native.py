"""Reports in EXAI's own form: an array of objects in JSON, for programs without an SDK."""

import secrets
from typing import Annotated

import msgspec

from exai.error_tracking.faults import (
    LONGEST_MESSAGE,
    MOST_EXCEPTIONS,
    Fault,
    FaultFrame,
    FaultSource,
    RaisedException,
)
from exai.error_tracking.ingestion.bodies import ReportRefused
from exai.error_tracking.ingestion.stacks import frames_of
from exai.error_tracking.ingestion.texts import storable, storable_file

__all__ = [
    "MOST_REPORTS",
    "Report",
    "ReportedException",
    "ReportedFrame",
    "fault_of_report",
    "faults_of_reports",
]

MOST_REPORTS = 1_000
CLOCK_OFF_S = 86_400.0

Short = Annotated[str, msgspec.Meta(max_length=200)]
Long = Annotated[str, msgspec.Meta(max_length=100_000)]


class ReportedFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a stack."""

    function: Short
    module: Short = ""
    file: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    line: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    own: bool = True
    """Whether it is of the program's own code."""


class ReportedException(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exception of a chain."""

    type: Short
    message: Long = ""
    template: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None
    """The message's fixed part."""
    frames: Annotated[tuple[ReportedFrame, ...], msgspec.Meta(max_length=250)] = ()
    """From the outermost call to the crash."""
    stack: Long = ""
    """In the place of frames: the text of a stack, of Python or JavaScript."""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault that a program reports."""

    message: Long = ""
    template: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None
    exceptions: Annotated[tuple[ReportedException, ...], msgspec.Meta(max_length=MOST_EXCEPTIONS)] = ()
    """Each cause before its effect."""
    logger: Short = ""
    event_id: Annotated[str, msgspec.Meta(max_length=64, pattern="^[0-9a-zA-Z_-]*$")] = ""
    """Of the reporter's own: a repeat is no further fault."""
    at: float | None = None
    """Seconds since 1970 by the reporter's clock."""
    release: Short = ""
    fingerprint: Annotated[tuple[Short, ...], msgspec.Meta(max_length=20)] = ()
    """What it is grouped by; `{{ default }}` stands for EXAI's rule."""
    tags: Annotated[dict[Short, Short], msgspec.Meta(max_length=50)] = {}


def faults_of_reports(body: object, project: int, now: float) -> list[Fault]:
    """Read an array of reports that came at `now`.

    Raises:
        ReportRefused: it is none; the sentence says where.
    """
    if not isinstance(body, list):
        raise ReportRefused("The body is no JSON array of reports.")
    if len(body) > MOST_REPORTS:
        raise ReportRefused(f"The body has more than {MOST_REPORTS} reports. Send them in several requests.")
    try:
        reports = msgspec.convert(body, list[Report])
    except msgspec.ValidationError as error:
        raise ReportRefused(f"A report cannot be used: {error}. Nothing of the body was taken.") from None
    return [fault_of_report(report, project, now) for report in reports]


def fault_of_report(report: Report, project: int, now: float) -> Fault:
    """Make a fault of a report that came at `now`."""
    believed = report.at is not None and abs(report.at - now) <= CLOCK_OFF_S
    return Fault(
        occurrence_id=f"occ_{secrets.token_hex(8)}",
        at=now,
        source=FaultSource.OUTSIDE,
        reported_at=report.at if believed else None,
        project=project,
        chain=tuple(map(_raised, report.exceptions)),
        message=storable(report.message, LONGEST_MESSAGE),
        template=None if report.template is None else storable(report.template, LONGEST_MESSAGE),
        logger=storable(report.logger, 200),
        reported_fingerprint=tuple(storable(part, 200) for part in report.fingerprint),
        event_id=report.event_id or None,
        release=storable(report.release, 200),
        context={storable(name, 40): storable(value, 200) for name, value in report.tags.items()},
    )


def _raised(exception: ReportedException) -> RaisedException:
    frames = tuple(
        FaultFrame(
            storable_file(frame.module)[:200] or storable_file(frame.file),
            storable(frame.function, 200),
            storable_file(frame.file),
            frame.line,
            frame.own,
        )
        for frame in exception.frames
    )
    return RaisedException(
        type=storable(exception.type, 200),
        message=storable(exception.message, LONGEST_MESSAGE),
        template=None if exception.template is None else storable(exception.template, LONGEST_MESSAGE),
        frames=frames or frames_of(exception.stack),
    )
