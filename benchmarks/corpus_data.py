"""The corpus: small projects, planted defects with what must be seen for them, clean changes, injections.

    corpus = load()
    for defect in corpus.defects:
        before = corpus.files(defect.project)
        after = corpus.changed(defect)

`held_out` projects are a third of it. They are not to be looked at before figures are taken, so that nothing is fitted
to them.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

__all__ = [
    "CORPUS",
    "Clean",
    "Corpus",
    "Defect",
    "DefectClass",
    "DoesNotApply",
    "Injection",
    "Project",
    "Range",
    "apply_diff",
    "load",
    "write_tree",
]

CORPUS = Path(__file__).parent / "corpus"

Language = Literal["python", "typescript", "go", "rust", "java"]
DefectClass = Literal[
    "logic", "boundary", "error", "resource", "concurrency", "security", "contract", "state"
]
InjectionKind = Literal["call", "repeat", "silence", "claim", "fetch", "frame"]

_COMMENTS: Mapping[str, str] = {"python": "#", "typescript": "//", "go": "//", "rust": "//", "java": "//"}
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
_LEAST_MARKED = 8


class DoesNotApply(ValueError):
    """A diff whose context is not what the project has."""


class Project(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project of the corpus."""

    name: str
    language: Language
    held_out: bool


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines of a file, both included, as they are after the change."""

    path: str
    first: int
    last: int


class Defect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"kind": "class"}):
    """A planted defect."""

    id: str
    project: str
    kind: DefectClass
    title: str
    needs_another_file: bool
    """Whether nobody can see it in the files alone in which it is."""
    seen_by_tests: bool
    """Whether the project's own tests fail with it."""
    gold: tuple[Range, ...]
    """Without these nobody can see it; the first is the place of the defect."""


class Clean(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change without a defect."""

    id: str
    project: str
    title: str


class Injection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text that tells its reader what to do, and the defect beside which it stands."""

    id: str
    kind: InjectionKind
    defect: str
    text: str


Row = TypeVar("Row", Project, Defect, Clean, Injection)


@dataclass(frozen=True, slots=True)
class Corpus:
    """All of it."""

    folder: Path
    projects: tuple[Project, ...]
    defects: tuple[Defect, ...]
    clean: tuple[Clean, ...]
    injections: tuple[Injection, ...]

    def project(self, name: str) -> Project:
        """A project by its name."""
        return next(project for project in self.projects if project.name == name)

    def defect(self, defect_id: str) -> Defect:
        """A defect by its id."""
        return next(defect for defect in self.defects if defect.id == defect_id)

    def is_held_out(self, row: Defect | Clean | Injection) -> bool:
        """Whether it is of the third that nobody looks at."""
        name = self.defect(row.defect).project if isinstance(row, Injection) else row.project
        return self.project(name).held_out

    def files(self, project: str) -> dict[str, str]:
        """The text of each file of a project, by its path."""
        root = self.folder / "projects" / project
        return {
            path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(root.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }

    def diff(self, row: Defect | Clean) -> str:
        """The change as a unified diff."""
        return (self.folder / "changes" / f"{row.id}.diff").read_text(encoding="utf-8")

    def changed(self, row: Defect | Clean) -> dict[str, str]:
        """The files of the project after the change."""
        return apply_diff(self.files(row.project), self.diff(row))

    def injected(self, injection: Injection) -> tuple[dict[str, str], str]:
        """The files after the change of a defect with the text as a comment at the end of its file, and the diff."""
        defect = self.defect(injection.defect)
        before, after = self.files(defect.project), self.changed(defect)
        path = defect.gold[0].path
        mark = _COMMENTS[self.project(defect.project).language]
        after[path] = f"{after[path]}{mark} {injection.text}\n"
        return after, _diff(before, after)

    def gold_lines(self, defect: Defect) -> list[str]:
        """The lines of the gold ranges that tell something, for a reader that reports what it was shown."""
        after = self.changed(defect)
        return [
            line.strip()
            for gold in defect.gold
            for line in after[gold.path].splitlines()[gold.first - 1 : gold.last]
            if len(line.strip()) >= _LEAST_MARKED
        ]


def load(folder: Path = CORPUS) -> Corpus:
    """Read the corpus. Raises msgspec.ValidationError where its form is wrong."""
    return Corpus(
        folder,
        _rows(folder, "projects", "project", Project),
        _rows(folder, "defects", "defect", Defect),
        _rows(folder, "clean", "clean", Clean),
        _rows(folder, "injections", "injection", Injection),
    )


def _rows(folder: Path, file: str, table: str, kind: type[Row]) -> tuple[Row, ...]:
    data = (folder / f"{file}.toml").read_bytes()
    return tuple(msgspec.toml.decode(data, type=dict[str, list[kind]])[table])  # type: ignore[valid-type]


def write_tree(files: Mapping[str, str], folder: Path) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def apply_diff(files: Mapping[str, str], diff: str) -> dict[str, str]:
    """Apply a unified diff by strict context. Raises DoesNotApply."""
    result = dict(files)
    for path, hunks in _parsed(diff):
        old = result.get(path)
        if old is None:
            raise DoesNotApply(f"there is no {path}")
        lines, done, new = old.splitlines(keepends=True), 0, list[str]()
        for start, body in hunks:
            before = [line[1:] for line in body if line[0] in " -"]
            at = start - 1
            if at < done or lines[at : at + len(before)] != before:
                raise DoesNotApply(f"{path} is not so at line {start}")
            new += lines[done:at] + [line[1:] for line in body if line[0] in " +"]
            done = at + len(before)
        result[path] = "".join(new + lines[done:])
    return result


def _parsed(diff: str) -> Iterator[tuple[str, list[tuple[int, list[str]]]]]:
    """The path of each file of a diff, with the first line and the body of each hunk."""
    path, hunks = "", list[tuple[int, list[str]]]()
    for line in diff.splitlines(keepends=True):
        if line.startswith("diff --git "):
            if hunks:
                yield path, hunks
            path, hunks = "", []
        elif line.startswith("+++ b/") and not hunks:
            path = line.removeprefix("+++ b/").strip()
        elif found := _HUNK.match(line):
            hunks.append((int(found[1]), []))
        elif hunks and line[:1] in (" ", "+", "-"):
            hunks[-1][1].append(line)
    if hunks:
        yield path, hunks


def _diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    def of(path: str) -> Iterable[str]:
        one, other = (each.get(path, "").splitlines(keepends=True) for each in (before, after))
        return difflib.unified_diff(one, other, f"a/{path}", f"b/{path}")

    changed = [path for path in sorted(after) if before.get(path) != after[path]]
    return "".join(line for path in changed for line in (f"diff --git a/{path} b/{path}\n", *of(path)))
