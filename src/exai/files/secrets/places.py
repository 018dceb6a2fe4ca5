"""Where the secrets of a text are, by lines, and the text without them."""

from collections.abc import Sequence

import msgspec

from exai.files.secrets.rules import Span, built_in_spans

__all__ = ["Place", "places_of", "redacted", "without_secrets"]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a secret stands in a text; lines from 1, columns from 0, the end behind it."""

    rule: str
    line: int
    column: int
    end_line: int
    end_column: int


def places_of(content: bytes, spans: Sequence[Span], first: int) -> list[Place]:
    """Turn spans of UTF-8 whose first line has this number into places."""
    places = []
    line, counted = first, 0
    for span in spans:
        line += content.count(b"\n", counted, span.start)
        counted = span.start
        end_line = line + content.count(b"\n", span.start, span.end)
        places.append(
            Place(span.rule, line, _column(content, span.start), end_line, _column(content, span.end))
        )
    return places


def _column(content: bytes, at: int) -> int:
    begin = content.rfind(b"\n", 0, at) + 1
    return len(content[begin:at].decode(errors="backslashreplace"))


def redacted(first: int, lines: Sequence[str], places: Sequence[Place]) -> tuple[str, ...]:
    """Replace each secret in lines of which the first has this number by the rule's name; every line is kept."""
    replaced = list(lines)
    for place in reversed(places):
        for number in range(max(first, place.line), min(place.end_line, first + len(lines) - 1) + 1):
            line = replaced[number - first]
            start = place.column if number == place.line else 0
            end = place.end_column if number == place.end_line else len(line)
            if start < end:
                replaced[number - first] = f"{line[:start]}«{place.rule}»{line[end:]}"
    return tuple(replaced)


def without_secrets(text: str) -> str:
    """Replace what has a built-in form of a secret by the name of its rule; every line is kept."""
    content = text.encode(errors="backslashreplace")
    spans = built_in_spans(content)
    if not spans:
        return text
    lines = content.decode().split("\n")
    return "\n".join(redacted(1, lines, places_of(content, spans, 1)))
