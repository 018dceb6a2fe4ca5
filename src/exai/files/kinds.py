"""What a content is, judged by its first bytes. What its sender calls it counts for nothing."""

import codecs
from dataclasses import dataclass

__all__ = ["DOCUMENTS", "HEAD_BYTES", "PACKAGES", "VIDEOS", "Kind", "kind_of"]

HEAD_BYTES = 4096
"""How much of a content's beginning `kind_of` needs."""

DOCUMENTS = frozenset({"pdf", "docx", "xlsx", "pptx", "zip"})
"""Names of kinds whose text is extracted; what is a ZIP at first sight may be an Office document."""

PACKAGES = DOCUMENTS - {"pdf"}
"""Names of kinds that are archives with members of text."""

VIDEOS = frozenset({"mp4", "quicktime", "avi", "matroska", "webm", "mpeg", "flv", "wmv", "3gpp"})
"""Names of kinds."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of content."""

    name: str
    media_type: str


TEXT = Kind("text", "text/plain; charset=utf-8")
BINARY = Kind("binary", "application/octet-stream")
EMPTY = Kind("empty", "application/octet-stream")

_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"%PDF-", Kind("pdf", "application/pdf")),
    (b"\x89PNG\r\n\x1a\n", Kind("png", "image/png")),
    (b"\xff\xd8\xff", Kind("jpeg", "image/jpeg")),
    (b"GIF87a", Kind("gif", "image/gif")),
    (b"GIF89a", Kind("gif", "image/gif")),
    (b"II*\x00", Kind("tiff", "image/tiff")),
    (b"MM\x00*", Kind("tiff", "image/tiff")),
    (b"PK\x03\x04", Kind("zip", "application/zip")),
    (b"PK\x05\x06", Kind("zip", "application/zip")),
    (b"\x1f\x8b", Kind("gzip", "application/gzip")),
    (b"BZh", Kind("bzip2", "application/x-bzip2")),
    (b"\xfd7zXZ\x00", Kind("xz", "application/x-xz")),
    (b"\x28\xb5\x2f\xfd", Kind("zstd", "application/zstd")),
    (b"7z\xbc\xaf\x27\x1c", Kind("7z", "application/x-7z-compressed")),
    (b"Rar!\x1a\x07", Kind("rar", "application/vnd.rar")),
    (b"\x7fELF", Kind("executable", "application/octet-stream")),
    (b"MZ", Kind("executable", "application/octet-stream")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("old-office", "application/x-ole-storage")),
    (b"SQLite format 3\x00", Kind("sqlite", "application/vnd.sqlite3")),
    (b"OggS", Kind("ogg", "application/ogg")),
    (b"fLaC", Kind("flac", "audio/flac")),
    (b"ID3", Kind("mp3", "audio/mpeg")),
    (b"\x1a\x45\xdf\xa3", Kind("matroska", "video/x-matroska")),
    (b"FLV\x01", Kind("flv", "video/x-flv")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("wmv", "video/x-ms-wmv")),
    (b"\x00\x00\x01\xba", Kind("mpeg", "video/mpeg")),
    (b"\x00\x00\x01\xb3", Kind("mpeg", "video/mpeg")),
)
_RIFF = {
    b"WEBP": Kind("webp", "image/webp"),
    b"WAVE": Kind("wav", "audio/wav"),
    b"AVI ": Kind("avi", "video/x-msvideo"),
}
_FTYP_IMAGES = {
    b"avif": Kind("avif", "image/avif"),
    b"heic": Kind("heic", "image/heic"),
    b"mif1": Kind("heic", "image/heic"),
}
_MP4 = Kind("mp4", "video/mp4")
_3GPP = Kind("3gpp", "video/3gpp")
_WEBM = Kind("webm", "video/webm")
_DOCTYPE_BYTES = 64
"""Within which a Matroska file names its type."""
_QUICKTIME = Kind("quicktime", "video/quicktime")
_OFFICE: tuple[tuple[bytes, Kind], ...] = (
    (b"word/", Kind("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")),
    (b"xl/", Kind("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")),
    (b"ppt/", Kind("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation")),
)
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def kind_of(head: bytes) -> Kind:
    """Judge a content by its first `HEAD_BYTES` bytes, or all of it where it is shorter."""
    if not head:
        return EMPTY
    for start, kind in _STARTS:
        if head.startswith(start):
            return _narrowed(kind, head)
    if head.startswith(b"RIFF") and (riff := _RIFF.get(head[8:12])) is not None:
        return riff
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand.startswith(b"3g"):
            return _3GPP
        return _FTYP_IMAGES.get(brand) or (_QUICKTIME if brand == b"qt  " else _MP4)
    return TEXT if _is_text(head) else BINARY


def _narrowed(kind: Kind, head: bytes) -> Kind:
    """Tell what a kind is in particular."""
    if kind.name == "zip":
        return _office_or_zip(head)
    return _WEBM if kind.name == "matroska" and b"webm" in head[:_DOCTYPE_BYTES] else kind


def _office_or_zip(head: bytes) -> Kind:
    """Tell Office documents from other archives by the names of their first members, which the formats fix."""
    if b"[Content_Types].xml" in head or b"_rels/" in head:
        for folder, kind in _OFFICE:
            if folder in head:
                return kind
    return Kind("zip", "application/zip")


def _is_text(head: bytes) -> bool:
    if head.startswith(_WIDE_MARKS):
        return True
    if b"\0" in head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return False
    return True
