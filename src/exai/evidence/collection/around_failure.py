"""What belongs to a failure: the frames of its log, the paths and names in the problem's words, recent changes, rules.

Nothing of a log is believed but places: a path counts where the workspace has that file, or one file alone whose path
ends so.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath

from exai.evidence.collection.excerpts import Excerpts
from exai.evidence.collection.names import NamePlaces, is_test
from exai.evidence.collection.words import parts_by_words
from exai.evidence.git.history import changes_of, log
from exai.evidence.git.objects import Commit, Repository, Unreadable
from exai.evidence.pieces import Bounds, Piece, Wanted, text_piece
from exai.evidence.reading import Reader
from exai.evidence.trees import Document, FolderTree, clean_lines

__all__ = ["AroundFailure", "places_in"]

MOST_LOG = 400_000
"""Characters of a log: its beginning and its end, where the failure is."""
MOST_FRAMES = 40
MOST_PATHS = 40
MOST_SYMBOLS = 30
MOST_COMMITS = 5
MOST_CALLED_FILES = 30
WORDS_OF_LOG = 1_000
"""Characters."""
COMMIT_LINES = 120
NAMED_FILES = 30
RULES = ("AGENTS.md", "CLAUDE.md", ".exai/review.md")
_PYTHON = re.compile(r'File "([^"\n]{1,400})", line (\d{1,7})')
_PLACE = re.compile(
    r"(?<![\w/.\\-])([\w.@+~/\\-]{1,300}\.[A-Za-z][A-Za-z0-9]{0,7})(?::|\(|, line |#L)(\d{1,7})"
)
_JAVA = re.compile(r"\(([\w$]{1,200}\.(?:java|kt|scala)):(\d{1,7})\)")
_PATH = re.compile(
    r"(?<![\w/.-])((?:[\w@+-][\w.@+-]{0,100}/){0,20}[\w@+-][\w.@+-]{0,100}\.[A-Za-z][A-Za-z0-9]{0,7})\b"
)
_NAME = re.compile(
    r"`([A-Za-z_$][\w$.:]{1,120})(?:\(\))?`|\b([A-Za-z_][\w]{1,80}(?:\.[A-Za-z_][\w]{1,80}){1,4})\b"
    r"|\b([A-Za-z_]\w{1,80})\(|\b([a-z]+(?:_[a-z0-9]+)+|[A-Z]?[a-z]+(?:[A-Z][a-z0-9]+)+|_\w{2,80})\b"
)


class AroundFailure:
    """Collects what belongs to a problem."""

    def __init__(self, reader: Reader, wanted: Wanted, bounds: Bounds) -> None:
        self._reader = reader
        self._wanted = wanted
        self._bounds = bounds
        self.notes: list[str] = []
        self.sources: Mapping[str, Callable[[], Iterator[Piece]]] = {
            "frames_of_log": self._frames,
            "named_paths": self._paths,
            "symbols_in_problem": self._symbols,
            "called_by_frames": self._called,
            "words_of_problem": lambda: parts_by_words(reader, self._words, bounds),
            "recent_changes": self._recent,
            "rules": self._rules,
        }

    def _frames(self) -> Iterator[Piece]:
        for path, line in self._places:
            excerpts = self._excerpts("frames_of_log", path)
            if excerpts is not None:
                yield excerpts.around(line, f"line {line} of it is in the log")

    def _paths(self) -> Iterator[Piece]:
        for path, lines in self._named.items():
            excerpts = self._excerpts("named_paths", path)
            if excerpts is None:
                self.notes.append(f"{path}: no text that may be shown")
                continue
            if lines is not None:
                yield excerpts.around(lines, f"line {lines} of it is named")
            elif excerpts.is_small or path in self._wanted.paths:
                yield from _whole(excerpts, self._bounds)
            else:
                yield from (
                    piece
                    for piece in (excerpts.head("it is named"), excerpts.outline("it is named"))
                    if piece
                )

    def _symbols(self) -> Iterator[Piece]:
        names = self._names
        near = self._places[0][0] if self._places else next(iter(self._named), "")
        places = NamePlaces.find(self._reader, [name.rpartition(".")[2] for name in names])
        definitions = list(
            places.definitions({name.rpartition(".")[2] for name in names}, near, " ".join(names), 60)
        )
        definitions.sort(key=lambda each: is_test(each.document.path))
        for each in definitions:
            excerpts = Excerpts("symbols_in_problem", each.document, each.parsed, self._bounds.lines)
            yield excerpts.symbol(each.symbol, f"`{each.symbol.qualified}` is named in the problem")

    def _called(self) -> Iterator[Piece]:
        """Yield what the parts call that stand in the log or are named: it ran before the failure."""
        near: dict[str, tuple[Document, list[str]]] = {}
        for path, line in [*self._places, *((path, line) for path, line in self._named.items() if line)]:
            excerpts = self._excerpts("called_by_frames", path)
            if excerpts is None:
                continue
            symbol = excerpts.parsed.enclosing(line)
            first, last = (symbol.first, symbol.last) if symbol is not None else (line, line)
            _, names = near.setdefault(path, (excerpts.document, []))
            names += excerpts.parsed.calls_of(first, last)
        places = NamePlaces.find(self._reader, [name for _, names in near.values() for name in names])
        for path, (document, names) in near.items():
            text = document.data.decode(errors="replace")
            for each in places.definitions(names, path, text, MOST_CALLED_FILES):
                excerpts = Excerpts("called_by_frames", each.document, each.parsed, self._bounds.lines)
                yield excerpts.symbol(
                    each.symbol, f"`{each.symbol.qualified}` is called by {path}, which is named"
                )

    @property
    def _words(self) -> str:
        """The words by which parts are looked for: the problem's, and those at the end of the log."""
        return f"{self._wanted.question}\n{self._wanted.log[-WORDS_OF_LOG:]}"

    def _recent(self) -> Iterator[Piece]:
        tree = self._reader.tree
        repository = Repository.find(tree.folder, tree.roots) if isinstance(tree, FolderTree) else None
        if repository is None or repository.head is None:
            return
        try:
            yield from self._commits(repository, repository.head)
        except Unreadable as error:
            self.notes.append(f"the history of the repository cannot be read: {error}")
        finally:
            repository.close()

    def _commits(self, repository: Repository, head: str) -> Iterator[Piece]:
        top = PurePosixPath(repository.top)
        tree = self._reader.tree
        inside = PurePosixPath(tree.folder).relative_to(top) if isinstance(tree, FolderTree) else top
        touched = [path for path, _ in self._places] + list(self._named)
        paths = list(dict.fromkeys(touched))[:3] or [""]
        seen: set[str] = set()
        for path in paths:
            full = str(inside / path) if path else ("" if str(inside) == "." else str(inside))
            for commit in log(repository, head, full, MOST_COMMITS):
                if commit.sha not in seen:
                    seen.add(commit.sha)
                    yield self._commit(repository, commit, full)

    def _commit(self, repository: Repository, commit: Commit, path: str) -> Piece:
        keeps = self._reader.tree.keeps_secrets
        lines = [f"commit {commit.sha}", *commit.message.splitlines()[:20]]
        for file in changes_of(repository, commit, path, keeps_secrets=keeps):
            lines.append(f"{file.status}: {file.path}")
            lines += (line for hunk in file.hunks for line in ("…", *hunk.lines))
        shown = clean_lines("\n".join(lines[:COMMIT_LINES]).encode(errors="replace"), keeps_secrets=keeps)
        why = f"a recent change of {path}" if path else "a recent change"
        return text_piece("recent_changes", "", shown, why, commit.sha)

    def _rules(self) -> Iterator[Piece]:
        for path in RULES:
            excerpts = self._excerpts("rules", path)
            if excerpts is not None:
                yield excerpts.whole("rules of the project")

    def _excerpts(self, source: str, path: str) -> Excerpts | None:
        document: Document | None = self._reader.tree.read(path)
        if document is None:
            return None
        return Excerpts(source, document, self._reader.syntax.of(document), self._bounds.lines)

    @cached_property
    def _places(self) -> list[tuple[str, int]]:
        """Files of the workspace with lines, in the order of their importance."""
        log_text = self._wanted.log
        if len(log_text) > MOST_LOG:
            log_text = log_text[: MOST_LOG // 2] + "\n" + log_text[-MOST_LOG // 2 :]
        found = ((self._located(path), line) for path, line in places_in(log_text))
        return list(dict.fromkeys((path, line) for path, line in found if path is not None))[:MOST_FRAMES]

    @cached_property
    def _named(self) -> dict[str, int | None]:
        """Files that are named, each with the line that is named with it."""
        named: dict[str, int | None] = {}
        for given in self._wanted.paths:
            path = given.removeprefix("./").rstrip("/")
            files = [path] if path in self._reader.tree.files else self._below(path)
            if not files and (located := self._located(path)) is not None:
                files = [located]
            if not files:
                self.notes.append(f"{path}: the workspace has no such file")
            named |= dict.fromkeys(files)
        for path, line in places_in(self._wanted.question):
            if (located := self._located(path)) is not None:
                named.setdefault(located, line)
        for path in _PATH.findall(self._wanted.question):
            if (located := self._located(path)) is not None:
                named.setdefault(located, None)
        return dict(list(named.items())[:MOST_PATHS])

    @property
    def named(self) -> list[str]:
        """The files that are named."""
        return list(self._named)

    @cached_property
    def _names(self) -> list[str]:
        """Names of parts that are in the problem's words."""
        found = ["".join(groups) for groups in _NAME.findall(self._wanted.question)]
        names = [name.strip(".:").replace("::", ".") for name in (*self._wanted.symbols, *found)]
        return [name for name in dict.fromkeys(names) if name and self._located(name) is None][:MOST_SYMBOLS]

    def _below(self, folder: str) -> list[str]:
        prefix = "" if folder in {"", "."} else f"{folder}/"
        files = [path for path in self._reader.tree.files if path.startswith(prefix)]
        if len(files) > NAMED_FILES:
            self.notes.append(f"{folder} has {len(files):,} files, of which {NAMED_FILES} are looked at")
        return files[:NAMED_FILES]

    def _located(self, path: str) -> str | None:
        """Find the file of the workspace that a path of a log means."""
        files = self._reader.tree.files
        clean = path.replace("\\", "/").removeprefix("./")
        tree = self._reader.tree
        if isinstance(tree, FolderTree):
            clean = clean.removeprefix(f"{tree.folder}/")
        if clean in files:
            return clean
        parts = [part for part in clean.split("/") if part not in {"", ".", ".."}]
        for start in range(len(parts)):
            suffix = "/".join(parts[start:])
            same = self._by_name.get(parts[-1], ())
            matching = [each for each in same if each == suffix or each.endswith(f"/{suffix}")]
            if len(matching) == 1:
                return matching[0]
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for path in self._reader.tree.files:
            by_name.setdefault(path.rpartition("/")[2], []).append(path)
        return by_name


def places_in(text: str) -> list[tuple[str, int]]:
    """Find paths with lines in a log: those of Python's tracebacks, the innermost first, then all others."""
    python = [(path, int(line)) for path, line in _PYTHON.findall(text)][::-1]
    others = [(path, int(line)) for pattern in (_PLACE, _JAVA) for path, line in pattern.findall(text)]
    return [(path, line) for path, line in dict.fromkeys([*python, *others]) if not path.startswith("//")]


def _whole(excerpts: Excerpts, bounds: Bounds) -> Iterator[Piece]:
    """Show a file that is named in full, in as many pieces as that takes."""
    total = max(len(excerpts.document.lines), 1)
    for first in range(1, total + 1, bounds.lines):
        yield excerpts.lines(first, first + bounds.lines - 1, "it is named")
