"""The persona `writer`: answers with a unified diff that makes its scripted edits of the lines that it was shown."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

__all__ = ["ScriptedEdit", "ScriptedPatch", "written_patch"]

_CONTEXT = 2
_SHIFT = 40


class ScriptedEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Lines of one file that are replaced by others."""

    path: str
    new: str
    """The lines that come, without a line feed at the end."""
    old: str = ""
    """The lines that go, which have to be shown; empty: the file is new."""


class ScriptedPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a `writer` writes.

    - `right`: as the lines were shown.
    - `shifted`: the same under wrong line numbers and counts.
    - `failing`: with a line around the change that does not stand there.
    - `mended`: `failing` at first; `right` where the request shows a patch of the file that was written before.
    """

    edits: tuple[ScriptedEdit, ...] = ()
    form: Literal["right", "shifted", "failing", "mended"] = "right"


def written_patch(patch: ScriptedPatch, shown: Mapping[str, Mapping[int, str]], texts: Sequence[str]) -> str:
    """The answer: a patch in a fence, or which lines were not shown."""
    parts, missing = [], []
    for edit in patch.edits:
        is_failing = patch.form == "failing" or (
            patch.form == "mended" and not any(f"+++ b/{edit.path}" in text for text in texts)
        )
        part = _part(
            edit, shown.get(edit.path, {}), is_failing=is_failing, is_shifted=patch.form == "shifted"
        )
        if part is None:
            missing.append(edit.path)
        else:
            parts.append(part)
    if missing or not parts:
        return f"I was not shown what I would change of {', '.join(missing) or 'anything'}."
    return f"This is the patch.\n\n```diff\n{''.join(parts)}```\n"


def _part(edit: ScriptedEdit, lines: Mapping[int, str], *, is_failing: bool, is_shifted: bool) -> str | None:
    new = edit.new.split("\n")
    if not edit.old:
        body = "".join(f"+{line}\n" for line in new)
        return f"--- /dev/null\n+++ b/{edit.path}\n@@ -0,0 +1,{len(new)} @@\n{body}"
    old = edit.old.split("\n")
    first = next(
        (
            number
            for number in sorted(lines)
            if [lines.get(number + offset) for offset in range(len(old))] == old
        ),
        None,
    )
    if first is None:
        return None
    before = _around(lines, range(first - 1, first - 1 - _CONTEXT, -1))[::-1]
    after = _around(lines, range(first + len(old), first + len(old) + _CONTEXT))
    counts = (len(before) + len(old) + len(after), len(before) + len(new) + len(after))
    begin = first - len(before)
    if is_failing:
        old = [f"{old[0]} emulated", *old[1:]]
    if is_shifted:
        begin, counts = begin + _SHIFT, (counts[0] + 1, 1)
    body = "".join(
        f"{sign}{line}\n"
        for sign, group in ((" ", before), ("-", old), ("+", new), (" ", after))
        for line in group
    )
    return f"--- a/{edit.path}\n+++ b/{edit.path}\n@@ -{begin},{counts[0]} +{begin},{counts[1]} @@\n{body}"


def _around(lines: Mapping[int, str], numbers: range) -> list[str]:
    """The lines with these numbers, up to the first that was not shown."""
    found = []
    for number in numbers:
        if number not in lines:
            break
        found.append(lines[number])
    return found
