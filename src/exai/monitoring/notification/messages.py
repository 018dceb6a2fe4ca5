"""What a webhook is sent of a notice: an object of Standard Webhooks, or a text for a chat."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from exai.storage.notices.deliveries import DIGEST

__all__ = ["TEST", "encoded", "text_of"]

TEST = "test"
"""The kind of a message that tells nothing."""

_COMMANDS: Mapping[str, str] = {
    "error": "exai errors show {id}",
    "observation": "exai auditor observations {id}",
    "budget": "exai usage",
    "breaker": "exai status",
    "investigation": "exai errors show {id}",
    DIGEST: "exai errors list",
}
"""What to look at, by the first word of a kind."""


def encoded(
    kind: str, at: datetime, facts: Mapping[str, Any], link: str, how: Literal["json", "text"]
) -> bytes:
    """Write the body of a message.

    Args:
        facts: `id`, `title` and `counts`.
        link: the address of the operations port.
    """
    link = link.rstrip("/")
    if kind.startswith(("error.", "investigation.")):
        link = f"{link}/api/errors/{facts['id']}"
    if how == "text":
        return msgspec.json.encode({"text": f"{text_of(kind, facts)}\n{link}"})
    return msgspec.json.encode({"type": kind, "timestamp": at, "data": {**facts, "link": link}})


def text_of(kind: str, facts: Mapping[str, Any]) -> str:
    """Write a notice in a line, with what to look at."""
    name = f"{facts['id']} " if facts["id"] else ""
    counts = ", ".join(f"{key} {_number(value)}" for key, value in facts["counts"].items())
    line = f"[{kind}] {name}{facts['title']}" + (f" ({counts})" if counts else "")
    of_kind = kind.partition(".")[0]
    return f"{line}: `{_COMMANDS[of_kind].format(id=facts['id'])}`" if of_kind in _COMMANDS else line


def _number(value: float) -> str:
    return str(round(value, 4)).removesuffix(".0")
