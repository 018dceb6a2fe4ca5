"""Puts hostile documents over HTTP and reads their texts; what is answered."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from support.file_ports import FilePort
from support.shelves import sha256_of

__all__ = ["Readings", "read_each"]

_INSIDE = re.compile(r"root:.?:0:|Traceback|exai[./]files")
"""What a text would hold that came from this machine or from this program."""


@dataclass
class Readings:
    """How the readings of documents ended."""

    answers: Counter[str] = field(default_factory=Counter)
    """By the code of the refusal, or `text`."""
    wrong: list[str] = field(default_factory=list)
    """Names of documents whose answer is one of 5xx, or gives something away."""


async def read_each(port: FilePort, documents: Iterable[tuple[str, bytes]]) -> Readings:
    """Put each document, read its text, and remove it."""
    readings = Readings()
    for name, content in documents:
        put = await port.ask("PUT", f"/files/sha256/{sha256_of(content)}?name={name}", body=content)
        assert put.status == 201, (name, put.body)
        read = await port.ask("GET", f"/files/{put.json['id']}/text")
        readings.answers["text" if read.status == 200 else read.code] += 1
        if read.status >= 500 or _INSIDE.search(read.body.decode()):
            readings.wrong.append(f"{name}: {read.status}")
        await port.ask("DELETE", f"/files/{put.json['id']}")
    return readings
