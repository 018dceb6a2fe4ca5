"""Manifests: what a folder holds, a line of JSON per file, `{"path", "mode", "bytes", "sha256"}`.

One folder has one manifest, byte by byte: lines are sorted by their paths and spelled the same way, whoever wrote them.
A path is relative, has no step up and no name that some system cannot keep apart from another one of the same folder,
so a snapshot can be laid out on any disk.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec

from exai.errors import BadArguments

__all__ = ["MOST_BYTES", "MOST_ENTRIES", "ManifestEntry", "checked", "encoded", "read_manifest"]

MOST_ENTRIES = 100_000
MOST_BYTES = 32 * 2**20
"""Of a manifest."""
LONGEST_PATH = 4_096
LONGEST_SHOWN = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODES = ("644", "755")


class ManifestEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a folder."""

    path: str
    """Relative to the folder, with slashes."""
    mode: str
    """`755` for what may be executed, else `644`."""
    bytes: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    sha256: str


_decode = msgspec.json.Decoder(ManifestEntry).decode
_encode = msgspec.json.Encoder().encode


def read_manifest(text: bytes) -> list[ManifestEntry]:
    """Read a manifest as somebody sent it.

    Raises:
        BadArguments: it cannot be one; the first entry that is wrong is named.
    """
    lines = text.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) > MOST_ENTRIES:
        raise BadArguments(f"The manifest has {len(lines):,} entries; a snapshot may have {MOST_ENTRIES:,}.")
    return checked(_decoded(lines))


def checked(entries: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """Check entries, and sort them by their paths.

    Raises:
        BadArguments: one is wrong; it is named.
    """
    found: list[ManifestEntry] = []
    by_folded: dict[str, str] = {}
    for number, entry in enumerate(entries, start=1):
        if (fault := _fault(entry)) is not None:
            raise _bad(number, entry.path, fault)
        folded = _folded(entry.path)
        if (other := by_folded.get(folded)) is not None:
            same = (
                "stands there twice"
                if other == entry.path
                else f"differs from `{_shown(other)}` by case alone"
            )
            raise _bad(number, entry.path, same)
        by_folded[folded] = entry.path
        found.append(entry)
    _check_folders(found, by_folded)
    return sorted(found, key=lambda entry: entry.path)


def encoded(entries: Sequence[ManifestEntry]) -> bytes:
    """Spell a manifest whose entries were checked."""
    return b"".join(_encode(entry) + b"\n" for entry in entries)


def _decoded(lines: Sequence[bytes]) -> Iterator[ManifestEntry]:
    for number, line in enumerate(lines, start=1):
        try:
            yield _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is no JSON"
            raise BadArguments(
                f"Line {number} of the manifest cannot be used ({reason}). A line is "
                '{"path": "src/a.py", "mode": "644", "bytes": 12, "sha256": "…"}.'
            ) from None


def _fault(entry: ManifestEntry) -> str | None:
    if (fault := _fault_of_path(entry.path)) is not None:
        return fault
    if entry.mode not in _MODES:
        return "has a mode that is neither `644` nor `755`"
    if _SHA256.fullmatch(entry.sha256) is None:
        return "has a `sha256` that is not 64 hexadecimal digits in lower case"
    return None


def _fault_of_path(path: str) -> str | None:
    parts = path.split("/")
    if not path or path.startswith("/") or "" in parts:
        return "is no relative path of names with one slash between them"
    if "." in parts or ".." in parts:
        return "has a step `.` or `..`"
    if "\\" in path or any(unicodedata.category(each) in {"Cc", "Cs"} for each in path):
        return "has a character that some system cannot have in a name"
    if len(path.encode()) > LONGEST_PATH:
        return f"is longer than {LONGEST_PATH} bytes"
    return None


def _check_folders(entries: Sequence[ManifestEntry], by_folded: dict[str, str]) -> None:
    """Refuse a file below a file. With NUL, which no path has, for the slash, the one sorts right behind the other."""
    before = "\0"
    for folded in sorted(path.replace("/", "\0") for path in by_folded):
        if folded.startswith(before + "\0"):
            path, file = (by_folded[each.replace("\0", "/")] for each in (folded, before))
            number = next(number for number, entry in enumerate(entries, start=1) if entry.path == path)
            raise _bad(number, path, f"is below `{_shown(file)}`, which is a file")
        before = folded


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _bad(number: int, path: str, fault: str) -> BadArguments:
    return BadArguments(f"Entry {number} of the manifest, `{_shown(path)}`, {fault}.")


def _shown(path: str) -> str:
    shown = path if path.isprintable() else ascii(path)[1:-1]
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"
