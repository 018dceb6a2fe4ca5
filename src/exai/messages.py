"""Messages between a caller and a model, as plain values that depend on no provider and no protocol."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Protocol

import msgspec

__all__ = [
    "Attachment",
    "Citation",
    "Effort",
    "FileExcerpt",
    "Image",
    "Message",
    "PictureLimits",
    "Role",
    "Source",
    "ToolCall",
]


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Effort(StrEnum):
    """How much a model should think before it answers; each adapter maps it to its provider's values."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


@dataclass(frozen=True)
class Image:
    """A picture, already checked: `media_type` was read from its content."""

    media_type: str
    data: bytes = field(repr=False)
    width: int = 0
    """In pixels; 0 when it was not measured."""
    height: int = 0
    moves: bool = False
    """Whether it has more than one frame."""
    known_sha256: str | None = field(default=None, repr=False, compare=False)
    """Its digest, where that was computed before."""
    origin_sha256: str | None = field(default=None, repr=False, compare=False)
    """The digest of the picture that it was made of, where it was converted or made smaller."""
    file_owner: str | None = field(default=None, repr=False, compare=False)
    """Whose stored file it is, or was made of; `None`: it is none."""

    @cached_property
    def sha256(self) -> str:
        return self.known_sha256 or hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """Which pictures a model accepts."""

    types: tuple[str, ...] = ("image/png", "image/jpeg", "image/gif", "image/webp")
    """Media types. JPEG is one of them: any picture can be converted into it."""
    max_bytes: int = 20 * 2**20
    """The size of one picture, in bytes."""
    max_side: int = 8_192
    """The longer side, in pixels."""
    max_count: int = 50
    """How many pictures one request may have."""
    max_inside_bytes: int = 70 * 2**20
    """The size of all pictures inside one request, in bytes, before base64."""

    def hold(self, image: Image) -> bool:
        """Check whether the model accepts `image` as it is."""
        return (
            image.media_type in self.types
            and len(image.data) <= self.max_bytes
            and max(image.width, image.height) <= self.max_side
            and not image.moves
        )


@dataclass(frozen=True)
class FileExcerpt:
    """A text file as it enters a prompt."""

    path: str
    text: str = field(repr=False)
    sha256: str


class Source(Protocol):
    """A content that can be read from its beginning, more than once."""

    @property
    def sha256(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def suffix(self) -> str:
        """The ending of a name for such a content, without a dot."""
        ...

    @property
    def media_type(self) -> str: ...

    @property
    def file_owner(self) -> str | None:
        """Whose stored file it is, or was made of; `None`: it is none."""
        ...

    @property
    def origin_sha256(self) -> str | None:
        """The digest of the content that it was made of; `None`: it is as it was."""
        ...

    def blocks(self) -> AsyncIterator[bytes]:
        """Yield all of it, `size` bytes.

        Raises:
            FileDamaged: it is not what its digest says.
        """
        ...


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a model is shown as it is: it lies at the model's provider, and a message names it there."""

    name: str = field(repr=False)
    """The caller's name for it, for messages."""
    kind: str
    """Of its content, as `exai.files.kinds` names it."""
    source: Source


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's call of a tool. It is sent back unchanged."""

    id: str
    name: str
    arguments: str = field(repr=False)
    """JSON, as the model wrote it."""
    kind: str = "function"
    """Its `type` on the wire."""


class Message(msgspec.Struct, frozen=True):
    """One message of a prompt."""

    role: Role
    text: str
    images: tuple[Image, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    reasoning: str | None = None
    """The assistant's reasoning, for a provider whose protocol requires it back."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools that the assistant called; their messages follow directly."""
    answers: ToolCall | None = None
    """For a tool's message: the call that it answers."""

    def __repr__(self) -> str:
        """Name what it is made of without its texts, which belong in no log."""
        shown = f"{len(self.images)} pictures, {len(self.attachments)} files"
        return f"Message({self.role}, {len(self.text)} characters, {shown})"


@dataclass(frozen=True, slots=True)
class Citation:
    """A source that the provider's own web search used."""

    title: str
    url: str
    published: str | None = None
