"""What a provider takes of files, into its store and as parts of prompts; the figures are rows of `catalog.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["FileDialect", "FilePart", "Purpose"]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a provider takes for one purpose."""

    max_bytes: int
    suffixes: frozenset[str] = frozenset()
    """Endings of names that it takes; empty: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """How the models of a provider that see are shown a file as it is."""

    form: Literal["video_url", "file"]
    """The type of the part of a message."""
    purpose: str
    """For which the file is uploaded before."""
    kinds: tuple[str, ...]
    """Of contents, as `exai.files.kinds` names them."""
    max_bytes: int
    """Of one of them."""
    max_count: int | None = None
    """How many one request may have; `None`: no limit is documented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDialect:
    """One provider's file store, by its documentation."""

    purposes: Mapping[str, Purpose]
    max_files: int
    """Files of one account."""
    max_bytes: int | None = None
    """All files of one account together; `None`: no limit is documented."""
    source: str
    """Where that is documented, for messages."""
    checked: str
    """The day of the last comparison with a source, as `YYYY-MM-DD`."""
    lists_by: Literal["token", "purpose"]
    """`token`: one list of all files, in pages by a token. `purpose`: a list for each, in pages behind an id; a single
    file cannot be asked for."""
    has_text: bool = False
    """Whether the text of what was uploaded for `file-extract` can be read."""
    parts: tuple[FilePart, ...] = field(default=())
