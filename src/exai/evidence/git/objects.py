"""A repository by its files: references, index and objects, each opened below the allowed roots.

Its configuration is not read, so nothing that it names is run, and no object is looked for elsewhere (`alternates`).
What a link or a `gitdir:` leads to is read where it lies below the roots. An object that is missing, too large or not
what its name says is `Unreadable`, and costs what needs it, not the rest.
"""

import hashlib
import os
import re
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from dulwich.errors import ApplyDeltaError, ChecksumMismatch, FileFormatException, WrongObjectException
from dulwich.index import UnsupportedIndexFormat, read_index_dict
from dulwich.object_format import SHA1
from dulwich.objects import ShaFile, SubmoduleEncountered
from dulwich.pack import Pack, PackData, UnresolvedDeltas, load_pack_index_file

from exai.errors import BadArguments, FileRefused
from exai.files.paths.opening import open_below, open_folder, open_inside, shown

__all__ = ["Commit", "Entry", "Repository", "Unreadable"]

MOST_OBJECT_BYTES = 16 * 2**20
MOST_PACK_BYTES = 512 * 2**20
MOST_PACKS = 200
MOST_FILE_BYTES = 64 * 2**20
MOST_TREE_DEPTH = 60
MOST_ENTRIES = 200_000
OBJECTS_KEPT = 2_000
SMALL_BYTES = 2**16
MOST_STEPS = 20
_FOLDER = 0o040000
_SHA = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{7,39}")
_SPEC = re.compile(r"(?P<name>[^~^@:?*\[\\\x00-\x20\x7f]+|@)(?P<steps>(?:~\d{0,4}|\^\d?)*)")
_STEP = re.compile(r"([~^])(\d*)")
_TYPES = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_NUMBERS = {kind: number for number, kind in _TYPES.items()}
_BROKEN = (
    *(AssertionError, AttributeError, EOFError, LookupError, OSError, ArithmeticError, TypeError, ValueError),
    *(struct.error, zlib.error, ApplyDeltaError, ChecksumMismatch, FileFormatException, UnresolvedDeltas),
    *(SubmoduleEncountered, UnsupportedIndexFormat, WrongObjectException),
)
"""What dulwich raises where bytes are not what they should be."""


class Unreadable(Exception):
    """An object is missing, too large or broken."""


class Entry(NamedTuple):
    """A file of a tree or of the index."""

    mode: int
    sha: str
    size: int = -1
    """Of the file when it was put into the index."""
    mtime_ns: int = -1


