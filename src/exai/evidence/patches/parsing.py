"""A unified diff as edits of files.

Models miscount the lines of their hunks more often than they misquote them, so a header whose counts are wrong is
counted again, as `git apply --recount` does; what is to be found in the file is never guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from unidiff.constants import DEV_NULL
from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchedFile, PatchSet

from exai.files.paths.opening import shown

__all__ = ["Edit", "FileEdits", "PatchFault", "read_edits"]

MOST_CHARACTERS = 1_000_000
MOST_FILES = 100
MOST_NAME = 1_000
UNPLAIN = "its path cannot be used: write it plainly, without quotes, `.` or empty parts"

_HEADER = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(.*)")
_MODES = {None, "100644", "100755"}


class PatchFault(Exception):
    """A patch cannot be read, or does what none may; the sentence says which."""

    def __init__(self, why: str, path: str = "", hunk: int = 0) -> None:
        super().__init__(why)
        self.path = path
        self.hunk = hunk
        """Its number in the file, from 1; 0: the file itself."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A hunk: lines of a file, some of which go, and some of which come."""

    number: int
    """Among the hunks of its file, from 1."""
    first: int
    """The line at which it is said to begin, from 1."""
    lines: tuple[tuple[str, str], ...]
    """Sign and text of each, without its end."""
    leaves_open: bool = False
    """Whether it says that the file's last line has no line feed."""

    @property
    def old(self) -> list[str]:
        """The lines that it expects."""
        return [text for sign, text in self.lines if sign != "+"]


@dataclass(frozen=True, slots=True)
class FileEdits:
    """What a patch does to one file."""

    path: str
    is_new: bool
    edits: tuple[Edit, ...]


def read_edits(patch: str) -> list[FileEdits]:
    """Read a patch; the edits of a file that comes twice are put together.

    Raises:
        PatchFault: it is none, or renames, deletes, changes a mode, or names a file as none may be named.
    """
    if len(patch) > MOST_CHARACTERS:
        raise PatchFault(f"the patch has more than {MOST_CHARACTERS:,} characters")
    lines = _recounted(patch.split("\n"))
    try:
        files = PatchSet([f"{line}\n" for line in lines])
    except (UnidiffParseError, ValueError) as error:
        raise PatchFault(f"the patch cannot be read: {shown(str(error).strip())}") from None
    if not files:
        raise PatchFault("there is no file in the patch: each begins with `--- a/path` and `+++ b/path`")
    if len(files) > MOST_FILES:
        raise PatchFault(f"the patch changes more than {MOST_FILES} files")
    read: dict[str, FileEdits] = {}
    for file in files:
        each = _edits_of(file)
        before = read.get(each.path)
        if before is not None:
            each = FileEdits(each.path, before.is_new, before.edits + each.edits)
        read[each.path] = each
    return list(read.values())


def _recounted(lines: Sequence[str]) -> list[str]:
    """Return the lines with headers that count what follows them."""
    counted: list[str] = []
    at = 0
    while at < len(lines):
        header = _HEADER.match(lines[at])
        if header is None:
            counted.append(lines[at].removesuffix("\r"))
            at += 1
            continue
        end = _end_as_declared(lines, at + 1, header)
        if end is None or _goes_on(lines, end):
            end = _end_as_scanned(lines, at + 1)
        body = [line.removesuffix("\r") for line in lines[at + 1 : end]]
        old = sum(line[:1] not in {"+", "\\"} for line in body)
        new = sum(line[:1] not in {"-", "\\"} for line in body)
        counted += [f"@@ -{header[1]},{old} +{header[3]},{new} @@{header[5].rstrip()}", *body]
        at = end
    return counted


