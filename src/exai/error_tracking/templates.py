"""The fixed part of a message: what is left once its variable parts are replaced by their kind.

What tells two faults apart is kept: the value behind words such as `status` or `errno`, an identifier in quotes, the
number in a name such as `glm-4.6`.
"""

import re
from functools import lru_cache

__all__ = ["template_of", "without_quotations"]

READ_CHARACTERS = 400

_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$.:-]{0,39}")
_VARIABLE_NAME = re.compile(r"\d{4}|\b(?=[a-f]*\d)[0-9a-f]{6,}\b|_(?=[a-f]*\d)[0-9a-f]{6,}", re.IGNORECASE)
"""A number of four digits, or hexadecimal: no identifier that a program has in its text."""

_UNITS = (
    r"(?:[nuµm]s|s|sec(?:onds?)?|min(?:utes?)?|h(?:ours?)?|d(?:ays?)?|[kKMGT]i?B|[kKMGT]?[bB]ytes|B|bytes?"
    r"|%|[kM]?Hz|USD|tokens?|characters?|chars?)"
)

_PARTS = re.compile(
    r"(?P<kept>\b(?:HTTP(?:/\d(?:\.\d)?)?|(?:HTTP )?status(?: code)?|errno|exit(?:ed)?(?: code| status)?|code|SQLSTATE"
    r"|signal)(?:\s*[:=#\[(]\s*|\s+)(?:[+-]?\d{1,5}|[A-Z0-9]{5}|[A-Za-z]{2,20})\b(?![\w:@/.-]\w))"
    r"|(?P<plain>(?<!\w)[a-z]++(?=[\s,;!?)]|\.(?:\s|$)|$))"
    r"|(?P<email>(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})"
    r"|(?P<url>\b[a-z][a-z0-9+.-]{1,20}+://[^\s'\"<>`]+)"
    r"|(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
    r"|(?P<date>\b(?:\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?Z|[+-]\d{2}:?\d{2})?)?"
    r"|\d{1,2}[./]\d{1,2}[./]\d{4})\b)"
    r"|(?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])"
    r"|(?<![\w:])(?=[0-9a-f:]{0,40}\d)(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,5})?::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,5})?"
    r"(?![\w:]))"
    r"|(?P<time>\b\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?\b)"
    r"|(?P<address>\b0x[0-9a-f]+\b)"
    r"|(?P<id>\b[a-z]{2,12}_(?=[a-f]*\d)[0-9a-f]{8,}(?:_[0-9a-f]{6,})?\b"
    r"|(?-i:\b(?=[A-Za-z_]{0,39}\d)(?=[\da-z_]{0,39}[A-Z])(?=[\dA-Z_]{0,39}[a-z])\w{20,}\b))"
    r"|(?P<hex>\b(?=[a-f]*\d)[0-9a-f]{7,}\b)"
    r"|(?P<quoted>(?<!\w)'[^'\n]*'(?!\w)|(?<!\w)\"[^\"\n]*\"(?!\w)|`[^`\n]*`|\u201c[^\u201d\n]*\u201d)"
    r"|(?P<path>(?<![\w.])(?:[A-Za-z]:|~|\.{1,2})?(?:[\\/][\w.@+~%-]+){2,}[\\/]?"
    r"|(?<![\w./\\@+~%-])(?:[\w.@+~%-]{1,100}+[\\/]){2,}[\w.@+~%-]*)"
    rf"|(?P<quantity>(?<![\w.-])[+-]?\d+(?:[.,]\d+)*\s?{_UNITS}(?!\w))"
    r"|(?P<number>(?<![\w.-])[+-]?\d+(?:[.,]\d+)*\b)",
    re.IGNORECASE,
)


def template_of(message: str) -> str:
    """Return the fixed part of a message, of which the first 400 characters are read."""
    return _template_of(message[:READ_CHARACTERS])


def without_quotations(message: str) -> str:
    """Return the fixed part of a message, with identifiers in quotes replaced too, as files have such names."""
    return _PARTS.sub(_unquoted, " ".join(message[:READ_CHARACTERS].split()))


@lru_cache(maxsize=1_024)
def _template_of(message: str) -> str:
    return _PARTS.sub(_replacement, " ".join(message.split()))


def _replacement(found: re.Match[str]) -> str:
    kind = found.lastgroup
    text = found[0]
    if kind in {"kept", "plain"} or (kind == "quoted" and _is_identifier(text[1:-1])):
        return text
    return f"<{kind}>"


def _unquoted(found: re.Match[str]) -> str:
    return "<quoted>" if found.lastgroup == "quoted" else _replacement(found)


def _is_identifier(text: str) -> bool:
    return _IDENTIFIER.fullmatch(text) is not None and _VARIABLE_NAME.search(text) is None
