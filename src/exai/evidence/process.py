"""The process that reads one workspace: `python -I -m exai.evidence.process`, over its stdin and stdout.

It has no environment, sets its bounds of memory and time before it reads a byte of anybody's file, and ends when its
owner does. What is asked comes as frames (`requests`), and each has one reply.
"""

import contextlib
import os
import resource
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import msgspec

from exai.errors import BadArguments, FileRefused
from exai.evidence.code.comments import blanked
from exai.evidence.collection.collector import gather
from exai.evidence.collection.graph import trace
from exai.evidence.faults import NotARepository
from exai.evidence.git.answers import git_blame, git_diff, git_log, git_show
from exai.evidence.git.at_commit import blame_at, commit_named, history_at, lines_at, suspects
from exai.evidence.git.commit_tree import commit_tree
from exai.evidence.patches.checking import check_patch
from exai.evidence.reading import Reader
from exai.evidence.requests import (
    HEADER,
    BlameAt,
    Blank,
    CheckedPatch,
    CheckPatch,
    CommitNamed,
    Failure,
    Gather,
    GitBlame,
    GitDiff,
    GitLog,
    GitShow,
    HistoryAt,
    LinesAt,
    ListFiles,
    Need,
    Opening,
    OutlineOf,
    ReadLines,
    Reply,
    Request,
    Search,
    SuspectsOf,
    SymbolNamed,
    Trace,
    encode,
)
from exai.evidence.trees import FolderTree, SnapshotTree, Tree

__all__ = ["CPU_S", "MOST_MEMORY_BYTES", "answer", "serve"]

MOST_MEMORY_BYTES = 2**30
CPU_S = 300
"""Of all that one workspace is asked."""

_decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_opening = msgspec.msgpack.Decoder(Opening).decode
_encode = msgspec.msgpack.encode


class _Pipe:
    """Frames over two streams."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink

    def receive(self) -> bytes | None:
        """Read a frame; `None` at the end."""
        header = self._source.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        (size,) = HEADER.unpack(header)
        body = self._source.read(size)
        return body if len(body) == size else None

    def send(self, value: Reply | Failure | Need) -> None:
        self._sink.write(encode(value))
        self._sink.flush()

    def fetch(self, path: str) -> bytes | None:
        """Ask for a content of the snapshot; empty: it cannot be read."""
        self.send(Need(path))
        return self.receive() or None


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer what comes, until nothing does."""
    pipe = _Pipe(source, sink)
    opening = pipe.receive()
    if opening is None:
        return
    reader = Reader(_tree(_decode_opening(opening), pipe))
    while (frame := pipe.receive()) is not None:
        pipe.send(answer(reader, _decode_request(frame)))


def answer(reader: Reader, request: Request) -> Reply | Failure:
    """Answer one request."""
    try:
        return Reply(msgspec.Raw(_encode(_ANSWERS[type(request)](reader, request))))
    except NotARepository as error:
        return Failure("repository", str(error))
    except BadArguments as error:
        return Failure("arguments", str(error))
    except FileRefused as error:
        return Failure("file", str(error))
    except (MemoryError, RecursionError):
        return Failure("file", "Looking at the workspace took more memory than it may; name a smaller one.")


def _checked_patch(reader: Reader, it: CheckPatch) -> CheckedPatch:
    if not it.rev:
        return check_patch(reader, it.patch, keeps_code=it.keeps_code)
    with commit_tree(reader.tree, it.rev) as tree:
        return check_patch(Reader(tree), it.patch, keeps_code=it.keeps_code)


_ANSWERS: Mapping[type, Callable[[Reader, Any], msgspec.Struct]] = {
    ListFiles: lambda reader, it: reader.list_files(it.glob),
    ReadLines: lambda reader, it: reader.read_lines(it.path, it.first, it.last),
    Search: lambda reader, it: reader.search(it.text, it.pattern, it.glob),
    OutlineOf: lambda reader, it: reader.outline(it.path),
    SymbolNamed: lambda reader, it: reader.symbol(it.name),
    Gather: lambda reader, it: gather(reader, it.sources, it.wanted, it.bounds),
    Trace: lambda reader, it: trace(reader, it.target, it.kind, it.bounds),
    Blank: lambda reader, it: blanked(reader.tree, reader.syntax, it.pieces),
    GitLog: lambda reader, it: git_log(reader.tree, it.path, it.most),
    GitShow: lambda reader, it: git_show(reader.tree, it.rev, it.path),
    GitBlame: lambda reader, it: git_blame(reader.tree, it.path, it.first, it.last),
    CommitNamed: lambda reader, it: commit_named(reader.tree, it.names),
    LinesAt: lambda reader, it: lines_at(reader.tree, it.rev, it.path, it.first, it.last),
    BlameAt: lambda reader, it: blame_at(reader.tree, it.rev, it.path, it.line),
    HistoryAt: lambda reader, it: history_at(reader.tree, it.rev, it.path, it.most),
    SuspectsOf: lambda reader, it: suspects(reader.tree, it.since, it.until, it.places),
    CheckPatch: _checked_patch,
    GitDiff: lambda reader, it: git_diff(reader.tree, it.change, it.path),
}


def _tree(opening: Opening, pipe: _Pipe) -> Tree:
    if opening.folder:
        return FolderTree(opening.folder, opening.roots, keeps_secrets=opening.keeps_secrets)
    return SnapshotTree(opening.entries, pipe.fetch, keeps_secrets=opening.keeps_secrets)


def _limit() -> None:
    for limit, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MOST_MEMORY_BYTES),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit of the address space
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    _limit()
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
    os._exit(0)