class Commit(NamedTuple):
    """A commit."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: str
    at: int
    """Seconds since 1970."""
    message: str


class Repository:
    """Reads a repository."""

    def __init__(self, top: str, git_dir: str, common_dir: str, roots: list[Path]) -> None:
        self.top = top
        """The folder of its work tree."""
        self._git_dir = git_dir
        self.index_file = f"{git_dir}/index"
        """Where what is staged is; git has another one while it makes some commits."""
        self._common_dir = common_dir
        self._roots = roots
        self._objects: OrderedDict[str, Any] = OrderedDict()
        self._folders: OrderedDict[str, dict[str, Entry]] = OrderedDict()
        self._open = ExitStack()

    @classmethod
    def find(cls, folder: str, roots: list[Path]) -> "Repository | None":
        """Find the repository of a folder, in it or above it up to a root."""
        path = Path(folder)
        for top in (path, *path.parents):
            if not any(top.is_relative_to(root) for root in roots):
                return None
            git_dir = _git_dir(f"{top}/.git", roots)
            if git_dir is not None:
                common = _read(f"{git_dir}/commondir", roots)
                shared = git_dir if common is None else _beside(git_dir, common)
                return cls(str(top), git_dir, shared, roots)
        return None

    def close(self) -> None:
        """Let go of its packs."""
        self._open.close()

    @cached_property
    def head(self) -> str | None:
        """The commit that is checked out; `None`: there is none yet."""
        return self._ref("HEAD")

    @cached_property
    def shallow(self) -> frozenset[str]:
        """Commits whose parents are not there."""
        return frozenset((_read(f"{self._common_dir}/shallow", self._roots) or "").split())

    @cached_property
    def index(self) -> dict[str, Entry]:
        """What is staged.

        Raises:
            Unreadable: the index is broken, or of a kind that is not known.
        """
        data = _bytes(self.index_file, self._roots)
        if data is None:
            return {}
        try:
            entries = read_index_dict(BytesIO(data))
            return {
                path.decode(errors="surrogateescape"): Entry(
                    entry.mode, entry.sha.decode(), entry.size, _nanoseconds(entry.mtime)
                )
                for path, entry in entries.items()
                if hasattr(entry, "sha")  # one in conflict has three
            }
        except _BROKEN as error:
            raise Unreadable("the index of the repository cannot be read") from error

    def resolve(self, spec: str) -> str:
        """Find the commit that a revision names: a branch, a tag, `HEAD~2`, a hash.

        Raises:
            BadArguments: there is none.
        """
        match = _SPEC.fullmatch(spec.strip())
        name = match["name"] if match else ""
        sha = self._named("HEAD" if name == "@" else name) if name else None
        try:
            for kind, number in _STEP.findall(match["steps"] if match else "")[:MOST_STEPS]:
                sha = self._step(sha, kind, int(number or 1)) if sha else None
            if sha is not None:
                return self.commit(sha).sha
        except Unreadable:
            pass
        hint = " Its history is cut (a shallow clone); fetch more of it." if self.shallow else ""
        raise BadArguments(f"The repository has no commit `{shown(spec)}`; name a branch, tag or hash.{hint}")

    def get(self, sha: str) -> Any:
        """Read an object.

        Raises:
            Unreadable: it is not there, or not what it should be.
        """
        known = self._objects.get(sha)
        if known is not None:
            return known
        try:
            kind, data = self._raw(sha)
            found = ShaFile.from_raw_string(_NUMBERS[kind], data)
        except _BROKEN as error:
            raise Unreadable(f"object {sha[:12]} is broken") from error
        if hashlib.sha1(b"%s %d\0%s" % (kind, len(data), data), usedforsecurity=False).hexdigest() != sha:
            raise Unreadable(f"object {sha[:12]} is not what its name says")
        if len(data) <= SMALL_BYTES:
            self._objects[sha] = found
            if len(self._objects) > OBJECTS_KEPT:
                self._objects.popitem(last=False)
        return found

    def commit(self, sha: str) -> Commit:
        """Read a commit, or the one that a tag names.

        Raises:
            Unreadable: it cannot be read, or is none.
        """
        for _ in range(MOST_STEPS):
            found = self.get(sha)
            if found.type_name == b"commit":
                return _commit(sha, found)
            if found.type_name != b"tag":
                break
            sha = found.object[1].decode()
        raise Unreadable(f"object {sha[:12]} is no commit")

    def parents(self, commit: Commit) -> tuple[str, ...]:
        """Return the parents of a commit that are there."""
        return () if commit.sha in self.shallow else commit.parents

    def blob(self, sha: str) -> bytes:
        """Read the content of a file.

        Raises:
            Unreadable: it cannot be read, or is no file.
        """
        found = self.get(sha)
        if found.type_name != b"blob":
            raise Unreadable(f"object {sha[:12]} is no file")
        data: bytes = found.data
        return data

    def entry(self, commit: Commit, path: str) -> Entry | None:
        """Find a file of a commit.

        Raises:
            Unreadable: a tree on the way cannot be read.
        """
        entry: Entry | None = Entry(_FOLDER, commit.tree)
        for part in path.split("/"):
            if entry is None or entry.mode != _FOLDER:
                return None
            entry = self._items(entry.sha).get(part)
        return entry

    def differs(self, commit: Commit, other: Commit, path: str) -> bool:
        """Whether a file is another one in two commits, or is in one alone.

        Raises:
            Unreadable: a tree on the way cannot be read.
        """
        one: Entry | None = Entry(_FOLDER, commit.tree)
        two: Entry | None = Entry(_FOLDER, other.tree)
        for part in path.split("/"):
            if one == two:
                return False
            one, two = (
                self._items(each.sha).get(part) if each is not None and each.mode == _FOLDER else None
                for each in (one, two)
            )
        return one != two

    def differences(
        self, old: str | None, new: str | None, prefix: str = "", depth: int = 0
    ) -> Iterator[tuple[str, Entry | None, Entry | None]]:
        """Compare two trees; yield paths with what was and is there, by path.

        Raises:
            Unreadable: a tree cannot be read.
        """
        if depth > MOST_TREE_DEPTH:
            raise Unreadable("its folders are too deep")
        before = self._items(old) if old else {}
        after = self._items(new) if new else {}
        for name in sorted(before.keys() | after.keys()):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            trees = [each.sha if each and each.mode == _FOLDER else None for each in (was, now)]
            path = prefix + name
            if any(trees):
                yield from self.differences(trees[0], trees[1], f"{path}/", depth + 1)
            files = [None if each is None or each.mode == _FOLDER else each for each in (was, now)]
            if any(files):
                yield path, files[0], files[1]

    def _items(self, sha: str) -> dict[str, Entry]:
        known = self._folders.get(sha)
        if known is not None:
            return known
        tree = self.get(sha)
        if tree.type_name != b"tree":
            raise Unreadable(f"object {sha[:12]} is no folder")
        try:
            found = {
                item.path.decode(errors="surrogateescape"): Entry(item.mode, item.sha.decode())
                for item in tree.items()
            }
        except _BROKEN as error:
            raise Unreadable(f"folder {sha[:12]} is broken") from error
        self._folders[sha] = found
        if len(self._folders) > OBJECTS_KEPT:
            self._folders.popitem(last=False)
        return found

    def _step(self, sha: str, kind: str, number: int) -> str | None:
        if kind == "^":
            parents = self.parents(self.commit(sha))
            return sha if number == 0 else parents[number - 1] if number <= len(parents) else None
        for _ in range(number):
            parents = self.parents(self.commit(sha))
            if not parents:
                return None
            sha = parents[0]
        return sha

    def _named(self, name: str) -> str | None:
        if _SHA.fullmatch(name):
            return name
        for pattern in (
            "{}",
            "refs/{}",
            "refs/tags/{}",
            "refs/heads/{}",
            "refs/remotes/{}",
            "refs/remotes/{}/HEAD",
        ):
            sha = self._ref(pattern.format(name))
            if sha is not None:
                return sha
        return self._abbreviated(name) if _SHORT.fullmatch(name) else None

    def _ref(self, name: str) -> str | None:
        for _ in range(5):
            if name != "HEAD" and not name.startswith("refs/"):
                return None
            text = self._ref_text(name)
            if not text.startswith("ref:"):
                return text if _SHA.fullmatch(text) else None
            name = text.removeprefix("ref:").strip()
        return None

    def _ref_text(self, name: str) -> str:
        if ".." in name.split("/"):
            return ""
        for folder in dict.fromkeys((self._git_dir, self._common_dir)):
            text = _read(f"{folder}/{name}", self._roots)
            if text is not None:
                return text.strip()
        return self._packed_refs.get(name, "")

    @cached_property
    def _packed_refs(self) -> dict[str, str]:
        lines = (_read(f"{self._common_dir}/packed-refs", self._roots) or "").splitlines()
        split = (line.split(" ", 1) for line in lines if not line.startswith(("#", "^")))
        return {parts[1]: parts[0] for parts in split if len(parts) == 2}

    def _abbreviated(self, name: str) -> str | None:
        found = {
            f"{name[:2]}{each}"
            for each in _names(f"{self._common_dir}/objects/{name[:2]}", self._roots)
            if f"{name[:2]}{each}".startswith(name)
        }
        even = bytes.fromhex(name[: len(name) // 2 * 2])
        for pack in self._packs:
            found |= {sha.hex() for sha in pack.index.iter_prefix(even) if sha.hex().startswith(name)}
        return found.pop() if len(found) == 1 else None

    def _raw(self, sha: str) -> tuple[bytes, bytes]:
        if not _SHA.fullmatch(sha):
            raise Unreadable("an object has no name of SHA-1")
        for pack in self._packs:
            try:
                kind, data = pack.get_raw(bytes.fromhex(sha))
            except KeyError:
                continue
            if len(data) > MOST_OBJECT_BYTES:
                raise Unreadable(f"object {sha[:12]} is too large")
            return _TYPES[kind], data
        loose = self._loose(sha)
        if loose is None:
            raise Unreadable(f"object {sha[:12]} is missing")
        return _inflated(loose, sha)

    def _loose(self, sha: str) -> bytes | None:
        """Read the file of an object that is in no pack."""
        folder = self._objects_folder
        if folder is None:
            return None
        with open_below(folder, (sha[:2], sha[2:])) as descriptor:
            return None if descriptor is None else _content(descriptor)

    @cached_property
    def _objects_folder(self) -> int | None:
        try:
            with open_folder(f"{self._common_dir}/objects", self._roots) as opened:
                if opened is None:
                    return None
                descriptor = os.dup(opened[0])
        except (FileRefused, OSError):
            return None
        self._open.callback(os.close, descriptor)
        return descriptor

    @cached_property
    def _packs(self) -> list[Any]:
        folder = f"{self._common_dir}/objects/pack"
        names = sorted(name for name in _names(folder, self._roots) if name.endswith(".idx"))
        packs = (self._pack(f"{folder}/{name.removesuffix('.idx')}") for name in names[:MOST_PACKS])
        return [pack for pack in packs if pack is not None]

    def _pack(self, base: str) -> Any:
        try:
            index, data = (self._opened(f"{base}{suffix}") for suffix in (".idx", ".pack"))
            if max(os.fstat(file.fileno()).st_size for file in (index, data)) > MOST_PACK_BYTES:
                return None
            pack = Pack.from_lazy_objects(
                lambda: PackData(f"{base}.pack", SHA1, file=data),
                lambda: load_pack_index_file(f"{base}.idx", index, SHA1),
            )
            self._open.callback(pack.close)
            pack.check_length_and_checksum()
        except (FileRefused, *_BROKEN):
            return None
        return pack

    def _opened(self, path: str) -> Any:
        with open_inside(path, self._roots) as (descriptor, _):
            return self._open.enter_context(os.fdopen(os.dup(descriptor), "rb"))


def _git_dir(path: str, roots: list[Path]) -> str | None:
    """Return where a repository's own files are, of which `.git` may be a file that says where."""
    text = _read(path, roots)
    if text is not None:
        named = text.strip().removeprefix("gitdir:").strip()
        path = _beside(str(Path(path).parent), named) if text.startswith("gitdir:") else ""
    return path if path and _read(f"{path}/HEAD", roots) is not None else None


