"""A change that the command reads itself, for a daemon that cannot see it; what looks like a secret is replaced."""

import os
from contextlib import closing
from pathlib import Path

from exai.evidence.git.changes import Change, change_of
from exai.evidence.git.hooks import WorkTree
from exai.evidence.trees import FolderTree

__all__ = ["commit_index", "git_roots", "own_change"]


def git_roots(folder: Path) -> tuple[Path, ...]:
    """Return the folders that are read for the changes of a work tree: its own, and where git keeps what is its."""
    with closing(WorkTree(folder)) as tree:
        return tuple(dict.fromkeys((tree.top, *tree.git_folders)))


def commit_index(folder: Path) -> Path | None:
    """Return the index of the commit that a hook is run for, where it is not the one of the work tree."""
    with closing(WorkTree(folder)) as tree:
        return tree.index(os.environ)


def own_change(folder: Path, change: str) -> Change:
    """Read a change of the work tree at a folder, with the index of the commit that is being made.

    Raises:
        NotARepository: there is none.
        BadArguments: it has no such commit.
    """
    index = commit_index(folder)
    tree = FolderTree(str(folder), [str(root) for root in git_roots(folder)])
    return change_of(change, tree, index_file=None if index is None else str(index))
