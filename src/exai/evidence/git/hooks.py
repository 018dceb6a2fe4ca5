"""Where git looks for the hooks of a work tree, and which index it is using."""

import os
from collections.abc import Mapping
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.repo import Repo

from exai.evidence.faults import NotARepository

__all__ = ["WorkTree"]


class WorkTree:
    """A work tree of the person who runs a command, whose own configuration of git counts."""

    def __init__(self, folder: Path) -> None:
        """Find the work tree that a folder is in.

        Raises:
            NotARepository: it is in none.
        """
        try:
            self._repo = Repo.discover(str(folder))
        except (NotGitRepository, OSError, ValueError) as error:
            raise NotARepository(f"{folder} is in no git repository whose work tree is here.") from error
        if self._repo.bare:
            self._repo.close()
            raise NotARepository(f"{folder} is in a bare repository, which has no work tree.")
        self.top = Path(self._repo.path).resolve()

    def close(self) -> None:
        """Let go of the repository."""
        self._repo.close()

    @property
    def git_folders(self) -> tuple[Path, Path]:
        """The folder of git's files of this work tree, and that of those which all its work trees share."""
        own, shared = self._repo.controldir(), self._repo.commondir()
        return Path(os.fsdecode(own)).resolve(), Path(os.fsdecode(shared)).resolve()

    def hooks(self) -> Path:
        """Return the folder of hooks: what `core.hooksPath` names, else the one of the repository."""
        try:
            named = self._repo.get_config_stack().get((b"core",), b"hooksPath")
        except KeyError:
            return self.git_folders[1] / "hooks"
        # A relative one counts from where git runs hooks, which is the top of the work tree.
        return self.top / Path(os.fsdecode(named)).expanduser()

    def index(self, environ: Mapping[str, str]) -> Path | None:
        """Return the index that git has a hook look at, where it is another one than that of the work tree.

        `git commit -a` and `git commit FILE` make one for the commit, and leave the usual one as it is meanwhile.
        """
        named = environ.get("GIT_INDEX_FILE")
        if not named:
            return None
        path = (self.top / named).resolve()
        return None if path == self.git_folders[0] / "index" else path
