"""The history of a repository: commits, what one changed, and which one each line of a file is from."""

import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import PurePath

from exai.evidence.git.hunks import FileChange, Hunk, hunks_of
from exai.evidence.git.objects import Commit, Entry, Repository, Unreadable
from exai.evidence.trees import clean_lines
from exai.files.checks import secret_kind, text_of

__all__ = ["MOST_COMMITS", "Blamed", "blame", "changed_since", "changes_of", "hunks_in", "log"]

MOST_COMMITS = 50
MOST_WALKED = 20_000
WALK_S = 2.0
MOST_CHANGED = 200


@dataclass(frozen=True, slots=True)
class Blamed:
    """A line, and the commit that it is from."""

    line: int
    commit: Commit


def log(repository: Repository, start: str, path: str = "", most: int = MOST_COMMITS) -> list[Commit]:
    """List commits, the newest first; of a path those that change it.

    Raises:
        Unreadable: the first commit cannot be read. Where a later one cannot, the list ends.
    """
    found: list[Commit] = []
    until = time.monotonic() + WALK_S
    for number, commit in enumerate(_walk(repository, start)):
        if number > MOST_WALKED or time.monotonic() > until or len(found) == most:
            break
        if not path or _changes(repository, commit, path):
            found.append(commit)
    return found


def changed_since(
    repository: Repository,
    since: str,
    until: str,
    paths: Sequence[str],
    *,
    most: int = MOST_COMMITS,
    within_s: float = WALK_S,
) -> tuple[list[tuple[Commit, str]], bool]:
    """List which of some files the commits after `since`, up to `until`, changed, the newest first.

    Also return whether there may be more, as it took too long or was more than `most`. `since` may be empty.

    Raises:
        Unreadable: one of the two cannot be read.
    """
    end = time.monotonic() + within_s
    waiting = [(-repository.commit(until).at, until)]
    known = {since} if since else set()
    if since:
        heapq.heappush(waiting, (-repository.commit(since).at, since))
    seen = {until, *known}
    found: list[tuple[Commit, str]] = []
    while waiting and any(sha not in known for _, sha in waiting):
        if time.monotonic() > end or len(seen) > MOST_WALKED or len(found) >= most:
            return found, True
        commit = repository.commit(heapq.heappop(waiting)[1])
        if commit.sha not in known:
            found += [(commit, path) for path in paths if _changes(repository, commit, path)]
        for sha in repository.parents(commit):
            if commit.sha in known:
                known.add(sha)
            if sha not in seen:
                seen.add(sha)
                with suppress(Unreadable):
                    heapq.heappush(waiting, (-repository.commit(sha).at, sha))
    return [(commit, path) for commit, path in found if commit.sha not in known], False


def changes_of(
    repository: Repository, commit: Commit, path: str = "", *, keeps_secrets: bool
) -> list[FileChange]:
    """List what a commit changed since its first parent, without what looks like secrets.

    Raises:
        Unreadable: a folder of it cannot be read; a file that cannot is passed over.
    """
    parents = repository.parents(commit)
    old = repository.commit(parents[0]).tree if parents else None
    files: list[FileChange] = []
    for name, was, now in repository.differences(old, commit.tree):
        if path and name != path and not name.startswith(f"{path.rstrip('/')}/"):
            continue
        sides = [_lines(repository, name, each, keeps_secrets=keeps_secrets) for each in (was, now)]
        if sides[0] is not None and sides[1] is not None:
            status = "added" if was is None else "deleted" if now is None else "changed"
            files.append(FileChange(name, hunks_of(sides[0], sides[1]), status))
        if len(files) == MOST_CHANGED:
            break
    return files


def hunks_in(repository: Repository, commit: Commit, path: str, *, keeps_secrets: bool) -> list[Hunk]:
    """List what a commit changed in a file since its first parent, without what looks like secrets.

    Raises:
        Unreadable: a folder of it cannot be read.
    """
    parents = repository.parents(commit)
    was = repository.entry(repository.commit(parents[0]), path) if parents else None
    sides = [
        _lines(repository, path, each, keeps_secrets=keeps_secrets)
        for each in (was, repository.entry(commit, path))
    ]
    return [] if sides[0] is None or sides[1] is None else hunks_of(sides[0], sides[1])