def _end_as_declared(lines: Sequence[str], at: int, header: re.Match[str]) -> int | None:
    """Return where a hunk ends by its header; `None`: it has not these lines."""
    old, new = int(header[2] or 1), int(header[4] or 1)
    while old > 0 or new > 0:
        if at == len(lines) or lines[at][:1] not in {"", " ", "+", "-", "\\"}:
            return None
        sign = lines[at][:1]
        old -= sign not in {"+", "\\"}
        new -= sign not in {"-", "\\"}
        at += 1
    if old < 0 or new < 0:
        return None
    return at + (at < len(lines) and lines[at].startswith("\\"))


def _goes_on(lines: Sequence[str], at: int) -> bool:
    """Whether lines of a hunk follow behind its end."""
    return at < len(lines) and lines[at][:1] in {" ", "+", "-"} and not _begins_file(lines, at)


def _end_as_scanned(lines: Sequence[str], at: int) -> int:
    """Return where a hunk ends by its lines, without empty ones behind it."""
    end = at
    while end < len(lines) and lines[end][:1] in {"", " ", "+", "-", "\\"} and not _begins_file(lines, end):
        end += 1
    while end > at and not lines[end - 1].strip("\r"):
        end -= 1
    return end


def _begins_file(lines: Sequence[str], at: int) -> bool:
    return (
        lines[at].startswith("--- ")
        and lines[at + 1 : at + 2] != []
        and lines[at + 1].startswith("+++ ")
        and (at + 2 == len(lines) or _HEADER.match(lines[at + 2]) is not None)
    )


def _edits_of(file: PatchedFile) -> FileEdits:
    path = _path_of(file)
    is_new = file.source_file == DEV_NULL
    info = "".join(file.patch_info or ())
    if file.target_file == DEV_NULL:
        raise PatchFault("it deletes the file, which no patch may", path)
    if "rename from " in info or "copy from " in info:
        raise PatchFault("it renames or copies the file; write the new file whole", path)
    if file.is_binary_file:
        raise PatchFault("it is binary", path)
    modes = {file.source_mode, file.target_mode}
    if modes - _MODES or len(modes - {None}) > 1:
        raise PatchFault("it changes what kind of file this is, which no patch may", path)
    if not file and not is_new:
        raise PatchFault("it has no hunk: one begins with `@@ -first,lines +first,lines @@`", path)
    edits = tuple(_edit(number, hunk) for number, hunk in enumerate(file, 1))
    if is_new and any(edit.old for edit in edits):
        raise PatchFault("the file is new, and yet lines of it are to be there", path)
    return FileEdits(path, is_new, edits)


def _edit(number: int, hunk: Hunk) -> Edit:
    lines: list[tuple[str, str]] = []
    leaves_open = False
    for line in hunk:
        if line.line_type == "\\":
            leaves_open = bool(lines) and lines[-1][0] == "+"
        elif line.line_type:
            lines.append((line.line_type, line.value.removesuffix("\n")))
    return Edit(number, max(hunk.source_start, 1), tuple(lines), leaves_open)


def _path_of(file: PatchedFile) -> str:
    """Return the path of a file, relative to the workspace."""
    source, target = file.source_file.strip(), file.target_file.strip()
    if '"' in source + target:
        raise PatchFault(UNPLAIN, target)
    if DEV_NULL in {source, target}:
        path = source if target == DEV_NULL else target
        path = path[2:] if path.startswith(("a/", "b/")) else path
    elif source.startswith("a/") and target.startswith("b/"):
        path = target[2:]
        if source[2:] != path:
            raise PatchFault("it renames or copies the file; write the new file whole", path)
    else:
        path = target
        if source != target:
            raise PatchFault("it renames or copies the file; write the new file whole", path)
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", path):
        raise PatchFault("it is outside the workspace; paths in a patch are relative to it", path)
    if not path.isprintable() or not 0 < len(path) <= MOST_NAME or "\\" in path or {"", "."} & set(parts):
        raise PatchFault(UNPLAIN, path)
    if ".git" in {part.casefold() for part in parts}:
        raise PatchFault("it is a file of git's own, which no patch may change", path)
    return path
