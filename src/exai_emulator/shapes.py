"""Reading what a client sent, whatever its shape: for the rules of every provider."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

__all__ = [
    "MediaSource",
    "as_int",
    "fields",
    "function_tools",
    "image_source",
    "is_number",
    "media_source",
    "parts_of",
    "strings_of",
    "tool_entries",
]

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,")


def fields(names: str) -> frozenset[str]:
    """The names in a text, which stand there with blanks between them."""
    return frozenset(names.split())


def is_number(value: Any) -> TypeGuard[int | float]:
    """A JSON number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_int(value: Any) -> int | None:
    """A JSON integer, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def strings_of(value: Any) -> tuple[str, ...]:
    """A string or a list of strings as a tuple; other entries are left out."""
    if isinstance(value, str):
        return (value,)
    return tuple(entry for entry in value if isinstance(entry, str)) if isinstance(value, list) else ()


def parts_of(message: Mapping[str, Any]) -> Iterator[Any]:
    """The parts of a message's content when it is a list."""
    content = message.get("content")
    if isinstance(content, list):
        yield from content


def tool_entries(body: Mapping[str, Any]) -> list[Any]:
    """The entries of `tools`."""
    tools = body.get("tools")
    return tools if isinstance(tools, list) else []


def function_tools(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The `function` object of every tool of type `function`."""
    for tool in tool_entries(body):
        if isinstance(tool, dict) and tool.get("type") == "function":
            function = tool.get("function")
            yield function if isinstance(function, dict) else {}


class MediaSource:
    """Where a part's picture or video comes from: a URL, or bytes with their declared type."""

    __slots__ = ("data", "media_type", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.media_type: str | None = None
        """The declared type of inline data, in lower case."""
        self.data: bytes | None = None
        """The inline data; None for another URL and for what is not base64."""
        if matched := _DATA_URL.match(url):
            self.media_type = matched[1].lower()
            self.data = _from_base64(url[matched.end() :])
        elif "://" not in url:
            self.data = _from_base64(url)


def media_source(part: Any, kind: str) -> MediaSource | None:
    """The source of a part of type `kind`, whose field is `{url}` or the bare string; None for another part."""
    if not isinstance(part, dict) or part.get("type") != kind:
        return None
    field = part.get(kind)
    url = field.get("url") if isinstance(field, dict) else field
    return MediaSource(url if isinstance(url, str) else "")


def image_source(part: Any) -> MediaSource | None:
    """The source of an `image_url` part; None for another part."""
    return media_source(part, "image_url")


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None
