"""Edits applied to the lines of a file, strictly: each line that a hunk expects is there as it says, or it fails.

Where a hunk stands elsewhere than it says, it is moved if there is one such place. How lines end is no matter of the
patch, as models are not shown it: the file decides.
"""

from collections.abc import Iterator, Sequence

from exai.evidence.git.hunks import Hunk, hunks_of
from exai.evidence.patches.parsing import Edit, PatchFault

__all__ = ["applied", "rendered"]

NO_NEWLINE = "\\ No newline at end of file"


def applied(lines: Sequence[str], edits: Sequence[Edit], path: str, readable: Sequence[str]) -> list[str]:
    """Return the lines as they are after the edits, each with its end.

    Args:
        lines: of the file, each with its end.
        edits: of one file.
        path: of the file.
        readable: the lines as they may be shown, for what is said of one that differs.

    Raises:
        PatchFault: an edit does not apply.
    """
    bare = [_bare(line) for line in lines]
    places = sorted(((_place(bare, edit, path, readable), edit) for edit in edits), key=lambda pair: pair[0])
    end = _usual_end(lines)
    after: list[str] = []
    done = 0
    for place, edit in places:
        if place < done:
            raise PatchFault("it changes lines that another hunk changes too", path, edit.number)
        after += lines[done:place]
        done = place
        for sign, text in edit.lines:
            if sign == "+":
                after.append(text + end)
                continue
            if sign == " ":
                after.append(lines[done])
            done += 1
        if edit.leaves_open and done == len(lines):
            after[-1] = _bare(after[-1])
    after += lines[done:]
    return [line if line.endswith("\n") else line + end for line in after[:-1]] + after[-1:]


def rendered(path: str, before: Sequence[str] | None, after: Sequence[str]) -> str:
    """Write a file's change as `git apply` takes it, with true line numbers, counts and ends of lines.

    Args:
        path: relative to the workspace.
        before: the file's lines with their ends; `None`: it is new.
        after: the lines after the change.
    """
    # A tab ends a name that has spaces.
    name = f"{path}\t" if " " in path else path
    head = f"diff --git a/{path} b/{path}\n"
    if before is None:
        head += "new file mode 100644\n"
        if not after:
            return f"{head}index 0000000..e69de29\n"
    old = "/dev/null" if before is None else f"a/{name}"
    shift = 0
    parts = [f"{head}--- {old}\n+++ b/{name}\n"]
    for hunk in hunks_of(before or (), after):
        parts += _rendered_hunk(hunk, shift)
        shift += sum({"+": 1, "-": -1, " ": 0}[line[0]] for line in hunk.lines)
    return "".join(parts)


def _rendered_hunk(hunk: Hunk, shift: int) -> Iterator[str]:
    old = sum(line[0] != "+" for line in hunk.lines)
    new = sum(line[0] != "-" for line in hunk.lines)
    first = hunk.first - shift
    yield f"@@ -{first - (old == 0)},{old} +{hunk.first - (new == 0)},{new} @@\n"
    for line in hunk.lines:
        yield line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}\n"


def _place(bare: Sequence[str], edit: Edit, path: str, readable: Sequence[str]) -> int:
    """Return where an edit's lines begin, from 0."""
    old, said = edit.old, edit.first - 1
    if not old:
        if not bare:
            return 0
        raise PatchFault("it has no line of the file beside what it adds", path, edit.number)
    if list(bare[said : said + len(old)]) == old:
        return said
    found = _places(bare, old)
    if len(found) == 1:
        return found[0]
    if found:
        raise PatchFault(
            f"its lines stand at several places, from lines {found[0] + 1} and {found[1] + 1} on, and not at "
            f"line {edit.first}; give more lines around the change",
            path,
            edit.number,
        )
    raise PatchFault(_difference(bare, edit, readable), path, edit.number)


def _places(bare: Sequence[str], old: Sequence[str]) -> list[int]:
    """Return the first two places at which lines stand."""
    found = []
    for at in range(len(bare) - len(old) + 1):
        if bare[at] == old[0] and list(bare[at : at + len(old)]) == list(old):
            found.append(at)
            if len(found) == 2:
                break
    return found


def _difference(bare: Sequence[str], edit: Edit, readable: Sequence[str]) -> str:
    """Say which line of an edit is not there, at the place that is most like it."""
    old = edit.old

    def alike(at: int) -> tuple[int, int]:
        count = 0
        for expected, there in zip(old, bare[at:], strict=False):
            if expected != there:
                break
            count += 1
        return count, -abs(at - edit.first + 1)

    best = max((at for at, line in enumerate(bare) if line == old[0]), key=alike, default=edit.first - 1)
    common = alike(best)[0]
    at = best + common
    expected = old[common]
    if at >= len(bare):
        return f"it expects {_quoted(expected)} at line {at + 1}, and the file has {len(bare)} lines"
    there = readable[at] if at < len(readable) else bare[at]
    if there != bare[at]:
        return (
            f"it expects {_quoted(expected)} at line {at + 1}, which holds what looks like a secret and is not shown; "
            "leave that line out of the hunk"
        )
    return f"it expects {_quoted(expected)} at line {at + 1}, where {_quoted(there)} stands"


def _quoted(line: str) -> str:
    text = line if len(line) <= 200 else f"{line[:200]}…"
    return f"`{text}`" if text.strip() else "an empty line" if not text else "a line of blanks"


def _usual_end(lines: Sequence[str]) -> str:
    """Return how most lines end."""
    returns = sum(line.endswith("\r\n") for line in lines)
    return "\r\n" if returns * 2 > len(lines) else "\n"


def _bare(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")
