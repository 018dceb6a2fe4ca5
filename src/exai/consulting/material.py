"""The question of a prompt with its files and pictures."""

from collections.abc import Sequence

import msgspec

from exai.callers import Caller
from exai.consulting.inquiry import Inquiry
from exai.files.paths.reader import FileReader
from exai.messages import FileExcerpt, Image

__all__ = ["Material", "gather"]


class Material(msgspec.Struct, frozen=True):
    """What was read for an inquiry; the same for every model."""

    files: tuple[FileExcerpt, ...]
    images: tuple[Image, ...]
    question: str
    """The question with its files in front, as it is sent."""

    @property
    def as_recorded(self) -> str:
        """The question as later calls recall it; pictures are named, not kept."""
        count = len(self.images)
        if not count:
            return self.question
        return (
            f"{self.question}\n\n[{count} picture{'s' if count > 1 else ''} shown here, no longer attached]"
        )


async def gather(inquiry: Inquiry, reader: FileReader, caller: Caller) -> Material:
    """Read the files and pictures of the caller's inquiry.

    Raises:
        FileRefused: one of them may not or cannot be read.
    """
    files = await reader.read_texts(caller.subject, inquiry.file_paths)
    images = await reader.read_images(caller.subject, inquiry.images)
    return Material(files, images, _with_files(inquiry.question, files))


def _with_files(question: str, files: Sequence[FileExcerpt]) -> str:
    """Put the files before the question; a file's mark holds its own digest, so no file can forge its end."""
    parts = []
    for file in files:
        mark = f"FILE {file.path} sha256:{file.sha256[:16]}"
        body = file.text if file.text.endswith("\n") else file.text + "\n"
        parts.append(f"--- BEGIN {mark}\n{body}--- END {mark}\n")
    return "\n".join([*parts, question])
