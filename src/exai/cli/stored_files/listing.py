"""Files as commands print them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_json_text", "description", "file_line", "file_lines", "size_of"]

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
    rows = {name: _printable(value) if name == "name" else value for name, value in file.items()}
    return "\n".join(f"{name:<{width}}  {_cell(value)}" for name, value in rows.items())


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)
