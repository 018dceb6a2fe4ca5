"""What a service gets out of an uploaded file: its kind and its text, or why there is none."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from exai_emulator.documents.kinds import READ_KINDS, Kind, kind_of
from exai_emulator.uploads import Upload

__all__ = ["Extract", "extract"]

_READING_S = 300.0
_READER = Path(__file__).with_name("reading.py")
"""Run as a file: as a module it would import the emulator around it, which takes longer than most documents."""


@dataclass(frozen=True, slots=True)
class Extract:
    """What was found in a file."""

    kind: Kind
    text_path: Path | None = None
    """Where its text is; None when it has none."""
    trouble: str = ""
    """Why a document could not be read; empty when it could, and for what is no document."""

    @property
    def text(self) -> str:
        """The text; empty when there is none."""
        if self.text_path is None:
            return ""
        return self.text_path.read_text(encoding="utf-8", errors="replace")


async def extract(upload: Upload) -> Extract:
    """Judge a file and read its text, without holding it in memory."""
    kind = await asyncio.to_thread(kind_of, upload.path, upload.head)
    if kind == "text":
        return Extract(kind, upload.path)
    if kind == "unknown":
        return Extract(kind, trouble="text extraction failed: neither text nor a document")
    if kind not in READ_KINDS:
        return Extract(kind)
    target = upload.beside(".text")
    trouble = await _read(kind, upload.path, target)
    return Extract(kind, trouble=f"text extraction failed: {trouble}") if trouble else Extract(kind, target)


async def _read(kind: Kind, source: Path, target: Path) -> str:
    """Have a child read the document; return why it could not."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-W", "ignore", str(_READER), kind, str(source), str(target)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_READING_S):
            _, said = await child.communicate()
    except TimeoutError:
        return "it took too long"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode == 0:
        return ""
    lines = said.decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line), f"the reader ended with {child.returncode}")