def _beside(folder: str, path: str) -> str:
    return str(Path(os.path.normpath(Path(folder) / path.strip())))


def _bytes(path: str, roots: list[Path]) -> bytes | None:
    try:
        with open_inside(path, roots) as (descriptor, _):
            return _content(descriptor)
    except (FileRefused, OSError):
        return None


def _content(descriptor: int) -> bytes | None:
    if os.fstat(descriptor).st_size > MOST_FILE_BYTES:
        return None
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read(MOST_FILE_BYTES)


def _read(path: str, roots: list[Path]) -> str | None:
    data = _bytes(path, roots)
    return None if data is None else data.decode(errors="replace")


def _names(folder: str, roots: list[Path]) -> list[str]:
    try:
        with open_folder(folder, roots) as opened:
            if opened is None:
                return []
            with os.scandir(opened[0]) as entries:
                return [entry.name for entry in entries]
    except (FileRefused, OSError):
        return []


def _inflated(packed: bytes, sha: str) -> tuple[bytes, bytes]:
    """Unpack a loose object, up to the bound."""
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(packed, MOST_OBJECT_BYTES + 100)
    if unpacking.unconsumed_tail:
        raise Unreadable(f"object {sha[:12]} is too large")
    kind, _, content = data.partition(b"\0")
    return kind.split(b" ")[0], content


def _commit(sha: str, found: Any) -> Commit:
    try:
        return Commit(
            sha,
            found.tree.decode(),
            tuple(parent.decode() for parent in found.parents),
            found.author.decode(errors="replace").partition(" <")[0],
            found.commit_time,
            found.message.decode(errors="replace"),
        )
    except _BROKEN as error:
        raise Unreadable(f"commit {sha[:12]} is broken") from error


def _nanoseconds(mtime: Any) -> int:
    seconds, fraction = mtime if isinstance(mtime, tuple) else (int(mtime), 0)
    return int(seconds) * 10**9 + int(fraction)
