"""By what a finding is known as the same, although its lines moved or it is told in other words."""

import hashlib
import re

__all__ = ["fingerprint", "identifiers", "is_quoted_in", "squeezed"]

LEAST_CHARACTERS = 8
"""Of a quotation without blanks that says something."""

_WORD = re.compile(r"[A-Za-z_$][\w$]{2,}")
_NAME_IN_PROSE = re.compile(
    r"`([A-Za-z_$][\w$.]{2,})|\b([A-Za-z]\w*_\w+|[a-z]+[A-Z]\w*|[A-Za-z_]\w{2,}(?=\())"
)
_BLANKS = re.compile(r"\s+")
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        "and async await break case catch class const continue def default del elif else enum except export "
        "extends false final finally for from func function global impl import int interface lambda let "
        "match mut new nil none not null package pass private protected pub public raise return self static "
        "str string struct super switch this throw true try type use var void while with yield",
    )
)


def fingerprint(category: str, path: str, symbol: str, quote: str) -> str:
    """Return what stays the same where lines are shifted: 32 hexadecimal digits."""
    parts = "\n".join((category, path, symbol, squeezed(quote)))
    return hashlib.sha256(parts.encode(errors="replace")).hexdigest()[:32]


def squeezed(text: str) -> str:
    """Return a text without blanks."""
    return _BLANKS.sub("", text)


def is_quoted_in(quote: str, text: str) -> bool:
    """Whether a quotation that says something stands in a text, blanks aside."""
    wanted = squeezed(quote)
    return len(wanted) >= LEAST_CHARACTERS and wanted in squeezed(text)


def identifiers(quote: str, message: str) -> set[str]:
    """Return the names in a quotation of code, and those that a sentence about it has."""
    prose = {part for found in _NAME_IN_PROSE.findall(message) for part in found if part}
    words = {word for text in (quote, *prose) for word in _WORD.findall(text)}
    return {word for word in words if word.lower() not in _KEYWORDS}
