"""Reads type and size of a picture from its first bytes, before any decoder gets it."""

import struct
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["PictureHeader", "read_header"]


class PictureHeader(NamedTuple):
    """Media type, and width and height in pixels."""

    media_type: str
    width: int
    height: int


def read_header(data: bytes) -> PictureHeader | None:
    """Read the header of a PNG, JPEG, GIF or WebP; `None` for anything else, and for a truncated or empty one."""
    for media_type, begins, size_of in _KINDS:
        if begins(data):
            try:
                width, height = size_of(data)
            except (struct.error, IndexError):
                return None
            return PictureHeader(media_type, width, height) if width > 0 and height > 0 else None
    return None


def _png(data: bytes) -> tuple[int, int]:
    # PNG 3rd edition, 5.6: IHDR is the first chunk.
    if data[12:16] != b"IHDR":
        return 0, 0
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    """Read the first frame header (ITU T.81, B.2.2); every segment before it has its length."""
    place = 2
    while True:
        while data[place] == 0xFF and data[place + 1] == 0xFF:  # fill bytes
            place += 1
        if data[place] != 0xFF:
            return 0, 0
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if marker in {0xD9, 0xDA}:  # the end, or the data of a scan, before any frame
            return 0, 0
        stands_alone = marker == 0x01 or 0xD0 <= marker <= 0xD7
        place += 2 if stands_alone else 2 + struct.unpack_from(">H", data, place + 2)[0]


def _webp(data: bytes) -> tuple[int, int]:
    """Read the first chunk: extended, lossless or lossy (RFC 9649, 2.5 to 2.7)."""
    match data[12:16]:
        case b"VP8X":
            return 1 + _three_bytes(data, 24), 1 + _three_bytes(data, 27)
        case b"VP8L":
            bits = struct.unpack_from("<I", data, 21)[0]
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return 0, 0


def _three_bytes(data: bytes, place: int) -> int:
    return data[place] | data[place + 1] << 8 | data[place + 2] << 16


_KINDS: tuple[tuple[str, Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]], ...] = (
    ("image/png", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    ("image/jpeg", lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    ("image/gif", lambda data: data.startswith((b"GIF87a", b"GIF89a")), _gif),
    ("image/webp", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
)
