"""What a content is, judged by its bytes; a name proves nothing."""

import codecs
import zipfile
from pathlib import Path
from typing import Literal

from exai_emulator.pictures import picture_type

__all__ = ["HEAD_BYTES", "READ_KINDS", "Kind", "kind_of", "video_type"]

HEAD_BYTES = 4096
"""How many of a content's first bytes tell what it is."""

Kind = Literal["pdf", "docx", "xlsx", "pptx", "old_office", "picture", "video", "text", "unknown"]

READ_KINDS: frozenset[Kind] = frozenset({"pdf", "docx", "xlsx", "pptx"})
"""Kinds whose text has to be extracted."""

_MAIN_PARTS: tuple[tuple[str, Kind], ...] = (
    ("word/document.xml", "docx"),
    ("xl/workbook.xml", "xlsx"),
    ("ppt/presentation.xml", "pptx"),
)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_VIDEOS = (
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/wmv"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
)
_OTHER_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip")
"""Boxes with which a QuickTime file without `ftyp` begins."""
_BLOCK = 1 << 20


def video_type(head: bytes) -> str | None:
    """The type of a video by its first bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "video/avi"
    if head[4:8] == b"ftyp" and picture_type(head) is None:
        if head[8:11] == b"3gp":
            return "video/3gpp"
        return "video/mov" if head[8:12] == b"qt  " else "video/mp4"
    if head[4:8] in _OTHER_BOXES:
        return "video/mov"
    return next((kind for beginning, kind in _VIDEOS if head.startswith(beginning)), None)


def kind_of(path: Path, head: bytes) -> Kind:
    """What the file is; text is read to its end, since one byte decides that it is none."""
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(_OLD_OFFICE):
        return "old_office"
    if head.startswith(b"PK\x03\x04"):
        return _packed_kind(path)
    if picture_type(head) is not None:
        return "picture"
    if video_type(head) is not None:
        return "video"
    return "text" if _is_text(path) else "unknown"


def _packed_kind(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as packed:
            names = set(packed.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "unknown"
    return next((kind for part, kind in _MAIN_PARTS if part in names), "unknown")


def _is_text(path: Path) -> bool:
    """Whether the content is UTF-8 without NUL."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                if b"\0" in block:
                    return False
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
