"""Workspaces: a folder below `files.roots`, or a snapshot, each read by a process of its own while it is open.

The process is begun with the first question and asked one after the other. One that dies, or does not answer in time,
is ended; the question fails, and the next one begins another process: nothing but what it remembered is lost.

    process   event                              next     then
    none      a question                         asked    it is begun, and told what to read
    idle      a question                         asked
    asked     it answers                         idle
    asked     it dies, or takes too long         none     it is ended and reaped; the question fails
    asked     whoever asked is cancelled         none     the same: half an answer may be in the pipe
    any       the workspace is closed            none     it is ended and reaped
"""

import asyncio
import sys
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, TypeVar, cast

import msgspec

from exai import config
from exai.errors import BadArguments, FileRefused, ToolFault
from exai.evidence.endings import cannot_begin, fault_of, too_much
from exai.evidence.faults import NotARepository
from exai.evidence.pieces import Bounds, Piece, Wanted
from exai.evidence.requests import (
    HEADER,
    MOST_FRAME_BYTES,
    Blank,
    Blanked,
    CheckedPatch,
    CheckPatch,
    Failure,
    Found,
    Gather,
    Gathered,
    GitBlame,
    GitDiff,
    GitLog,
    GitShow,
    Graph,
    Lines,
    Listed,
    ListFiles,
    Named,
    Need,
    Opening,
    Outline,
    OutlineOf,
    ReadLines,
    Reply,
    Request,
    Search,
    SymbolNamed,
    Text,
    Trace,
    encode,
)
from exai.evidence.trees import MOST_FILE_BYTES
from exai.files.heavy_work import HeavyWork
from exai.files.paths.opening import open_folder, shown
from exai.files.pictures.sources import path_of
from exai.files.snapshots.manifests import ManifestEntry
from exai.files.snapshots.snapshots import Snapshots
from exai.files.store.shelf import Shelf
from exai.runtime.os_errors import reason_of
from exai.storage.files.snapshots import Snapshot

__all__ = ["Workspace", "Workspaces"]

ANSWER_S = 30.0
"""How long one question may take."""
ENDING_S = 5.0
"""How long a process that closed its pipes may take to end."""
Fetch = Callable[[str], Awaitable[bytes]]
T = TypeVar("T")
_decode = msgspec.msgpack.Decoder(Reply | Failure | Need).decode


_FAULTS = {"arguments": BadArguments, "repository": NotARepository, "file": FileRefused}


async def _nothing(_: str) -> bytes:
    return b""