def blame(
    repository: Repository, start: str, path: str, first: int, last: int, within_s: float | None = None
) -> list[Blamed]:
    """Find the commit that each line of a file is from, along the parents that still have it.

    What is not found in time is said to be from the commit that was reached.

    Raises:
        Unreadable: the file is not in that commit.
    """
    commit = repository.commit(start)
    entry = repository.entry(commit, path)
    lines = None if entry is None else _lines(repository, path, entry, keeps_secrets=True)
    if entry is None or lines is None:
        raise Unreadable(f"{path} is no text file of that commit")
    pending = {number - 1: number for number in range(first, min(last, len(lines)) + 1)}
    found: dict[int, Commit] = {}
    until = time.monotonic() + (WALK_S if within_s is None else within_s)
    while pending:
        older = None if time.monotonic() > until else _older(repository, commit, path, entry)
        if older is None:
            found |= dict.fromkeys(pending.values(), commit)
            break
        parent, entry_before = older
        if entry_before.sha != entry.sha:
            before = _lines(repository, path, entry_before, keeps_secrets=True) or ()
            moved = _moved(before, lines)
            found |= {number: commit for at, number in pending.items() if at not in moved}
            pending = {moved[at]: number for at, number in pending.items() if at in moved}
            lines = before
        commit, entry = parent, entry_before
    return [Blamed(number, found[number]) for number in sorted(found)]


def _walk(repository: Repository, start: str) -> Iterator[Commit]:
    first = repository.commit(start)
    waiting = [(-first.at, first.sha)]
    seen = {first.sha}
    while waiting:
        commit = repository.commit(heapq.heappop(waiting)[1])
        yield commit
        for sha in repository.parents(commit):
            if sha in seen:
                continue
            seen.add(sha)
            try:
                heapq.heappush(waiting, (-repository.commit(sha).at, sha))
            except Unreadable:
                continue


def _changes(repository: Repository, commit: Commit, path: str) -> bool:
    try:
        parents = [repository.commit(sha) for sha in repository.parents(commit)]
        if parents:
            return all(repository.differs(commit, parent, path) for parent in parents)
        return repository.entry(commit, path) is not None
    except Unreadable:
        return False


def _older(repository: Repository, commit: Commit, path: str, entry: Entry) -> tuple[Commit, Entry] | None:
    """Return the parent that a file comes from: one in which it is the same, else the first that has it."""
    having: list[tuple[Commit, Entry]] = []
    for sha in repository.parents(commit):
        try:
            parent = repository.commit(sha)
            before = repository.entry(parent, path)
        except Unreadable:
            continue
        if before is not None:
            having.append((parent, before))
    return next((each for each in having if each[1].sha == entry.sha), having[0] if having else None)


def _moved(before: tuple[str, ...], lines: tuple[str, ...]) -> dict[int, int]:
    """Return for each line that was there before where it was."""
    head = 0
    while head < min(len(before), len(lines)) and before[head] == lines[head]:
        head += 1
    matcher = SequenceMatcher(None, before[head:], lines[head:])
    moved = {at: at for at in range(head)}
    for block in matcher.get_matching_blocks():
        moved |= {block.b + head + n: block.a + head + n for n in range(block.size)}
    return moved


def _lines(
    repository: Repository, path: str, entry: Entry | None, *, keeps_secrets: bool
) -> tuple[str, ...] | None:
    """Read a file of a commit; `None` where it is none, or may not be shown."""
    if entry is None:
        return ()
    if entry.mode & 0o170000 != 0o100000:
        return None
    try:
        text = text_of(repository.blob(entry.sha))
    except Unreadable:
        return None
    if text is None or (not keeps_secrets and secret_kind(PurePath(path), text) is not None):
        return None
    return clean_lines(text.encode(), keeps_secrets=keeps_secrets)
