"""Finds secrets in contents: by the built-in forms, and by the rules of Kingfisher where that is installed.

Of Kingfisher `Scanner` alone is used. What it has to validate or revoke keys calls out, and is not touched.
"""

import importlib
import importlib.util
import threading
from importlib.metadata import version
from typing import Any

from exai.files.secrets.rules import BUILT_IN_VERSION, Span, built_in_spans

__all__ = ["SecretScanner", "has_kingfisher"]

MODULE = "kingfisher_sdk"
DISTRIBUTION = "kingfisher-secret-scanner"
LEAST_ENTROPY = 3.0
"""Bits per character; words and samples have less."""
_CONFIDENT = {"medium", "high"}
_LOOSE = ("generic-", "curl-auth-", "jwt")
"""Rules that find what only looks like a secret, in this project's own sources for one."""


def has_kingfisher() -> bool:
    """Whether the extra `exai[secrets]` is installed."""
    return importlib.util.find_spec(MODULE) is not None


class SecretScanner:
    """Scans bytes. Its methods block, and run in threads."""

    def __init__(self, *, uses_kingfisher: bool | None = None) -> None:
        """`uses_kingfisher` is whether it is installed, unless told."""
        self._uses_kingfisher = has_kingfisher() if uses_kingfisher is None else uses_kingfisher
        self._lock = threading.Lock()
        self._kingfisher: Any = None

    @property
    def rules(self) -> str:
        """The version of all rules, under which verdicts are kept."""
        own = str(BUILT_IN_VERSION)
        return f"{own}+kingfisher-{version(DISTRIBUTION)}" if self._uses_kingfisher else own

    def spans(self, content: bytes) -> list[Span]:
        """Find the secrets of a content, in their order; none overlaps the one before."""
        found = built_in_spans(content)
        if self._uses_kingfisher:
            found += self._further(content)
        kept: list[Span] = []
        for span in sorted(found):
            if kept and span.start < kept[-1].end:
                kept[-1] = Span(kept[-1].start, max(kept[-1].end, span.end), kept[-1].rule)
            else:
                kept.append(span)
        return kept

    def _further(self, content: bytes) -> list[Span]:
        return [
            Span(finding.location["start_offset"], finding.location["end_offset"], rule)
            for finding in self._scanner().scan(content)
            if finding.confidence in _CONFIDENT and finding.entropy >= LEAST_ENTROPY
            if not (rule := finding.rule_id.rpartition(".")[2]).startswith(_LOOSE)
        ]

    def _scanner(self) -> Any:
        """Build Kingfisher's scanner at its first use: that takes seconds, and some 85 MB."""
        with self._lock:
            if self._kingfisher is None:
                self._kingfisher = importlib.import_module(MODULE).Scanner(base64=False)
            return self._kingfisher