class Workspace:
    """A folder or snapshot that is open. Its questions are answered one after the other."""

    def __init__(
        self, opening: Opening, fetch: Fetch = _nothing, *, given: str = "", answer_s: float = ANSWER_S
    ) -> None:
        """`fetch` reads a content of a snapshot; `given` is the path by which the caller knows its folder."""
        self._opening = opening
        self._names = tuple(name for name in (opening.folder, given.strip().rstrip("/")) if name)
        self._fetch = fetch
        self._answer_s = answer_s
        self._process: Process | None = None
        self._stderr: BinaryIO | None = None
        """What the process wrote to it, until the next one is begun."""
        self._turn = asyncio.Lock()

    @property
    def folder(self) -> str:
        """The resolved path of its folder; empty: it is a snapshot."""
        return self._opening.folder

    def relative(self, path: str) -> str:
        """Return a path as it is in the workspace; callers know it from `/` on, by whichever name the folder has."""
        path = path.strip()
        for name in self._names:
            if f"{path}/".startswith(f"{name}/"):
                return path[len(name) + 1 :]
        return path

    async def list_files(self, glob: str = "") -> Listed:
        """List files with their sizes; a pattern as in `.gitignore` chooses among them.

        Raises:
            BadArguments, FileRefused: what is asked cannot be answered; so of all questions.
            WorkspaceFailed: the process cannot start, or has a defect; so of all questions.
        """
        return await self.ask(ListFiles(glob), Listed)

    async def read_lines(self, path: str, first: int = 1, last: int = 2**31) -> Lines:
        """Read lines of a file."""
        return await self.ask(ReadLines(path, first, last), Lines)

    async def search(self, text: str = "", pattern: str = "", glob: str = "") -> Found:
        """Find lines that have a text, or match a pattern of RE2."""
        return await self.ask(Search(text, pattern, glob), Found)

    async def outline(self, path: str) -> Outline:
        """List the named parts of a file."""
        return await self.ask(OutlineOf(path), Outline)

    async def symbol(self, name: str) -> Named:
        """Find the definitions of a name, and the lines that have it."""
        return await self.ask(SymbolNamed(name), Named)

    async def gather(self, sources: Sequence[str], wanted: Wanted, bounds: Bounds) -> Gathered:
        """Gather pieces of sources, in the order of these, the most important of each first.

        Raises:
            NotARepository: a change is wanted, and there is none to read.
        """
        return await self.ask(Gather(tuple(sources), wanted, bounds), Gathered)

    async def trace(self, target: str, kind: str, bounds: Bounds) -> Graph:
        """Follow calls from the parts that a target names; `kind` is `trace` or `dependencies`."""
        return await self.ask(Trace(target, kind, bounds), Graph)

    async def check_patch(self, patch: str, *, keeps_code: bool = False, rev: str = "") -> CheckedPatch:
        """Apply a unified diff in memory, to the files as they are or to those of a commit.

        Args:
            keeps_code: whether it may change comments, docstrings and prose alone.
            rev: the commit; its paths are those of the repository.

        Raises:
            NotARepository: a commit is named, and there is no repository.
        """
        return await self.ask(CheckPatch(patch, keeps_code, rev), CheckedPatch)

    async def without_comments(self, pieces: Sequence[Piece]) -> Blanked:
        """Return the texts of pieces with comments and docstrings blanked; lines keep their numbers."""
        return await self.ask(Blank(tuple(pieces)), Blanked)

    async def git_log(self, path: str = "", most: int = 20) -> Text:
        """List commits; raises `NotARepository` as all of these do."""
        return await self.ask(GitLog(path, most), Text)

    async def git_show(self, rev: str, path: str = "") -> Text:
        """Show a commit with what it changed."""
        return await self.ask(GitShow(rev, path), Text)

    async def git_blame(self, path: str, first: int = 1, last: int = 2**31) -> Text:
        """Show lines, each with the commit that it is from."""
        return await self.ask(GitBlame(path, first, last), Text)

    async def git_diff(self, change: str = "all", path: str = "") -> Text:
        """Show a change."""
        return await self.ask(GitDiff(change, path), Text)

    async def ask(self, request: Request, kind: type[T]) -> T:
        """Ask the process.

        Raises:
            BadArguments, FileRefused: what is asked cannot be answered.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._answer_s) as limit:
                    reply = await self._exchange(request)
            except (IncompleteReadError, BrokenPipeError, ConnectionResetError):
                raise await self._ended() from None
            except TimeoutError:
                await self._end()
                if not limit.expired():
                    raise
                raise too_much() from None
            except BaseException:
                await asyncio.shield(self._end())
                raise
        if isinstance(reply, Failure):
            raise _FAULTS[reply.kind](reply.message)
        return msgspec.msgpack.decode(reply.value, type=kind)

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def _exchange(self, request: Request) -> Reply | Failure:
        process = self._process or await self._begin()
        stdin, stdout = cast("StreamWriter", process.stdin), cast("StreamReader", process.stdout)
        await _send(stdin, encode(request))
        while isinstance(reply := _decode(await _frame(stdout)), Need):
            content = await self._fetch(reply.path)
            await _send(stdin, HEADER.pack(len(content)) + content)
        return cast("Reply | Failure", reply)

    async def _begin(self) -> Process:
        try:
            self._stderr = cast("BinaryIO", TemporaryFile())  # noqa: SIM115 - closed with the process
            self._process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", "exai.evidence.process"),
                stdin=PIPE,
                stdout=PIPE,
                stderr=self._stderr,
                env={},
                limit=2**18,
            )
        except OSError as error:
            await self._end()
            raise cannot_begin(reason_of(error)) from None
        await _send(cast("StreamWriter", process.stdin), encode(self._opening))
        return process

    async def _ended(self) -> ToolFault:
        """Reap a process that closed its pipes, and return what is to be said of it."""
        process, stderr = self._process, self._stderr
        if process is None or stderr is None:
            return too_much()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), ENDING_S)
        fault = fault_of(process.returncode, stderr)
        await self._end()
        return fault

    async def _end(self) -> None:
        process, self._process = self._process, None
        stderr, self._stderr = self._stderr, None
        if stderr is not None:
            stderr.close()
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        cast("StreamWriter", process.stdin).close()
        await process.wait()


async def _send(stdin: StreamWriter, frame: bytes) -> None:
    stdin.write(frame)
    await stdin.drain()


async def _frame(stdout: StreamReader) -> bytes:
    (size,) = HEADER.unpack(await stdout.readexactly(HEADER.size))
    if size > MOST_FRAME_BYTES:
        raise too_much()
    return await stdout.readexactly(size)


class Workspaces:
    """Opens workspaces for callers."""

    def __init__(
        self,
        settings: config.Files,
        work: HeavyWork,
        snapshots: Snapshots,
        shelf: Shelf,
        *,
        roots: Sequence[Path] = (),
    ) -> None:
        """`roots` are folders to read from, in addition to those of the settings."""
        self._keeps_secrets = settings.secrets == "off"
        self._work = work
        self._snapshots = snapshots
        self._shelf = shelf
        # Resolved once: a root that is later replaced by a link leads nowhere.
        resolved = (Path(root).resolve() for root in (*settings.roots, *roots))
        self._roots = tuple(dict.fromkeys(resolved))
        only = self._roots[0] if len(self._roots) == 1 else None
        self._default = only if settings.workspace is None else settings.workspace.resolve()

    @property
    def has_default(self) -> bool:
        """Whether it is known which folder is meant where none is named."""
        return self._default is not None

    @asynccontextmanager
    async def open(self, owner: str, given: str | None = None) -> AsyncIterator[Workspace]:
        """Open the folder at an absolute path or `file:` URL, or a snapshot by its id, while the scope lasts.

        `None` is the folder of the settings, else the only one that may be read.

        Raises:
            BadArguments: none is given, and it is not known which one is meant.
            FileRefused: the folder may not or cannot be read.
            UnknownTree: the owner has no such snapshot.
        """
        if given is not None and given.startswith("tree_"):
            workspace = await self._snapshot(owner, given)
        else:
            folder = await self._folder(owner, given)
            workspace = Workspace(folder, given="" if given is None else path_of(given))
        try:
            yield workspace
        finally:
            await asyncio.shield(workspace.close())

    async def _folder(self, owner: str, given: str | None) -> Opening:
        if given is None and self._default is None:
            named = ", ".join(f"`{shown(str(root))}`" for root in self._roots[:5]) or "none"
            raise BadArguments(
                "Give `workspace`: the absolute path of a folder below `files.roots` "
                f"(there are: {named}), or the id of a snapshot."
            )
        path = str(self._default) if given is None else path_of(given)
        folder = await self._work.files.run(owner, lambda: self._resolved(path))
        roots = tuple(str(root) for root in self._roots)
        return Opening(folder=folder, roots=roots, keeps_secrets=self._keeps_secrets)

    def _resolved(self, path: str) -> str:
        with open_folder(path, self._roots) as opened:
            if opened is None:
                raise FileRefused(
                    f"`{shown(path)}` is a file; name its folder as `workspace`, and it in `paths`."
                )
            return str(opened[1])

    async def _snapshot(self, owner: str, tree_id: str) -> Workspace:
        snapshot = await self._snapshots.get(owner, tree_id)
        entries = await self._snapshots.entries(owner, tree_id)
        contents = _Contents(self._snapshots, self._shelf, snapshot, entries)
        opening = Opening(entries=tuple(entries), keeps_secrets=self._keeps_secrets)
        return Workspace(opening, contents.read)


class _Contents:
    """The contents of a snapshot, by their paths."""

    def __init__(
        self, snapshots: Snapshots, shelf: Shelf, snapshot: Snapshot, entries: Sequence[ManifestEntry]
    ) -> None:
        self._snapshots = snapshots
        self._shelf = shelf
        self._snapshot = snapshot
        self._entries = {entry.path: entry for entry in entries}

    async def read(self, path: str) -> bytes:
        """Read a content; one that is too large to be looked at is empty.

        Raises:
            FileDamaged, StoreUnavailable: it cannot be read.
        """
        entry = self._entries[path]
        if entry.bytes > MOST_FILE_BYTES:
            return b""
        content = await self._shelf.open(await self._snapshots.content(self._snapshot, entry))
        try:
            return b"".join([block async for block in content.read(0, content.size)])
        finally:
            content.close()
