"""Reads the id of a request that could not be parsed, so that its sender can tell which one was refused.

Clients write `id` among the first members or as the last one, after params of any size; so the two ends of the text
are enough, and what lies between them is not looked at.
"""

import re

__all__ = ["SCANNED_BYTES", "readable_id"]

SCANNED_BYTES = 4096
"""How much of either end is looked at."""

_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+')
_ID = r'-?\d{1,18}|"[^"\\]{0,200}"'
_VERSION = r'"jsonrpc"\s*:\s*"2\.0"'
_AT_END = re.compile(
    rf',\s*(?:{_VERSION}\s*,\s*"id"\s*:\s*(?P<last>{_ID})|"id"\s*:\s*(?P<before>{_ID})\s*,\s*{_VERSION})\s*\}}\s*\Z'
)
"""With the version beside it, so that an `id` inside the params of a text that was cut off is not taken for it."""


def readable_id(text: str | bytes) -> str | int | None:
    """Return the id of the message; `None` where it cannot be read for sure."""
    head, tail = _decoded(text[:SCANNED_BYTES]), _decoded(text[-SCANNED_BYTES:])
    return (
        _id_at_start(head)
        if (found := _AT_END.search(tail)) is None
        else _value(found["last"] or found["before"])
    )


def _id_at_start(head: str) -> str | int | None:
    """Read the outermost object's member `id`, as far as its members can be told apart."""
    depth, member, end = 0, list[str](), 0
    for found in _PART.finditer(head):
        part = found[0]
        if head[end : found.start()].strip():
            return None  # a string that is not closed, or what is no JSON
        end = found.end()
        if depth == 1 and part in {",", "}"}:
            if member[:2] == ['"id"', ":"]:
                return _value(member[-1])
            member.clear()
        elif depth == 1:
            member.append(part)
        depth += (part in {"{", "["}) - (part in {"}", "]"})
    return None


def _value(token: str) -> str | int | None:
    if re.fullmatch(_ID, token) is None:
        return None
    return token[1:-1] if token.startswith('"') else int(token)


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode(errors="replace")
