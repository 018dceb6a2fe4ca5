"""Writes changes as a unified diff, which `hunks` reads again."""

from collections.abc import Iterable, Iterator

from exai.evidence.git.hunks import FileChange, Hunk

__all__ = ["patch_of"]

NOTHING = "/dev/null"


def patch_of(files: Iterable[FileChange]) -> str:
    """Write the hunks of files, with their paths as they are; a name that a diff cannot have is left out."""
    return "".join(f"{line}\n" for file in files if file.path.isprintable() for line in _lines(file))


def _lines(file: FileChange) -> Iterator[str]:
    if not file.hunks:
        return
    yield f"--- {NOTHING if file.status == 'added' else f'a/{file.path}'}"
    yield f"+++ {NOTHING if file.status == 'deleted' else f'b/{file.path}'}"
    grown = 0
    for hunk in file.hunks:
        old, new = _counts(hunk)
        yield f"@@ -{_span(hunk.first - grown, old)} +{_span(hunk.first, new)} @@"
        yield from hunk.lines
        grown += new - old


def _counts(hunk: Hunk) -> tuple[int, int]:
    """How many lines it has before and after the change."""
    return sum(line[:1] != "+" for line in hunk.lines), sum(line[:1] != "-" for line in hunk.lines)


def _span(first: int, count: int) -> str:
    """Where there is no line, the one before it is named."""
    return f"{first if count else first - 1},{count}"
