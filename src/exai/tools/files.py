"""`files`: the caller's stored files."""

import re
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from exai.auth import scopes
from exai.callers import Door
from exai.consulting.context import CallContext
from exai.consulting.files.named_roots import roots_named_to
from exai.consulting.results import Result, ToolReturn
from exai.errors import BadArguments, ExaiError
from exai.files.documents.lines import StoredText
from exai.files.documents.pages import TextPage, page_of
from exai.files.paths.storing import PathStore
from exai.files.secrets.checks import SecretCheck
from exai.files.store.handles import file_id_of, is_handle, named_by, whole_file_of
from exai.files.store.shelf import Shelf
from exai.files.store.tickets import UploadTickets
from exai.providers.remote_files.placing import CopyPlacer
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.storage.files.tables import FileRow
from exai.tools.base import SHOWN_WHOLE, Arguments, Tool
from exai.tools.older.files import STORED_FILES

__all__ = ["FileServices", "Files", "FilesArguments", "FilesResult"]

Action = Literal["put", "list", "show", "read", "send", "authorize", "delete"]

LINES = 200
"""What is read at a time, where no end is named."""
PAGE_BYTES = 9_500
"""What is read at a time, where no end is named: Codex leaves out the middle of results of more than 10,000 bytes."""
MOST_BYTES = 40_000
"""What is read at a time, whatever is named: Claude Code cuts results of more than 25,000 tokens."""
UNSAID = frozenset({"assistants"})
"""Purposes of other services, by which agents mean no more than that they will ask about the file."""
HANDLE = "file_"
_TREE = re.compile(r"tree_[0-9a-f]{32}")
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
        Annotated[
            str,
            msgspec.Meta(
                max_length=4_096, description="put: absolute, where EXAI runs; authorize: where you run"
            ),
        ]
        | None
    ) = None
    from_line: Annotated[int, msgspec.Meta(ge=1)] | None = None
    to_line: Annotated[int, msgspec.Meta(ge=1)] | None = None
    provider: Annotated[Literal["kimi", "glm"], msgspec.Meta(description="For send")] | None = None
    paths: Annotated[list[str], msgspec.Meta(max_length=100)] = msgspec.field(default_factory=list)
    name: Annotated[str, msgspec.Meta(max_length=1_024)] | None = None
    purpose: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]{64}$", max_length=64)] | None = None
    send_secrets: bool = False


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
    copies: tuple[str, ...] = ()
    """Provider, purpose and status of each copy that a provider has or had."""
    address: str | None = None
    """Where all bytes are fetched by GET."""
    sent_to: str | None = None
    provider_id: str | None = None
    removed: bool = False
    pending: tuple[str, ...] = ()
    """Copies at providers that are deleted from now on."""
    command: str | None = None
    expires_at: str | None = None
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
    def of(cls, row: FileRow) -> "FilesResult":
        """Describe one file."""
        item = FileItem.of(row)
        return cls(
            id=item.id,
            name=item.name,
            bytes=item.bytes,
            kind=item.kind,
            state=item.state,
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
        if self.command is not None:
            return (
                f"Run this where the file is, until {self.expires_at}; its answer has the id:\n{self.command}"
            )
        if self.removed:
            pending = f" To be deleted at providers: {'; '.join(self.pending)}." if self.pending else ""
            return f"{self.id} is removed.{pending}{'' if self.note is None else f' {self.note}'}"
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
        further += [f"copy: {copy}" for copy in self.copies]
        further += [] if self.address is None else [f"bytes: GET {self.address}"]
        further += [] if self.sent_to is None else [f"at {self.sent_to} as {self.provider_id}"]
        return "\n".join([item.text(), *further])


@dataclass(frozen=True)
class FileServices:
    """What the tool works with."""

    shelf: Shelf
    paths: PathStore
    text: StoredText
    tickets: UploadTickets
    remote: RemoteFiles
    secrets: SecretCheck
    address: str | None
    """Where clients reach the MCP port; `None`: that is not known."""


class Files:
    """Keeps files by handle; owners are checked by the store."""

    def __init__(self, services: FileServices) -> None:
        self._services = services
        self._actions: dict[str, Callable[[FilesArguments, CallContext], Awaitable[FilesResult]]] = {
            "put": self._put,
            "list": self._list,
            "show": self._show,
            "read": self._read,
            "send": self._send,
            "authorize": self._authorize,
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
            listed_result=("id", "files", "lines", "note"),
            listed_depth=0,
            meta=SHOWN_WHOLE,
            file_arguments=("path", "paths"),
            argument_scopes={"provider": scopes.MODELS, "send_secrets": scopes.FILES_SECRETS},
            aliases=STORED_FILES,
            unlisted=frozenset({"paths", "name", "purpose", "bytes", "sha256", "send_secrets"}),
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
        return ToolReturn(await self._actions[arguments.action](arguments, context))

    async def _put(self, arguments: FilesArguments, context: CallContext) -> FilesResult:
        owner = context.caller.subject
        given = [*([] if arguments.path is None else [arguments.path]), *arguments.paths]
        if not given:
            raise BadArguments(
                "put needs `path`, absolute, of a file on the machine where EXAI runs. From another machine: "
                "action authorize gives a command that uploads."
            )
        rows: list[FileRow] = []
        try:
            for path in given:
                with roots_named_to(context.caller, self._services.paths.roots):
                    row = await self._stored(owner, path, arguments.name)
                rows.append(row)
            if arguments.provider is not None:
                sent = [await self._sent(row, arguments, context) for row in rows]
                return sent[0] if len(sent) == 1 else FilesResult(files=tuple(map(FileItem.of, rows)))
        except ExaiError as fault:
            if not rows:
                raise
            raise fault.adding(f"Stored all the same: {', '.join(row.file_id for row in rows)}.") from fault
        return FilesResult.of(rows[0]) if len(rows) == 1 else FilesResult(files=tuple(map(FileItem.of, rows)))

    async def _stored(self, owner: str, path: str, name: str | None) -> FileRow:
        if (file_id := whole_file_of(path)).startswith(HANDLE):  # `exai connect` has stored it on the way
            row = await self._services.shelf.get(owner, file_id)
            named = None if name is None else await self._services.shelf.put_again(owner, name, row.sha256)
            return named or row
        if _TREE.fullmatch(path) is not None:
            raise BadArguments(
                f"`{path}` is a snapshot of a folder, and kept: name it where `chat` takes files. A file of "
                "the folder has a handle of its own: name its path."
            )
        return await self._services.paths.put(owner, path, name)

    async def _list(self, arguments: FilesArguments, context: CallContext) -> FilesResult:
        after = None if arguments.id is None else file_id_of(arguments.id)
        rows = await self._services.shelf.newest(context.caller.subject, PAGE + 1, after=after)
        files = tuple(FileItem.of(row) for row in rows[:PAGE])
        return FilesResult(files=files, next=files[-1].id if len(rows) > PAGE else None)

    async def _show(self, arguments: FilesArguments, context: CallContext) -> FilesResult:
        owner, shelf, base = context.caller.subject, self._services.shelf, self._address(context)
        row = await shelf.get(owner, _named(arguments))
        details = await shelf.details(owner, row)
        return msgspec.structs.replace(
            FilesResult.of(row),
            sha256=row.sha256,
            created_at=row.created_at.isoformat(timespec="seconds"),
            copies=tuple(f"{copy.provider} {copy.purpose} {copy.status}" for copy in details.copies),
            address=None if base is None else f"{base}/files/{row.file_id}/content",
        )

    async def _read(self, arguments: FilesArguments, context: CallContext) -> FilesResult:
        named = named_by(_given(arguments))
        named_first, named_last = named.lines or (1, None)
        first = arguments.from_line or named_first
        last = arguments.to_line or (named_last if first == named_first else None)
        end = last or first + LINES - 1
        lines = await self._services.text.read(context.caller.subject, named.file_id, first, end)
        if last is not None:
            return FilesResult.of_page(page_of(lines, MOST_BYTES))
        return FilesResult.of_page(page_of(lines, PAGE_BYTES, "With `to_line`, more of it is shown."))

    async def _send(self, arguments: FilesArguments, context: CallContext) -> FilesResult:
        if arguments.provider is None:
            raise BadArguments("send needs `provider`: kimi or glm.")
        row = await self._services.shelf.get(context.caller.subject, _named(arguments))
        return await self._sent(row, arguments, context)

    async def _sent(self, row: FileRow, arguments: FilesArguments, context: CallContext) -> FilesResult:
        services, provider = self._services, arguments.provider or ""
        copy = await CopyPlacer(services.shelf, services.remote, services.secrets).place(
            context.caller.subject,
            row,
            provider,
            None if arguments.purpose in UNSAID else arguments.purpose,
            deadline=context.ask.terms.deadline,
            sends_secrets=arguments.send_secrets,
        )
        return msgspec.structs.replace(FilesResult.of(row), sent_to=provider, provider_id=copy.file_id)

    async def _authorize(self, arguments: FilesArguments, context: CallContext) -> FilesResult:
        path, owner = arguments.path or "PATH", context.caller.subject
        if is_handle(path) or _TREE.fullmatch(path) is not None:  # `exai connect` has stored it on the way
            return FilesResult.of(await self._stored(owner, path, arguments.name))
        base = self._address(context)
        if base is None:
            raise BadArguments(
                "There is no address to upload to: EXAI runs on your machine, or does not know how it is reached "
                "(`server.public_url`). Use put with `path`."
            )
        digest = None if arguments.sha256 is None else arguments.sha256.lower()
        ticket = await self._services.tickets.issue(owner, arguments.name, arguments.bytes, digest)
        quoted = path.replace("\\", "\\\\").replace('"', '\\"')
        form = shlex.quote(f'file=@"{quoted}"')
        return FilesResult(
            command=f"curl -fsS -F {form} {shlex.quote(base + ticket.path)}",
            expires_at=ticket.expires_at.isoformat(timespec="seconds"),
        )

    def _address(self, context: CallContext) -> str | None:
        """Return where the HTTP door is; a process that serves one client over stdio has none."""
        return None if context.caller.door is Door.STDIO else self._services.address

    async def _delete(self, arguments: FilesArguments, context: CallContext) -> FilesResult:
        file_id = _named(arguments)
        copies = await self._services.shelf.remove(context.caller.subject, file_id)
        pending = tuple(f"{copy.provider} {copy.purpose} {copy.copy_id}" for copy in copies)
        base = self._address(context)
        by_http = "" if base is None else f", or GET {base}/files/{file_id}/proof,"
        note = f"`exai files proof {file_id}`{by_http} tells when each is gone and how that was confirmed."
        return FilesResult(id=file_id, removed=True, pending=pending, note=note if pending else None)


def _named(arguments: FilesArguments) -> str:
    """Return the id of the file that is meant.

    Raises:
        BadArguments: none is named, or lines of it are.
    """
    return whole_file_of(_given(arguments))


def _given(arguments: FilesArguments) -> str:
    if arguments.id is None:
        raise BadArguments(f"{arguments.action} needs `id`, the handle of a file. Action list has yours.")
    return arguments.id
