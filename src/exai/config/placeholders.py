"""Texts that stand where a value should be: references that nothing replaced, quotes, and examples from a manual.

Docker's `--env-file`, systemd and MCP clients each expand less than a shell does, and pass on what they leave.
"""

import re
from collections.abc import Mapping

__all__ = ["is_blank", "placeholder_in"]

_REFERENCE = re.compile(
    r"\$\{[^}]*\}|\$\([^)]*\)|\{\{.*?\}\}"  # a shell's, a command's, a template's, wherever they stand
    r"|^\$[A-Za-z_]\w*$|^%[A-Za-z_]\w*%"
    r"|(?:^|(?<=[/:@=,\s]))\$[A-Z_][A-Z0-9_]*(?=$|[/:@=,\s])"  # `$HOME/x`, `user:$PASSWORD@host`, not `pa$Word`
)
_EXAMPLE = re.compile(r"(?:^|(?<=[/:@=,\s]))<[A-Za-z][\w .-]*>(?=$|[/:@=,\s])")
_EXAMPLE_SECRET = re.compile(
    r"(?:[\w-]*[-_])?(?:x{3,}|\*{3,}|\.{3,}|…)|your[-_ ].*|.*[-_ ]here|change[-_ ]?me|null|undefined",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}

REFERENCE = (
    "holds a reference that nothing has replaced, such as `${NAME}`; write the value itself, "
    "or have what starts EXAI put it in"
)
EXAMPLE = "is a placeholder from an example; put the real value there"
QUOTED = "stands in quotes, which are taken for a part of it; write it without them"


def is_blank(value: object) -> bool:
    """Return whether a value is a text without content, which counts as not given."""
    return isinstance(value, str) and not value.strip()


def placeholder_in(value: object, *, secret: bool = False) -> str | None:
    """Say what is wrong with a text that is visibly no value, to follow its name; `None` when nothing is.

    The members of lists and tables are looked at too. Of a `secret`, the words of sample files count as well.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        found = (placeholder_in(member, secret=secret) for member in value)
        return next((fault for fault in found if fault is not None), None)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _is_quoted(text, either_end=secret):
        return QUOTED
    if _REFERENCE.search(text):
        return REFERENCE
    if _EXAMPLE.search(text) or (secret and _EXAMPLE_SECRET.fullmatch(text)):
        return EXAMPLE
    return None


def _is_quoted(text: str, *, either_end: bool) -> bool:
    if len(text) < 2:
        return text in _QUOTES
    first, last = text[0], text[-1]
    if either_end and ":" not in text and (first in _QUOTES or last in _QUOTES.values()):
        return True  # of a header, which has a colon, the value may end with a quote
    return _QUOTES.get(first) == last
