"""What is reviewed: a change of the repository that the command is called in, or files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

__all__ = ["Subject", "repository_of"]

KEYWORDS = frozenset({"staged", "unstaged", "all"})
"""What the tool's `change` may be beside a revision."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A folder, and what of it is reviewed."""

    folder: Path
    """The top of the repository; without one, the working folder."""
    change: str | None
    """As the tool `review` takes it; `None`: whole files."""
    paths: tuple[str, ...] = ()
    """Relative to the folder."""
    without: tuple[str, ...] = ()
    """What is not looked at, relative to the folder: what the command writes itself."""

    @classmethod
    def chosen(
        cls,
        cwd: Path,
        paths: Sequence[Path],
        *,
        staged: bool,
        base: str | None,
        span: str | None,
        written: Sequence[Path] = (),
    ) -> "Subject":
        """Read the options; `written` are files that the command writes.

        Raises:
            typer.BadParameter: they contradict one another, or a path lies outside the folder or is missing.
        """
        if sum((staged, base is not None, span is not None)) > 1:
            raise typer.BadParameter("give one of --staged, --base and --range")
        top = repository_of(cwd)
        change = _change(staged=staged, base=base, span=span)
        if top is None and (change is not None or not paths):
            raise typer.BadParameter(
                f"{cwd} is in no git repository, so there is no change to review; name the files, or change to "
                "the folder of a repository"
            )
        folder = (top or cwd).resolve()
        inside = tuple(_inside(folder, cwd / path) for path in paths)
        places = [path.parent.resolve() / path.name for path in written]
        own = tuple(each.relative_to(folder).as_posix() for each in places if each.is_relative_to(folder))
        return cls(folder, "all" if change is None and not paths else change, inside, own)


def repository_of(folder: Path) -> Path | None:
    """Return the top of the work tree that a folder is in."""
    return next((top for top in (folder, *folder.parents) if os.path.lexists(top / ".git")), None)


def _change(*, staged: bool, base: str | None, span: str | None) -> str | None:
    if staged:
        return "staged"
    if span is not None:
        if ".." not in span:
            raise typer.BadParameter(f"--range takes two commits, as main..HEAD, not {span!r}")
        return span
    if base is not None and (not base.strip() or ".." in base):
        raise typer.BadParameter(f"--base takes one commit, as main, not {base!r}; two are a --range")
    return f"{base}~0" if base in KEYWORDS else base


def _inside(folder: Path, path: Path) -> str:
    """Return where a path is in the folder. Its last part may be a link, which is looked at as what it is."""
    if not os.path.lexists(path):
        raise typer.BadParameter(f"{path.name} is not there")
    real = path.parent.resolve() / path.name if path.name not in {"", ".."} else path.resolve()
    if not real.is_relative_to(folder):
        raise typer.BadParameter(f"{path} lies outside {folder}, which is reviewed")
    return real.relative_to(folder).as_posix()
