"""Reads type, size and cost of a picture from its first bytes, before any decoder gets it."""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["PictureHeader", "begins_a_picture", "read_header"]


class PictureHeader(NamedTuple):
    """Media type, width and height in pixels, and how much memory Pillow takes for each pixel."""

    media_type: str
    width: int
    height: int
    decoding_bytes: int
    """Bytes per pixel at most, while it is decoded."""
    decoded_bytes: int
    """Bytes per pixel that stay taken as long as it is open."""

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.width * self.height


def begins_a_picture(data: bytes) -> bool:
    """Check the signature, for which twelve bytes are enough."""
    return any(begins(data) for _, begins, _ in _KINDS)


def read_header(data: bytes) -> PictureHeader | None:
    """Read the header of a PNG, JPEG, GIF or WebP; `None` for anything else, and for a truncated or empty one."""
    for media_type, begins, measures_of in _KINDS:
        if begins(data):
            try:
                header = PictureHeader(media_type, *measures_of(data))
            except (struct.error, IndexError):
                return None
            return header if header.width > 0 and header.height > 0 else None
    return None


Measures = tuple[int, int, int, int]
"""What a `PictureHeader` has after its media type."""

_NONE: Measures = (0, 0, 0, 0)
_MARKER = re.compile(rb"\xff{1,256}([^\xff])", re.DOTALL)
"""Of a JPEG, with fill bytes before it."""
_MOST_SEGMENTS = 5_000
"""Before the first frame of a JPEG; ordinary ones have some dozens."""
_LARGEST_PIXEL = 4
"""Bytes of a pixel in memory: 16 bits per channel are reduced to 8, and three channels are padded to four."""


def _png(data: bytes) -> Measures:
    # PNG 3rd edition, 5.6: IHDR is the first chunk. 11.2.1: its colour types; 0 is grey, 3 a palette.
    if data[12:16] != b"IHDR":
        return _NONE
    width, height, depth, colours = struct.unpack_from(">IIBB", data, 16)
    pixel = {0: 1 if depth <= 8 else 2, 3: 1}.get(colours, _LARGEST_PIXEL)
    return width, height, pixel, pixel


def _gif(data: bytes) -> Measures:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height, 2, 2


def _jpeg(data: bytes) -> Measures:
    """Read the first frame header (ITU T.81, B.2.2); every segment before it has its length.

    A progressive picture has two bytes for each coefficient of each component until its last scan was read, as has any
    other that comes in several scans.
    """
    place = 2
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.match(data, place)
        if found is None:
            return _NONE
        marker, place = found[1][0], found.end()
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width, components = struct.unpack_from(">HHB", data, place + 3)
            pixel = 1 if components == 1 else _LARGEST_PIXEL
            return width, height, pixel + 2 * min(components, 4), pixel
        if marker in {0xD9, 0xDA}:  # the end, or the data of a scan, before any frame
            return _NONE
        stands_alone = marker == 0x01 or 0xD0 <= marker <= 0xD7
        place += 0 if stands_alone else struct.unpack_from(">H", data, place)[0]
    return _NONE


def _webp(data: bytes) -> Measures:
    """Read the first chunk: extended, lossless or lossy (RFC 9649, 2.5 to 2.7).

    The decoder of animations, which every WebP goes through, has two canvases beside the frame and its copy.
    """
    width, height = _webp_size(data)
    return width, height, 17, 12


def _webp_size(data: bytes) -> tuple[int, int]:
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


_KINDS: tuple[tuple[str, Callable[[bytes], bool], Callable[[bytes], Measures]], ...] = (
    ("image/png", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    ("image/jpeg", lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    ("image/gif", lambda data: data.startswith((b"GIF87a", b"GIF89a")), _gif),
    ("image/webp", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
)
