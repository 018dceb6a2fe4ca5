"""Opens the sources of what fails: repositories that are named for it, and the installed package.

Each is read by the process of a workspace while it is open: no other program is started, and nothing is written.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from exai.app.faults.checkout import checkout_of
from exai.app.faults.release import PACKAGE
from exai.error_tracking.faults import OWN_PROJECT
from exai.error_tracking.investigation.gathering.sources import (
    OpenSources,
    SourceCommit,
    SourceLines,
    SourceReader,
    SourceUnavailable,
)
from exai.errors import ToolFault
from exai.evidence.requests import (
    BlameAt,
    CommitNamed,
    HistoryAt,
    Lines,
    LinesAt,
    NamedCommit,
    Opening,
    Suspect,
    Suspects,
    SuspectsOf,
)
from exai.evidence.workspace import Workspace
from exai.storage.error_tracking.projects import Project, ProjectTables

__all__ = ["open_sources_of"]

ANSWER_S = 20.0
T = TypeVar("T")


def open_sources_of(projects: ProjectTables, repository: Path | None) -> OpenSources:
    """Return what opens the sources of a project; `repository` is the checkout of EXAI, where the settings name one."""

    @asynccontextmanager
    async def opened(project_id: int) -> AsyncIterator[SourceReader | None]:
        if project_id == OWN_PROJECT:
            reader: WorkspaceSources | None = _own(repository)
        else:
            reader = _of_program(await projects.find(project_id))
        if reader is None:
            yield None
            return
        try:
            yield reader
        finally:
            await reader.close()

    return opened


def _own(repository: Path | None) -> "WorkspaceSources":
    top = checkout_of(PACKAGE) if repository is None else repository.resolve()
    if top is None:
        return WorkspaceSources("", PACKAGE, PACKAGE)
    inside = PACKAGE.parent if PACKAGE.is_relative_to(top) else top / "src"
    return WorkspaceSources(str(top), top, inside if inside.is_dir() else top)


def _of_program(project: Project | None) -> "WorkspaceSources | None":
    if project is None or not project.repository:
        return None
    top = Path(project.repository).resolve()
    inside = (top / (project.path_prefix or "")).resolve()
    if not inside.is_relative_to(top):
        raise SourceUnavailable("The folder of the program leads out of its repository.")
    return WorkspaceSources(str(top), top, inside)


class WorkspaceSources:
    """Sources that the process of a workspace reads."""

    def __init__(self, repository: str, root: Path, folder: Path) -> None:
        """`folder` is where in the repository, or installed, the program lies."""
        self.repository = repository
        self._workspace = Workspace(Opening(folder=str(folder), roots=(str(root),)), answer_s=ANSWER_S)

    async def close(self) -> None:
        """End the process that reads."""
        await self._workspace.close()

    async def commit_named(self, names: Sequence[str]) -> str:
        return (await _answer(self._workspace.ask(CommitNamed(tuple(names)), NamedCommit))).commit

    async def lines(self, commit: str, path: str, first: int, last: int) -> SourceLines:
        if commit:
            found = await _answer(self._workspace.ask(LinesAt(commit, path, first, last), Lines))
        else:
            inside = path.rpartition(f"/{PACKAGE.name}/")[2]
            found = await _answer(self._workspace.read_lines(inside, first, last))
        return SourceLines(found.path, found.first, found.lines)

    async def suspects(
        self, since: str, until: str, places: Sequence[tuple[str, int]]
    ) -> Sequence[SourceCommit]:
        found = await _answer(self._workspace.ask(SuspectsOf(since, until, tuple(places)), Suspects))
        return [_commit(each) for each in found.commits]

    async def blame(self, commit: str, path: str, line: int) -> SourceCommit:
        return _commit(await _answer(self._workspace.ask(BlameAt(commit, path, line), Suspect)))

    async def history(self, commit: str, path: str) -> Sequence[SourceCommit]:
        found = await _answer(self._workspace.ask(HistoryAt(commit, path), Suspects))
        return [_commit(each) for each in found.commits]

    async def change(self, commit: str, path: str) -> Sequence[str]:
        return (await _answer(self._workspace.git_show(commit, path))).lines


async def _answer(question: Awaitable[T]) -> T:
    try:
        return await question
    except ToolFault as error:
        raise SourceUnavailable(str(error)) from None


def _commit(found: Suspect) -> SourceCommit:
    return SourceCommit(found.commit, found.title, found.path, found.lines, found.is_at_place)
