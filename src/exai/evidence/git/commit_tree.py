"""The files of a commit that need not be checked out, read from the objects of its repository."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import PurePath

from exai.errors import BadArguments
from exai.evidence.faults import NotARepository
from exai.evidence.git.objects import Commit, Entry, Repository, Unreadable
from exai.evidence.trees import MOST_FILE_BYTES, Document, FolderTree, Tree, document_of
from exai.files.checks import secret_kind
from exai.files.paths.walk import LeftOut
from exai.protocol.surrogates import is_text

__all__ = ["CommitTree", "commit_tree"]

_FILES = (0o100644, 0o100755)
_FOLDER = 0o040000


class CommitTree:
    """See `Tree`; paths are relative to the root of the repository."""

    left_out: Sequence[LeftOut] = ()

    def __init__(self, repository: Repository, commit: Commit, *, keeps_secrets: bool = False) -> None:
        self.keeps_secrets = keeps_secrets
        self._repository = repository
        self._commit = commit

    @cached_property
    def files(self) -> Mapping[str, int]:
        """Walk the commit; the sizes of its files are not known without reading them, and are 0."""
        changes = self._repository.differences(None, self._commit.tree)
        return {
            path: 0
            for path, _, entry in changes
            if entry is not None
            and entry.mode in _FILES
            and is_text(path)
            and (self.keeps_secrets or secret_kind(PurePath(path)) is None)
        }

    def read(self, path: str) -> Document | None:
        """Read a file."""
        data = self.bytes_of(path)
        return None if data is None else document_of(path, data, keeps_secrets=self.keeps_secrets)

    def bytes_of(self, path: str) -> bytes | None:
        """Read the bytes of a file, whatever it is; `None`: there is none, or it is too large or broken."""
        entry = self._entry(path)
        if entry is None or entry.mode not in _FILES:
            return None
        try:
            data = self._repository.blob(entry.sha)
        except Unreadable:
            return None
        return data if len(data) <= MOST_FILE_BYTES else None

    def refusal_of_new(self, path: str) -> str | None:
        """Say why no new file can stand at a path: something is there, or a link or a file on the way."""
        parts = path.split("/")
        for length in range(1, len(parts)):
            on_the_way = self._entry("/".join(parts[:length]))
            if on_the_way is None:
                return None
            if on_the_way.mode != _FOLDER:
                return "a link or a file is where one of its folders would be"
        return None if self._entry(path) is None else "something is there already; change it by hunks"

    def _entry(self, path: str) -> Entry | None:
        try:
            return self._repository.entry(self._commit, path)
        except Unreadable:
            return None


@contextmanager
def commit_tree(tree: Tree, rev: str) -> Iterator[CommitTree]:
    """Open the files of a commit of a workspace's repository.

    Raises:
        NotARepository: the workspace is in none, or its repository cannot be read.
        BadArguments: there is no such commit.
    """
    found = Repository.find(tree.folder, tree.roots) if isinstance(tree, FolderTree) else None
    if found is None:
        raise NotARepository("The workspace is in no repository of git that may be read.")
    try:
        yield CommitTree(found, found.commit(found.resolve(rev)), keeps_secrets=tree.keeps_secrets)
    except Unreadable as error:
        raise BadArguments(f"Commit {rev[:12]} cannot be read: {error}.") from None
    finally:
        found.close()
