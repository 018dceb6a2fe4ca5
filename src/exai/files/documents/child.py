"""What every program does that extracts a document's text: `python -I -m exai.files.documents.pdf BYTES`, for instance.

It reads the document from stdin and writes UTF-8 to stdout; when it ends by itself, stderr has its verdict, one line of
JSON. It sets its limits before it reads a byte. An alarm ends it even where whoever began it is gone.
"""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from exai.files.documents.verdict import CPU_S, MOST_MEMORY_BYTES, WALL_S, Cut, Refused, TextSink, Verdict

__all__ = ["run_child"]

NO_CORE = 0

Extract = Callable[[bytes, TextSink], Verdict]


def run_child(extract: Extract) -> NoReturn:
    """Extract the document of `sys.argv[1]` bytes that comes over stdin, and end the process."""
    _limit()
    size = int(sys.argv[1])
    data = sys.stdin.buffer.read(size)
    code = 1  # whoever sent it has gone
    if len(data) == size:
        sys.stderr.write(_extracted(extract, data).encoded())
        sys.stderr.flush()
        code = 0
    os._exit(code)  # PDFium's own clean-up of a broken document may never end


def _extracted(extract: Extract, data: bytes) -> Verdict:
    out = sys.stdout.buffer
    sink = TextSink(out.write)
    try:
        verdict = extract(data, sink)
    except Cut as cut:
        verdict = Verdict(cut=str(cut))
    except Refused as refused:
        return Verdict(refused=str(refused))
    except MemoryError:
        return Verdict(refused="too_large")
    if not sink.has_text:
        return Verdict(refused="no_text")
    out.flush()
    return verdict


def _limit() -> None:
    for limit, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, NO_CORE),
        (resource.RLIMIT_AS, MOST_MEMORY_BYTES),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit of the address space
            resource.setrlimit(limit, (most, most))
    signal.alarm(WALL_S)
