"""Comments that a change adds and that claim a check was done: whoever reviews is to look, and not to believe."""

import re
from collections.abc import Iterator

__all__ = ["claims_in"]

MOST_CLAIMS = 5
CLAIM_CHARACTERS = 120
_COMMENT = re.compile(r"(?:#|//|/\*|^\s*\*|--|<!--|\"\"\"|''')(?P<text>.*)")
_CLAIM = re.compile(
    r"\b(?:(?:already|been|is|was|are|were|fully|properly|input|has been)\s+)?"
    r"(?:validated|sanitized|sanitised|escaped|verified|audited|reviewed|approved|checked|tested)\b"
    r"|\btested by\b|\b(?:sanitizer|linter|audit|review|scan(?:ner)?|tests?) (?:has |have )?passed\b"
    r"|\b(?:known|considered|safe) (?:to be )?(?:safe|secure)\b"
    r"|\bno (?:further )?(?:check|review|validation) (?:is )?needed\b",
    re.IGNORECASE,
)


def claims_in(added: str) -> list[str]:
    """Return the comments among added lines that claim so, at most a few."""
    return list(_claims(added))[:MOST_CLAIMS]


def _claims(added: str) -> Iterator[str]:
    for line in added.splitlines():
        comment = _COMMENT.search(line)
        if comment is not None and _CLAIM.search(comment["text"]):
            yield " ".join(line.split())[:CLAIM_CHARACTERS]
