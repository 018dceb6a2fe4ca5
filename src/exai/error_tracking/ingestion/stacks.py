"""Stack texts of Python and JavaScript, as logs carry them, taken apart into frames."""

import re
from collections.abc import Iterator

from exai.error_tracking.faults import MOST_FRAMES, FaultFrame
from exai.error_tracking.ingestion.texts import storable, storable_file

__all__ = ["frames_of"]

LONGEST = 64 * 2**10
"""Characters of a stack text that are read: its last ones, in Python the nearest to the crash."""

_PYTHON = re.compile(r'^ {2}File "([^"\n]{1,500})", line (\d{1,9}), in ([^\n]{1,200})$', re.MULTILINE)
_V8 = re.compile(r"^\s{0,8}at (?:([^\n()]{1,200}) \()?([^\n()]{1,500}?):(\d{1,9}):\d{1,9}\)?$", re.MULTILINE)
_GECKO = re.compile(r"^([^\n@]{0,200})@([^\n]{1,500}?):(\d{1,9}):\d{1,9}$", re.MULTILINE)
_FOREIGN = ("site-packages", "dist-packages", "/lib/python", "node_modules", "node:", "<frozen", "internal/")


def frames_of(stack: str) -> tuple[FaultFrame, ...]:
    """Return the frames of a stack, from the outermost call to the crash; none where it is of another language."""
    python = list(_frames(_PYTHON, stack[-LONGEST:], file=1, line=2, function=3))
    if python:
        return tuple(python[-MOST_FRAMES:])
    script = list(_frames(_V8, stack[:LONGEST], file=2, line=3, function=1)) or list(
        _frames(_GECKO, stack[:LONGEST], file=2, line=3, function=1)
    )
    return tuple(reversed(script[:MOST_FRAMES]))


def _frames(
    pattern: re.Pattern[str], stack: str, *, file: int, line: int, function: int
) -> Iterator[FaultFrame]:
    for found in pattern.finditer(stack):
        path = storable_file(found[file])
        yield FaultFrame(
            module=_module(path),
            function=storable(found[function] or "", 200),
            file=path,
            line=int(found[line]),
            own=not any(part in path for part in _FOREIGN),
        )


def _module(path: str) -> str:
    """Name a file's unit: its last two parts, without what differs from machine to machine."""
    parts = [part for part in re.split(r"[/\\]", path.partition("?")[0]) if part]
    return "/".join(parts[-2:])
