"""Patches that stages answer with, compared with the workspace as soon as they are there."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from exai.evidence.requests import CheckedPatch, PatchedFile, PatchProblem

__all__ = ["PATCH", "WrittenPatch", "patch_in"]

PATCH = "patch"
"""The answer of a stage that writes one, as definitions name it."""


_FENCE = re.compile(r"^```(?:diff|patch|udiff)?[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^(?:diff --git |--- [^\n]*\n\+\+\+ )", re.MULTILINE)


class WrittenPatch(msgspec.Struct, frozen=True):
    """A unified diff, and what it would do to the workspace."""

    summary: str
    """What the model says beside it."""
    patch: str
    """Empty: there is none in the answer."""
    files: tuple[PatchedFile, ...] = ()
    problems: tuple[PatchProblem, ...] = ()
    """Empty: it applies."""

    @classmethod
    def of(cls, summary: str, checked: CheckedPatch, *, is_cut: bool) -> "WrittenPatch":
        """Make it of what was found; `is_cut`: the answer ended at its cap."""
        problems = checked.problems
        if is_cut:
            cut = PatchProblem("", 0, "the answer was cut at its cap, so that something may be missing")
            problems = (cut, *problems)
        return cls(summary, checked.patch, checked.files, problems)

    def text(self) -> str:
        """Write it for a reader, and for the stage that mends it."""
        parts = [self.summary] if self.summary else []
        if self.patch:
            parts.append(f"```diff\n{self.patch.rstrip(chr(10))}\n```")
        if self.problems:
            lines = "\n".join(f"- {problem.text()}" for problem in self.problems)
            parts.append(f"What keeps it from being applied:\n\n{lines}")
        return "\n\n".join(parts)

    def facts(self) -> dict[str, float]:
        """Return what conditions may ask for."""
        return {"patch_problems": len(self.problems)}


def patch_in(answer: str) -> tuple[str, str]:
    """Return the patch in an answer, and what is said beside it; the patch is empty where there is none."""
    answer = answer.replace("\r\n", "\n")
    fenced = [found for found in _FENCE.finditer(answer) if _FILE.search(found[1])]
    if fenced:
        beside = "".join(_between(answer, fenced))
        return "".join(found[1] for found in fenced), beside.strip()
    begin = _FILE.search(answer)
    if begin is None:
        return "", answer.strip()
    return answer[begin.start() :], answer[: begin.start()].strip()


def _between(answer: str, found: Sequence[re.Match[str]]) -> Iterator[str]:
    at = 0
    for each in found:
        yield answer[at : each.start()]
        at = each.end()
    yield answer[at:]
