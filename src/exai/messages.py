"""What is said between a caller and a model, in the house's own words.

Pure values: no provider's spelling, no protocol's envelope.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

__all__ = ["Citation", "Effort", "FileExcerpt", "Image", "Message", "PictureLimits", "Role", "ToolCall"]


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Effort(StrEnum):
    """How much a model should think before it answers; each model maps it to its own dialect."""

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
    """In pixels; 0 where nobody has measured."""
    height: int = 0
    moves: bool = False
    """Whether it has more than one frame."""

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a model takes of pictures."""

    types: tuple[str, ...] = ("image/png", "image/jpeg", "image/gif", "image/webp")
    """Media types; among them JPEG, into which anything can be made to fit."""
    max_bytes: int = 20 * 2**20
    """Largest picture, in bytes."""
    max_side: int = 8_192
    """Longest side, in pixels."""
    max_count: int = 50
    """Pictures of one request."""
    max_inside_bytes: int = 70 * 2**20
    """All pictures inside one request together, in bytes before the encoding that makes four of three."""


@dataclass(frozen=True)
class FileExcerpt:
    """A text file as it enters a prompt."""

    path: str
    text: str = field(repr=False)
    sha256: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's call of a tool. It goes back exactly as it came."""

    id: str
    name: str
    arguments: str = field(repr=False)
    """JSON, as the model wrote it."""
    kind: str = "function"
    """Its `type` on the wire."""


@dataclass(frozen=True)
class Message:
    """One message of a prompt."""

    role: Role
    text: str = field(repr=False)
    images: tuple[Image, ...] = ()
    reasoning: str | None = field(default=None, repr=False)
    """What the assistant thought, for the provider whose protocol wants it back."""
    tool_calls: tuple[ToolCall, ...] = ()
    """What the assistant called; the messages of these tools follow directly."""
    answers: ToolCall | None = None
    """The call that a tool's message answers."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A source that the provider's own web search used."""

    title: str
    url: str
    published: str | None = None
