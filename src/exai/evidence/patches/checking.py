"""Checks a patch that a model wrote against the files of a workspace, in the process that reads it."""

import ast
from collections.abc import Iterator
from pathlib import PurePath, PurePosixPath

from exai.evidence.code.skeletons import PROSE, NoSkeleton, skeleton
from exai.evidence.patches.applying import applied, rendered
from exai.evidence.patches.parsing import FileEdits, PatchFault, read_edits
from exai.evidence.reading import Reader
from exai.evidence.requests import CheckedPatch, PatchedFile, PatchProblem
from exai.files.checks import secret_kind
from exai.files.paths.opening import shown

__all__ = ["check_patch"]

_MARK = "\ufeff"


def check_patch(reader: Reader, patch: str, *, keeps_code: bool) -> CheckedPatch:
    """Apply a patch in memory; one that applies is written anew, with what is true of the files.

    Args:
        reader: of the workspace.
        patch: a unified diff.
        keeps_code: whether it may change nothing but comments, docstrings and files of prose.
    """
    try:
        files = read_edits(patch)
    except PatchFault as fault:
        return CheckedPatch(patch, problems=(_problem(fault),))
    parts, patched, problems, broken = [], [], [], []
    for each in files:
        try:
            before, after = _changed(reader, each, keeps_code=keeps_code)
        except PatchFault as fault:
            problems.append(_problem(fault))
            continue
        if before == after:
            problems.append(PatchProblem(each.path, 0, "it changes nothing"))
            continue
        if each.path.endswith(".py") and not _is_python("".join(after)):
            broken.append(each.path)
        parts.append(rendered(each.path, before, after))
        patched.append(_counted(each, parts[-1]))
    if problems:
        return CheckedPatch(patch, tuple(patched), tuple(problems), tuple(broken))
    return CheckedPatch("".join(parts), tuple(patched), broken=tuple(broken))


def _is_python(source: str) -> bool:
    """Return whether a text can be parsed as Python; it is not run."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _changed(reader: Reader, file: FileEdits, *, keeps_code: bool) -> tuple[list[str] | None, list[str]]:
    """Return the lines of a file before and after, each with its end.

    Raises:
        PatchFault: the edits do not apply, or may not.
    """
    before, readable = _lines_of(reader, file)
    has_mark = bool(before) and before[0].startswith(_MARK)
    bare = [before[0].removeprefix(_MARK), *before[1:]] if has_mark else before
    after = applied(bare, file.edits, file.path, readable)
    if has_mark and after:
        after[0] = _MARK + after[0]
    if not reader.tree.keeps_secrets and secret_kind(PurePath(file.path), "".join(after)) is not None:
        raise PatchFault("it would hold a secret", file.path)
    if keeps_code:
        _check_code(file.path, "".join(before), "".join(after))
    return None if file.is_new else before, after


def _lines_of(reader: Reader, file: FileEdits) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines of a file with their ends, and as they may be shown."""
    tree, path = reader.tree, file.path
    if not tree.keeps_secrets and secret_kind(PurePath(path)) is not None:
        raise PatchFault("it is there to hold a secret, and is neither read nor changed", path)
    if file.is_new:
        if (why := tree.refusal_of_new(path)) is not None:
            raise PatchFault(why, path)
        return [], ()
    document, data = tree.read(path), tree.bytes_of(path)
    if document is None or data is None:
        raise PatchFault(
            "the workspace has no such text file that may be read; a new file begins with `--- /dev/null`",
            path,
        )
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise PatchFault("it is not in UTF-8, and a patch is", path) from None
    return _split(text), document.lines


def _split(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop().removesuffix("\n")
    return [*lines, last] if last else lines


def _check_code(path: str, before: str, after: str) -> None:
    """Refuse what changes more than comments.

    Raises:
        PatchFault: it does, or that cannot be told.
    """
    if PurePosixPath(path).suffix.lower() in PROSE:
        return
    try:
        old, new = skeleton(path, before.encode()), skeleton(path, after.encode())
    except NoSkeleton as error:
        raise PatchFault(f"documentation may not change it: {error}", path) from None
    if old == new:
        return
    other = next((token for token, was in zip(new, old, strict=False) if token != was), ("", b""))
    near = other[1].decode(errors="replace")
    raise PatchFault(
        "documentation may change comments, docstrings and prose alone, and this changes code"
        + (f" (near `{shown(near[:80])}`)" if near.strip("()") else ""),
        path,
    )


def _counted(file: FileEdits, patch: str) -> PatchedFile:
    signs = [line[0] for line in _hunk_lines(patch)]
    return PatchedFile(file.path, file.is_new, signs.count("+"), signs.count("-"))


def _hunk_lines(patch: str) -> Iterator[str]:
    is_inside = False
    for line in patch.split("\n"):
        is_inside = is_inside or line.startswith("@@ ")
        if is_inside and line:
            yield line


def _problem(fault: PatchFault) -> PatchProblem:
    return PatchProblem(fault.path, fault.hunk, str(fault))
