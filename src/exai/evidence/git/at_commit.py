"""What is asked of a repository at a commit that need not be checked out. Authors are not told.

Files are found by the paths that programs report: by the longest end of one that the commit has.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from exai.errors import BadArguments, FileRefused
from exai.evidence.git.answers import MOST_LINES, commit_line, opened
from exai.evidence.git.history import MOST_COMMITS, blame, changed_since, hunks_in, log
from exai.evidence.git.hunks import Hunk
from exai.evidence.git.objects import Commit, Entry, Repository, Unreadable
from exai.evidence.requests import Lines, NamedCommit, Suspect, Suspects
from exai.evidence.trees import Tree, clean_lines
from exai.files.checks import secret_kind, text_of
from exai.files.paths.opening import shown

__all__ = ["blame_at", "commit_named", "history_at", "lines_at", "suspects"]

NEAR = 3
"""Lines around a place that belong to it."""
MOST_SUSPECTS = 8
MOST_LOOKED_AT = 20
SUSPECTS_S = 0.8
BLAME_S = 0.5
MOST_HUNK_LINES = 60
MOST_PARTS = 12
"""Of a path, by whose ends a file is looked for."""


def commit_named(tree: Tree, names: Sequence[str]) -> NamedCommit:
    """Find the commit that the first known of some names is: a hash, a tag, a branch.

    Raises:
        BadArguments: none of them is known.
    """
    with opened(tree) as (repository, _):
        for name in names:
            try:
                return NamedCommit(name, repository.resolve(name))
            except BadArguments:
                continue
    raise BadArguments(
        f"The repository has none of: {', '.join(shown(name) for name in names) or 'no name'}."
    )


def lines_at(tree: Tree, rev: str, path: str, first: int, last: int) -> Lines:
    """Read lines of a file of a commit.

    Args:
        path: as the repository has it, or as a program reported it, whose end is looked for.

    Raises:
        FileRefused: there is no such text.
        BadArguments: there is no such commit or line.
    """
    with opened(tree) as (repository, prefix):
        commit = repository.commit(repository.resolve(rev))
        full, lines, sha256 = _text(tree, repository, commit, prefix, path)
    if first > max(len(lines), 1) or last < first:
        raise BadArguments(f"`{shown(full)}` has {len(lines):,} lines at {commit.sha[:12]}.")
    taken = lines[first - 1 : min(last, first + MOST_LINES - 1)]
    return Lines(full, first, tuple(taken), len(lines), sha256)


def blame_at(tree: Tree, rev: str, path: str, line: int) -> Suspect:
    """Find the commit that wrote a line of a file, with the hunk of it.

    Raises:
        FileRefused, BadArguments: there is no such text, commit or line.
    """
    with opened(tree) as (repository, prefix):
        commit = repository.commit(repository.resolve(rev))
        full, lines, _ = _text(tree, repository, commit, prefix, path)
        blamed = blame(repository, commit.sha, full, line, line, BLAME_S)
        if not blamed:
            raise BadArguments(f"`{shown(full)}` has {len(lines):,} lines at {commit.sha[:12]}.")
        return _suspect(tree, repository, blamed[0].commit, full, {lines[line - 1]}, is_author=True)


def history_at(tree: Tree, rev: str, path: str, most: int) -> Suspects:
    """List the latest commits up to one that changed a file, without their hunks.

    Raises:
        FileRefused, BadArguments: there is no such text or commit.
    """
    with opened(tree) as (repository, prefix):
        commit = repository.commit(repository.resolve(rev))
        full = _text(tree, repository, commit, prefix, path)[0]
        found = log(repository, commit.sha, full, most)
        return Suspects(tuple(Suspect(each.sha, commit_line(each), full) for each in found))


def suspects(tree: Tree, since: str, until: str, places: Sequence[tuple[str, int]]) -> Suspects:
    """List the commits after `since`, up to `until`, that changed the files of some places.

    Those whose hunks have lines of a place come first, the newest of them before. Without `since` all are looked
    at. A place that is no file of the commit is passed over.

    Raises:
        BadArguments: there is no such commit.
    """
    with opened(tree) as (repository, prefix):
        last = repository.commit(repository.resolve(until))
        before = repository.resolve(since) if since else ""
        near: dict[str, set[str]] = {}
        for path, line in places:
            with suppress(FileRefused):
                full, lines, _ = _text(tree, repository, last, prefix, path)
                around = lines[max(0, line - NEAR - 1) : line + NEAR]
                near.setdefault(full, set()).update(each for each in around if each.strip())
        # Only a walk to its end tells which commits `since` has already; without it the newest are enough.
        most = MOST_COMMITS if before else MOST_LOOKED_AT
        changed, has_more = changed_since(
            repository, before, last.sha, list(near), most=most, within_s=SUSPECTS_S
        )
        found = [
            _suspect(tree, repository, commit, path, near[path]) for commit, path in changed[:MOST_LOOKED_AT]
        ]
    ordered = sorted(found, key=lambda each: not each.is_at_place)
    return Suspects(tuple(ordered[:MOST_SUSPECTS]), has_more or len(changed) > MOST_SUSPECTS)


def _suspect(
    tree: Tree, repository: Repository, commit: Commit, path: str, near: set[str], *, is_author: bool = False
) -> Suspect:
    """Show of what a commit did to a file the hunks that have lines of a place, else the first."""
    hunks = hunks_in(repository, commit, path, keeps_secrets=tree.keeps_secrets)
    at_place = [hunk for hunk in hunks if any(line[:1] != "-" and line[1:] in near for line in hunk.lines)]
    rows = list(_spelled(at_place or hunks))
    return Suspect(
        commit.sha,
        commit_line(commit),
        path,
        tuple(rows[:MOST_HUNK_LINES]),
        is_author or bool(at_place),
    )


def _spelled(hunks: Iterable[Hunk]) -> Iterator[str]:
    for hunk in hunks:
        yield f"@@ from line {hunk.first} @@"
        yield from hunk.lines


def _text(
    tree: Tree, repository: Repository, commit: Commit, prefix: str, path: str
) -> tuple[str, tuple[str, ...], str]:
    """Read a text file of a commit: its path, its lines without what looks like secrets, and its hash."""
    full, entry = _entry(repository, commit, prefix, path)
    try:
        data = repository.blob(entry.sha)
    except Unreadable as error:
        raise FileRefused(f"`{shown(full)}` cannot be read: {error}.") from None
    text = text_of(data)
    if text is None or (not tree.keeps_secrets and secret_kind(PurePosixPath(full), text) is not None):
        raise FileRefused(f"`{shown(full)}` is no text that may be shown.")
    lines = clean_lines(text.encode(), keeps_secrets=tree.keeps_secrets)
    return full, lines, hashlib.sha256(data).hexdigest()


def _entry(repository: Repository, commit: Commit, prefix: str, path: str) -> tuple[str, Entry]:
    """Find a file by its path, or by the longest end of it that the commit has."""
    parts = [part for part in path.replace("\\", "/").removeprefix(f"{repository.top}/").split("/") if part]
    if ".." not in parts:
        for length in range(min(len(parts), MOST_PARTS), 0, -1):
            end = "/".join(parts[-length:])
            for full in dict.fromkeys((f"{prefix}{end}", end)):
                entry = repository.entry(commit, full)
                if entry is not None and entry.mode & 0o170000 == 0o100000 and full.startswith(prefix):
                    return full, entry
    raise FileRefused(f"`{shown(path)}` is no file of commit {commit.sha[:12]}.")
