"""Files as commands print them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["as_json_text", "copy_line", "description", "file_line", "file_lines", "size_of"]

REASONS = {"upload": "upload under way", "extract": "text of document"}
"""Why a content is needed, where the store's own word does not say it."""
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def as_json_text(document: object) -> str:
    """Return a document as JSON for people and programs."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def file_line(file: Mapping[str, Any]) -> str:
    """Describe a file in a line: its handle first."""
    damaged = "  damaged: put the same content again" if file.get("damaged") else ""
    return (
        f"{file['id']}  {size_of(file['bytes']):>9}  {file['kind']:<6}  {_printable(file['name'])}{damaged}"
    )


def file_lines(files: Sequence[Mapping[str, Any]]) -> str:
    """Describe files, a line each."""
    return "\n".join(file_line(file) for file in files)


def size_of(count: int) -> str:
    """Return a number of bytes in the largest unit of which there is one."""
    power = min((max(count, 1).bit_length() - 1) // 10, len(UNITS) - 1)
    return f"{count} B" if power == 0 else f"{count / 1024**power:.1f} {UNITS[power]}"


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def description(file: Mapping[str, Any]) -> str:
    """Describe a file in full: a line for each member that says something."""
    width = max(len(name) for name in file)
    lines = [(name, line) for name, value in file.items() for line in _cells(name, value)]
    return "\n".join(f"{name:<{width}}  {line}" for name, line in lines)


def copy_line(copy: Mapping[str, Any]) -> str:
    """Describe a copy at a provider in a line."""
    ended = f" {copy['ended_at']}" if "ended_at" in copy else ""
    confirmed = f", confirmed by the provider ({copy['confirmed_by']})" if "confirmed_by" in copy else ""
    error = f", {copy['error']}" if "error" in copy else ""
    return (
        f"{copy['copy']} at {copy['provider']} for {copy['purpose']}: sent {copy['sent_at']}, "
        f"{copy['status']}{ended}{confirmed}{error}"
    )


def _cells(name: str, value: Any) -> Iterator[str]:
    match name, value:
        case "name", _:
            yield _printable(value)
        case "bytes", _:
            yield f"{value:,} ({size_of(value)})" if value >= 1024 else str(value)
        case "copies" | "references", []:
            yield "none"
        case "copies", _:
            yield from map(copy_line, value)
        case "references", _:
            yield from (_reference_line(each) for each in value)
        case _, bool():
            yield "yes" if value else "no"
        case _:
            yield str(value)


def _reference_line(reference: Mapping[str, Any]) -> str:
    """Say what needs the content of a file."""
    what = REASONS.get(reference["reason"], reference["reason"])
    return f"{what} {reference['subject']}"
