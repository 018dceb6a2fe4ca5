"""A change of a workspace: staged, unstaged, all of it, since a ref, between two commits, or in a unified diff.

What was and what is are compared as lines without secrets, as they are in the repository and on disk: nothing that
`.gitattributes` names is run, and endings of lines do not count.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath

from exai.evidence.faults import NotARepository
from exai.evidence.git.hunks import FileChange, hunks_of, read_patch
from exai.evidence.git.objects import Entry, Repository, Unreadable
from exai.evidence.trees import FolderTree, Tree, clean_lines
from exai.files.checks import secret_kind, text_of
from exai.files.paths.walk import NAME_NO_TEXT
from exai.protocol.surrogates import is_text

__all__ = ["Change", "change_of", "merge_base", "patched"]

MOST_FILES = 1_000
MOST_UNTRACKED = 200
MOST_COMMITS = 100_000
_NAMES_NO_TEXT = "files whose names are not UTF-8 are not looked at"
_LARGE_FILE = "version https://git-lfs.github.com/spec/"
_LINK, _SUBMODULE, _FOLDER = 0o120000, 0o160000, 0o040000

Pair = tuple[str, Entry | None, Entry | None]


@dataclass(slots=True)
class Change:
    """What changes, and what of it cannot be shown."""

    title: str
    files: list[FileChange] = field(default_factory=list)
    """By their paths, relative to the workspace."""
    notes: list[str] = field(default_factory=list)
    rev: str = ""
    """The commit that its files are of after it; empty: they are of none, but on disk or staged."""


def patched(patch: str, tree: Tree) -> Change:
    """Read a change from a unified diff.

    Raises:
        BadArguments: it is none.
    """
    change = Change("a patch")
    keeps = tree.keeps_secrets
    for file in read_patch(clean_lines(patch.encode(errors="replace"), keeps_secrets=keeps)):
        if not keeps and secret_kind(PurePath(file.path)) is not None:
            change.notes.append(f"{file.path} is left out, as it is there to hold a secret")
            continue
        document = tree.read(file.path)
        if document is not None and _is_applied(file, document.lines):
            file.lines, file.sha256 = document.lines, document.sha256
        change.files.append(file)
    return change


def change_of(spec: str, tree: FolderTree, *, index_file: str | None = None) -> Change:
    """Read a change from the repository of a folder.

    Args:
        index_file: the path of another index than the repository's, below the roots.

    Raises:
        NotARepository: the folder is in none.
        BadArguments: it has no such ref.
    """
    repository = Repository.find(tree.folder, tree.roots)
    if repository is None:
        raise NotARepository(
            "The workspace is in no git repository below `files.roots`, so it has no change to read. Name the folder "
            "of one as `workspace`, or give a unified diff."
        )
    repository.index_file = index_file or repository.index_file
    try:
        return _Comparison(repository, tree).of(spec.strip() or "all")
    except Unreadable as error:
        raise NotARepository(f"The change cannot be read from the repository: {error}.") from None
    finally:
        repository.close()


class _Comparison:
    """Compares two states of a repository."""

    def __init__(self, repository: Repository, tree: FolderTree) -> None:
        self._repository = repository
        self._tree = tree
        inside = os.path.relpath(tree.folder, repository.top)
        self._prefix = "" if inside == "." else f"{inside}/"
        self._notes: list[str] = []
        self._rev = ""

    def of(self, spec: str) -> Change:
        match spec:
            case "staged":
                title, pairs, is_on_disk = "what is staged", self._staged(), False
            case "unstaged":
                title, pairs, is_on_disk = "what is not staged", self._unstaged(self._repository.index), True
            case "all":
                title, is_on_disk = "all that is not committed", True
                pairs = self._on_disk(self._repository.head)
            case _ if ".." in spec:
                title, is_on_disk = f"the range {spec}", False
                pairs = self._range(spec)
            case _:
                base = self._base(self._repository.resolve(spec))
                title, pairs, is_on_disk = f"all since {spec}", self._on_disk(base), True
        if is_on_disk and any(each.why == NAME_NO_TEXT for each in self._tree.left_out):
            self._note_once(_NAMES_NO_TEXT)
        change = Change(title)
        for pair in sorted(pairs, key=lambda each: each[0]):
            if len(change.files) == MOST_FILES:
                self._notes.append(f"more than {MOST_FILES} files change; the others are not looked at")
                break
            if not is_text(pair[0]):
                self._note_once(_NAMES_NO_TEXT)
                continue
            file = self._file(*pair, is_on_disk=is_on_disk)
            if file is not None:
                change.files.append(file)
        change.notes, change.rev = self._notes, self._rev
        return change

    def _staged(self) -> Iterator[Pair]:
        committed = self._committed(self._repository.head)
        index = self._repository.index
        for path in committed.keys() | index.keys():
            was, now = committed.get(path), index.get(path)
            if (was and was[:2]) != (now and now[:2]):
                yield path, was, now

    def _unstaged(self, tracked: dict[str, Entry]) -> Iterator[Pair]:
        for path, entry in tracked.items():
            if path.startswith(self._prefix) and not self._is_on_disk_as(
                path.removeprefix(self._prefix), entry
            ):
                yield path, entry, entry

    def _on_disk(self, commit: str | None) -> Iterator[Pair]:
        """Compare a commit with what is on disk, what is not tracked included."""
        committed = self._committed(commit)
        index = self._repository.index
        # What the index says of size and time of a file is good for a commit that has the same content.
        known = {
            path: index[path] if path in index and index[path].sha == entry.sha else entry
            for path, entry in committed.items()
        }
        yield from self._unstaged(known)
        untracked = 0
        for inside in self._tree.files:
            path = self._prefix + inside
            if path in committed:
                continue
            untracked += path not in index
            if untracked > MOST_UNTRACKED:
                self._notes.append(
                    f"more than {MOST_UNTRACKED} files are not tracked; the others are not looked at"
                )
                break
            yield path, None, Entry(0o100644, "")

    def _range(self, spec: str) -> Iterator[Pair]:
        separator = "..." if "..." in spec else ".."
        first, _, last = spec.partition(separator)
        new = self._repository.resolve(last or "HEAD")
        old = self._repository.resolve(first or "HEAD")
        if separator == "...":
            old = merge_base(self._repository, old, new) or old
        self._rev = new
        commits = [self._repository.commit(each) for each in (old, new)]
        return self._repository.differences(commits[0].tree, commits[1].tree)

    def _base(self, commit: str) -> str:
        head = self._repository.head
        base = merge_base(self._repository, commit, head) if head else None
        if base is None:
            self._notes.append("no common ancestor was found, so the commit itself is compared with")
        return base or commit

    def _committed(self, commit: str | None) -> dict[str, Entry]:
        if commit is None:
            return {}
        tree = self._repository.commit(commit).tree
        return {path: now for path, _, now in self._repository.differences(None, tree) if now is not None}

    def _is_on_disk_as(self, path: str, entry: Entry) -> bool:
        """Whether a file on disk is what an entry says, or is none that may be read."""
        if path not in self._tree.files:
            return os.path.lexists(f"{self._tree.folder}/{path}")
        if entry.mode in {_LINK, _SUBMODULE}:
            return True
        size, mtime_ns = self._tree.statuses[path]
        if entry.size >= 0 and (size, mtime_ns) == (entry.size, entry.mtime_ns):
            return True
        data = self._tree.bytes_of(path)
        head = b"blob %d\0" % len(data or b"")
        return data is None or hashlib.sha1(head + data, usedforsecurity=False).hexdigest() == entry.sha

    def _file(
        self, path: str, was: Entry | None, now: Entry | None, *, is_on_disk: bool
    ) -> FileChange | None:
        if not path.startswith(self._prefix):
            self._note_once("files outside the workspace change too; they are not looked at")
            return None
        inside = path.removeprefix(self._prefix)
        if (why := self._unshown(inside, was, now)) is not None:
            self._notes.append(f"{inside}: {why}")
            return None
        read = self._disk if is_on_disk else self._blob
        try:
            before = ((), "") if was is None else self._blob(inside, was)
            after = ((), "") if now is None else read(inside, now)
        except Unreadable as error:
            self._notes.append(f"{inside}: {error}")
            return None
        if before is None or after is None:
            self._notes.append(f"{inside}: no text, or too large")
            return None
        is_gone = now is None or (is_on_disk and inside not in self._tree.files)
        hunks = hunks_of(before[0], after[0])
        if not hunks and was is not None:
            return None  # endings of lines, or its mode
        status = "deleted" if is_gone else "added" if was is None else "changed"
        return FileChange(inside, hunks, status, None if is_gone else after[0], after[1])

    def _unshown(self, path: str, was: Entry | None, now: Entry | None) -> str | None:
        modes = {entry.mode for entry in (was, now) if entry is not None}
        if _SUBMODULE in modes:
            shas = [entry.sha[:12] if entry and entry.mode == _SUBMODULE else "none" for entry in (was, now)]
            return f"a submodule, from {shas[0]} to {shas[1]}"
        if _LINK in modes:
            return "a link"
        if not self._tree.keeps_secrets and (kind := secret_kind(PurePosixPath(path))) is not None:
            return f"looks as if it held {kind}"
        return None

    def _disk(self, path: str, _: Entry) -> tuple[tuple[str, ...], str] | None:
        if path not in self._tree.files:
            return (), ""
        document = self._tree.read(path)
        return None if document is None else (document.lines, document.sha256)

    def _blob(self, path: str, entry: Entry) -> tuple[tuple[str, ...], str] | None:
        data = self._repository.blob(entry.sha)
        text = text_of(data)
        keeps = self._tree.keeps_secrets
        if text is None or (not keeps and secret_kind(PurePosixPath(path), text) is not None):
            return None
        if text.startswith(_LARGE_FILE):
            raise Unreadable("kept by git-lfs, whose contents are not in the repository")
        return clean_lines(text.encode(), keeps_secrets=keeps), hashlib.sha256(data).hexdigest()

    def _note_once(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)


def merge_base(repository: Repository, one: str, other: str) -> str | None:
    """Find the nearest commit that two have in common; `None`: there is none, or it is too far.

    Raises:
        Unreadable: a commit on the way cannot be read.
    """
    seen = {one: 1, other: 2} if one != other else {one: 3}
    waiting = [one, other]
    for _ in range(MOST_COMMITS):
        if not waiting:
            return None
        # The newest first, so that both sides come to a common one before they pass it.
        waiting.sort(key=lambda sha: repository.commit(sha).at)
        sha = waiting.pop()
        if seen[sha] == 3:
            return sha
        for parent in repository.parents(repository.commit(sha)):
            sides = seen.get(parent, 0) | seen[sha]
            if sides != seen.get(parent, 0):
                seen[parent] = sides
                if parent not in waiting:
                    waiting.append(parent)
    return None


def _is_applied(file: FileChange, lines: tuple[str, ...]) -> bool:
    """Whether a file has the lines that a patch leaves."""
    return all(
        list(lines[hunk.first - 1 : hunk.last]) == [line[1:] for line in hunk.lines if line[:1] != "-"]
        for hunk in file.hunks
    )
