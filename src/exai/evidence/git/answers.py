"""What is asked of a repository, as lines to read: log, show, blame, diff. What looks like a secret is replaced."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from exai.errors import FileRefused
from exai.evidence.faults import NotARepository
from exai.evidence.git.changes import change_of
from exai.evidence.git.history import blame, changes_of, log
from exai.evidence.git.hunks import FileChange
from exai.evidence.git.objects import Commit, Repository, Unreadable
from exai.evidence.requests import Text
from exai.evidence.trees import FolderTree, Tree, clean_lines
from exai.files.paths.opening import shown

__all__ = ["MOST_LINES", "commit_line", "git_blame", "git_diff", "git_log", "git_show", "opened"]

MOST_LINES = 400
MOST_CHARACTERS = 400
"""Of a line."""
MESSAGE_LINES = 40


def git_log(tree: Tree, path: str, most: int) -> Text:
    """List commits, the newest first: hash, date, author, first line of the message."""
    with opened(tree) as (repository, prefix):
        commits = log(repository, _head(repository), _inside(prefix, path), most)
        rows = [f"{each.sha[:12]} {_date(each)} {each.author}: {_subject(each)}" for each in commits]
    return _text(tree, rows, has_more=len(commits) == most)


def git_show(tree: Tree, rev: str, path: str) -> Text:
    """Show a commit with what it changed."""
    with opened(tree) as (repository, prefix):
        commit = repository.commit(repository.resolve(rev))
        keeps = tree.keeps_secrets
        files = changes_of(repository, commit, _inside(prefix, path), keeps_secrets=keeps)
    head = [f"commit {commit.sha}", f"{_date(commit)} {commit.author}", ""]
    return _text(tree, [*head, *commit.message.splitlines()[:MESSAGE_LINES], "", *_diff(files)])


def git_blame(tree: Tree, path: str, first: int, last: int) -> Text:
    """Show lines of a file as it is committed, each with the commit that it is from."""
    with opened(tree) as (repository, prefix):
        head = _head(repository)
        full = _inside(prefix, path)
        entry = repository.entry(repository.commit(head), full)
        if entry is None or path not in tree.files:
            raise FileRefused(f"`{shown(path)}` is no committed file of the workspace that may be read.")
        blamed = blame(repository, head, full, first, min(last, first + MOST_LINES - 1))
        lines = clean_lines(repository.blob(entry.sha), keeps_secrets=tree.keeps_secrets)
    rows = [
        f"{each.commit.sha[:12]} {_date(each.commit)} {each.line:>4}│{lines[each.line - 1]}"
        for each in blamed
    ]
    return _text(tree, rows, has_more=bool(blamed) and blamed[-1].line < min(last, len(lines)))


def git_diff(tree: Tree, change: str, path: str) -> Text:
    """Show a change as a unified diff."""
    if not isinstance(tree, FolderTree):
        raise _no_repository()
    found = change_of(change, tree)
    wanted = path.removeprefix("./").rstrip("/")
    files = [each for each in found.files if not wanted or f"{each.path}/".startswith(f"{wanted}/")]
    rows = [*_diff(files), *(f"# {note}" for note in found.notes)]
    return _text(tree, rows or [f"# nothing changes in {found.title}"])


@contextmanager
def opened(tree: Tree) -> Iterator[tuple[Repository, str]]:
    """Open the repository of a workspace; also return where in it the workspace is."""
    found = Repository.find(tree.folder, tree.roots) if isinstance(tree, FolderTree) else None
    if found is None or not isinstance(tree, FolderTree):
        raise _no_repository()
    try:
        prefix = Path(tree.folder).relative_to(found.top).as_posix()
        yield found, "" if prefix == "." else f"{prefix}/"
    except Unreadable as error:
        raise NotARepository(f"The repository cannot be read: {error}.") from None
    finally:
        found.close()


def commit_line(commit: Commit) -> str:
    """Say of a commit its date and the first line of its message."""
    return f"{_date(commit)} {_subject(commit)}"


def _head(repository: Repository) -> str:
    if repository.head is None:
        raise NotARepository("The repository has no commit yet.")
    return repository.head


def _inside(prefix: str, path: str) -> str:
    return (prefix + path.removeprefix("./")).rstrip("/")


def _diff(files: Iterable[FileChange]) -> Iterator[str]:
    for file in files:
        yield f"{file.status}: {file.path}"
        for hunk in file.hunks:
            yield f"@@ from line {hunk.first} @@"
            yield from hunk.lines


def _text(tree: Tree, rows: list[str], *, has_more: bool = False) -> Text:
    kept = [row[:MOST_CHARACTERS].replace("\n", " ").replace("\r", " ") for row in rows[:MOST_LINES]]
    clean = clean_lines("\n".join(kept).encode(errors="replace"), keeps_secrets=tree.keeps_secrets)
    return Text(clean, has_more or len(rows) > MOST_LINES)


def _date(commit: Commit) -> str:
    try:
        return datetime.fromtimestamp(commit.at, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return "no date"


def _subject(commit: Commit) -> str:
    return next(iter(commit.message.splitlines()), "")


def _no_repository() -> NotARepository:
    return NotARepository("The workspace is in no git repository below `files.roots`, so it has no history.")
