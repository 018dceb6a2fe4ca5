"""`files`: the caller's stored files."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.consulting.results import Result, ToolReturn
from exai.errors import BadArguments
from exai.files.documents.lines import StoredText
from exai.files.documents.pages import TextPage, page_of
from exai.files.paths.storing import PathStore
from exai.files.store.handles import file_id_of
from exai.files.store.shelf import Shelf
from exai.storage.files.tables import FileRow
from exai.tools.base import Arguments, Tool

__all__ = ["Files", "FilesArguments", "FilesResult"]

Action = Literal["put", "list", "show", "read", "delete"]

LINES = 200
"""What is read at a time, where no end is named."""
CHARACTERS = 40_000
"""What is read at a time, whatever is named: Claude Code cuts results of more than 25,000 tokens."""
HANDLE = "file_"
PAGE = 20
"""Files in one list: what an agent looks for is among its latest, and it pays for each."""


class FilesArguments(Arguments, frozen=True):
    action: Action
    id: (
        Annotated[
            str, msgspec.Meta(max_length=300, description="file_…; with list, lists what is older than it")
        ]
        | None
    ) = None
    path: (
        Annotated[str, msgspec.Meta(max_length=4_096, description="For put: absolute, where EXAI runs")]
        | None
    ) = None
    from_line: Annotated[int, msgspec.Meta(ge=1)] | None = None
    to_line: Annotated[int, msgspec.Meta(ge=1)] | None = None
    name: Annotated[str, msgspec.Meta(max_length=1_024)] | None = None


class FileItem(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a list."""

    id: str
    name: str
    bytes: int
    kind: str
    state: str | None = None
    """`damaged`; present only then."""

    @classmethod
    def of(cls, row: FileRow) -> "FileItem":
        """Describe a file."""
        return cls(
            id=row.file_id,
            name=row.name,
            bytes=row.bytes,
            kind=row.kind,
            state="damaged" if row.is_damaged else None,
        )

    def text(self) -> str:
        """Describe it in a line."""
        name = self.name if self.name.isprintable() else ascii(self.name)
        damaged = "" if self.state is None else ", damaged: put the same content again"
        return f"{self.id} {name} ({self.kind}, {self.bytes:,} bytes{damaged})"


class FilesResult(Result, frozen=True, kw_only=True):
    """What an action came to: a file or files."""

    id: str | None = None
    name: str | None = None
    bytes: int | None = None
    kind: str | None = None
    state: str | None = None
    sha256: str | None = None
    created_at: str | None = None
    removed: bool = False
    files: tuple[FileItem, ...] | UnsetType = UNSET
    next: str | None = None
    """The `id` with which the list goes on."""
    from_line: int | None = None
    to_line: int | None = None
    total_lines: int | None = None
    next_line: int | None = None
    """The `from_line` with which the text goes on."""
    note: str | None = None
    lines: str | None = None

    @classmethod
    def of(cls, row: FileRow, *, whole: bool = False) -> "FilesResult":
        """Describe one file; `whole` with all that is known of it."""
        item = FileItem.of(row)
        return cls(
            id=item.id,
            name=item.name,
            bytes=item.bytes,
            kind=item.kind,
            state=item.state,
            sha256=row.sha256 if whole else None,
            created_at=row.created_at.isoformat(timespec="seconds") if whole else None,
        )

    @classmethod
    def of_page(cls, page: TextPage) -> "FilesResult":
        """Show lines of a file."""
        return cls(**{name: getattr(page, name) for name in page.__struct_fields__})

    def text(self) -> str:
        if self.lines is not None:
            more = "" if self.next_line is None else f"; go on with from_line {self.next_line}"
            head = f"{self.id}, lines {self.from_line} to {self.to_line} of {self.total_lines}{more}"
            return "\n".join([head, *([self.note] if self.note else []), self.lines])
        if self.removed:
            return f"{self.id} is removed."
        if self.files is not UNSET:
            lines = [item.text() for item in self.files] or ["You have no files."]
            if self.next is not None:
                lines.append(f"There are more: list with id {self.next}.")
            return "\n".join(lines)
        item = FileItem(
            id=self.id or "",
            name=self.name or "",
            bytes=self.bytes or 0,
            kind=self.kind or "",
            state=self.state,
        )
        further = [] if self.sha256 is None else [f"sha256 {self.sha256}", f"stored {self.created_at}"]
        return "\n".join([item.text(), *further])


class Files:
    """Asks no provider for what it does with stored files; owners are checked by the store."""

    def __init__(self, shelf: Shelf, paths: PathStore, text: StoredText) -> None:
        self._shelf = shelf
        self._text = text
        self._paths = paths
        self._actions = {
            "put": self._put,
            "list": self._list,
            "show": self._show,
            "read": self._read,
            "delete": self._delete,
        }

    def tool(self) -> Tool[FilesArguments, FilesResult]:
        """The catalogue's entry."""
        return Tool(
            name="files",
            title="Stored files",
            description="Your files in EXAI's store, named by handles that go wherever paths go.",
            arguments=FilesArguments,
            result=FilesResult,
            run=self.run,
            asks_provider=False,
            scope=scopes.FILES,
            file_arguments=("path",),
            unlisted=frozenset({"name"}),
            read_only=False,
            destructive=True,
            idempotent=True,
        )

    async def run(self, arguments: FilesArguments, context: CallContext) -> ToolReturn[FilesResult]:
        """Do one thing with the caller's files.

        Raises:
            BadArguments: the action lacks an argument.
            ToolFault: one of the classes of `files/faults.py`.
        """
        owner = context.caller.subject
        return ToolReturn(await self._actions[arguments.action](arguments, owner))

    async def _put(self, arguments: FilesArguments, owner: str) -> FilesResult:
        if arguments.path is None:
            raise BadArguments(
                "put needs `path`, absolute, of a file on the machine where EXAI runs. From another machine: "
                "action authorize gives a command that uploads."
            )
        if (file_id := file_id_of(arguments.path)).startswith(
            HANDLE
        ):  # `exai connect` has stored it on the way
            return FilesResult.of(await self._shelf.get(owner, file_id))
        return FilesResult.of(await self._paths.put(owner, arguments.path, arguments.name))

    async def _list(self, arguments: FilesArguments, owner: str) -> FilesResult:
        after = None if arguments.id is None else file_id_of(arguments.id)
        rows = await self._shelf.newest(owner, PAGE + 1, after=after)
        files = tuple(FileItem.of(row) for row in rows[:PAGE])
        return FilesResult(files=files, next=files[-1].id if len(rows) > PAGE else None)

    async def _show(self, arguments: FilesArguments, owner: str) -> FilesResult:
        return FilesResult.of(await self._shelf.get(owner, _named(arguments)), whole=True)

    async def _read(self, arguments: FilesArguments, owner: str) -> FilesResult:
        first = arguments.from_line or 1
        last = arguments.to_line or first + LINES - 1
        lines = await self._text.read(owner, _named(arguments), first, last)
        return FilesResult.of_page(page_of(lines, CHARACTERS))

    async def _delete(self, arguments: FilesArguments, owner: str) -> FilesResult:
        file_id = _named(arguments)
        await self._shelf.remove(owner, file_id)
        return FilesResult(id=file_id, removed=True)


def _named(arguments: FilesArguments) -> str:
    """Return the id of the file that is meant.

    Raises:
        BadArguments: none is named.
    """
    if arguments.id is None:
        raise BadArguments(f"{arguments.action} needs `id`, the handle of a file. Action list has yours.")
    return file_id_of(arguments.id)
