"""Finds secrets in contents: by the built-in forms, and by the rules of Kingfisher where that is installed.

Of Kingfisher `Scanner` alone is used. What it has to validate or revoke keys calls out, and is not touched.
"""

import codecs
import functools
import importlib
import importlib.util
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from exai.files.secrets.rules import BUILT_IN_VERSION, Span, built_in_spans

__all__ = ["SecretScanner", "has_kingfisher", "kingfisher_scanner"]

MODULE = "kingfisher_sdk"
DISTRIBUTION = "kingfisher-secret-scanner"
LEAST_ENTROPY = 3.0
"""Bits per character; words and samples have less."""
WINDOW_BYTES = 2**18
"""What Kingfisher is given at once: it takes four times as long for each byte of a content of some megabytes."""
OVERLAP_BYTES = 4_096
"""Of two windows; what is longer than that has a built-in form."""
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_CONFIDENT = {"medium", "high"}
_LOOSE = ("generic-", "curl-auth-", "jwt")
"""Rules that find what only looks like a secret, in this project's own sources for one."""
_building = threading.Lock()


def has_kingfisher() -> bool:
    """Whether the extra `exai[secrets]` is installed."""
    return importlib.util.find_spec(MODULE) is not None


class SecretScanner:
    """Scans bytes. Its methods block, and run in threads."""

    def __init__(self, *, uses_kingfisher: bool | None = None) -> None:
        """`uses_kingfisher` is whether it is installed, unless told."""
        self._uses_kingfisher = has_kingfisher() if uses_kingfisher is None else uses_kingfisher

    @property
    def rules(self) -> str:
        """The version of all rules, under which verdicts are kept."""
        own = str(BUILT_IN_VERSION)
        return f"{own}+kingfisher-{version(DISTRIBUTION)}" if self._uses_kingfisher else own

    def spans(self, content: bytes) -> list[Span]:
        """Find the secrets of a content, in their order; none overlaps the one before."""
        found = built_in_spans(content)
        if self._uses_kingfisher:
            found.extend(self._further(content))
        kept: list[Span] = []
        for span in sorted(found):
            if kept and span.start < kept[-1].end:
                kept[-1] = Span(kept[-1].start, max(kept[-1].end, span.end), kept[-1].rule)
            else:
                kept.append(span)
        return kept

    def _further(self, content: bytes) -> set[Span]:
        scan = kingfisher_scanner().scan
        return {
            Span(at + finding.location["start_offset"], at + finding.location["end_offset"], rule)
            for at, window in _windows(content)
            for finding in scan(window)
            if finding.confidence in _CONFIDENT and finding.entropy >= LEAST_ENTROPY
            if not (rule := finding.rule_id.rpartition(".")[2]).startswith(_LOOSE)
        }


def kingfisher_scanner() -> Any:
    """Build Kingfisher's scanner at its first use in a process: that takes seconds, and some 85 MB."""
    with _building:
        return _kingfisher_scanner()


@functools.cache
def _kingfisher_scanner() -> Any:
    return importlib.import_module(MODULE).Scanner(base64=False)


def _windows(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut a content into windows that overlap, each with its place; one in wide characters is decoded as a whole."""
    if len(content) <= WINDOW_BYTES or content.startswith(_WIDE):
        yield 0, content
        return
    for at in range(0, len(content) - OVERLAP_BYTES, WINDOW_BYTES - OVERLAP_BYTES):
        yield at, content[at : at + WINDOW_BYTES]
