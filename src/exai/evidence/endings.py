"""Why the process of a workspace ended, by its exit code and by what it wrote to stderr."""

import re
from typing import BinaryIO

import structlog

from exai.errors import FileRefused, ToolFault
from exai.evidence.faults import WorkspaceFailed

__all__ = ["cannot_begin", "fault_of", "too_much"]

MOST_READ = 8_192
"""Bytes from the end of what it wrote."""

_EXCEPTION = re.compile(r"(?:^|\()((?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt))\b", re.MULTILINE)
_FRAME = re.compile(r'^  File "([^"]+)", line (\d+)', re.MULTILINE)
_MISSING = re.compile(r"No module named '?([\w.]+)'?")

_log = structlog.get_logger(__name__)


def fault_of(returncode: int | None, stderr: BinaryIO) -> ToolFault:
    """Return what a question fails with. Names of exceptions and of modules are told, and no other text of theirs.

    Args:
        returncode: negative: ended by that signal; `None`: it did not answer in time.
    """
    stderr.seek(0, 2)
    stderr.seek(max(0, stderr.tell() - MOST_READ))
    told = stderr.read().decode(errors="replace")
    names, frames = _EXCEPTION.findall(told), _FRAME.findall(told)
    missing = _MISSING.search(told)
    if returncode is None or returncode < 0 or not (names or missing) or "MemoryError" in names[-1:]:
        return too_much()
    name = f"no module named {missing[1]}" if missing else names[-1]
    place = f"{frames[-1][0]}:{frames[-1][1]}" if frames else None
    _log.error("the process of a workspace failed", code=returncode, error=name, at=place)
    return _failed(name)


def cannot_begin(reason: str) -> ToolFault:
    """Return what a question fails with where the system begins no process."""
    _log.error("the process of a workspace cannot begin", error=reason)
    return _failed(reason)


def too_much() -> FileRefused:
    """Return what a question fails with that takes too much."""
    return FileRefused(
        "The workspace could not be read: one of its files, or all together, took too much time or memory. "
        "Name a smaller folder, or `paths` in it."
    )


def _failed(why: str) -> WorkspaceFailed:
    return WorkspaceFailed(
        f"The workspace could not be read, as the process that reads it failed ({why}); no smaller folder helps. "
        "Whoever runs EXAI finds the place in its log; `exai doctor` looks at the installation."
    )
