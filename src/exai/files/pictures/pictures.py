"""Checks pictures, and converts them into what a model accepts.

All functions work on bytes in memory and take time and memory: `exai.files.pictures.work` calls them in threads. None
decodes a picture whose header has more pixels than the limit.
"""

import hashlib
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog
from PIL import Image as Pillow
from PIL import ImageOps

from exai.errors import FileRefused, ToolFault
from exai.files.pictures.header import read_header
from exai.messages import Image, PictureLimits

__all__ = ["IMAGE_KINDS", "Fitted", "Verdict", "check_picture", "fit_picture", "judge_picture"]

_log = structlog.get_logger(__name__)

IMAGE_KINDS = "PNG, JPEG, GIF and WebP"

_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP"}

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Pillow.DecompressionBombError)
"""What Pillow raises on broken pictures."""

_JPEG_QUALITY = 88
_PNG_EFFORT = 3
"""Compression level, of 9: a third of the time of the usual 6, for a few percent more bytes."""
_SHRINK = 0.8
_LEAST_SIDE = 64
"""In pixels; a smaller picture shows nothing any more."""
_LONGEST_SIDE = 65_535
"""In pixels: what JPEG and GIF can have. Each line costs time and memory beside its pixels, however short it is."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture that a model accepts."""

    image: Image
    change: str | None = None
    """How it was changed, as in "made smaller from 9000 x 100 to 6000 x 67"; `None`: not at all."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a picture's content, whatever it is called."""

    media_type: str = ""
    width: int = 0
    """In pixels."""
    height: int = 0
    moves: bool = False
    """Whether it has more than one frame."""
    refusal: str | None = None
    """Why it is not taken, as a sentence without its subject."""


def judge_picture(data: bytes, max_pixels: int) -> Verdict:
    """Find out what a picture is, by decoding it once.

    Args:
        data: the content, of limited size.
        max_pixels: the largest number of pixels that is decoded.
    """
    header = read_header(data)
    if header is None:
        return Verdict(refusal=f"is no picture of a kind that models take: {IMAGE_KINDS}.")
    if header.pixels > max_pixels:
        return Verdict(
            refusal=f"has {header.width} x {header.height} pixels, more than are decoded here "
            f"({max_pixels}, `files.max_image_pixels`); give a smaller one."
        )
    if max(header.width, header.height) > _LONGEST_SIDE:
        return Verdict(
            refusal=f"has {header.width} x {header.height} pixels, and no side may have more than {_LONGEST_SIDE}; "
            "give it in parts."
        )
    try:
        with _decoded(data, header.media_type) as picture:
            if picture.width * picture.height > max_pixels:
                return Verdict(refusal="is larger than its header says; give another one.")
            picture.load()
            moves = bool(getattr(picture, "is_animated", False))
            return Verdict(header.media_type, *picture.size, moves)
    except _BrokenPictureError as broken:
        return Verdict(refusal=str(broken))


def check_picture(data: bytes, name: str, max_pixels: int) -> Image:
    """Check a picture, by decoding it once; see `judge_picture`. `name` is the caller's name for it, for messages.

    Raises:
        FileRefused: it is no picture of `IMAGE_KINDS`, too large, or broken.
    """
    verdict = judge_picture(data, max_pixels)
    if verdict.refusal is not None:
        raise FileRefused(f"{name} {verdict.refusal}")
    return Image(verdict.media_type, data, verdict.width, verdict.height, verdict.moves)


def fit_picture(image: Image, limits: PictureLimits, name: str) -> Fitted:
    """Fit `image` into `limits`: unchanged, or converted, reduced to one frame and made smaller.

    Raises:
        FileRefused: it cannot be decoded, or would have to be too small to show anything.
    """
    if limits.hold(image):
        return Fitted(image)
    try:
        with _decoded(image.data, image.media_type) as picture:
            ImageOps.exif_transpose(picture, in_place=True)
            side = limits.max_side
            if max(picture.size) > side:
                picture.thumbnail((side, side))
            fitted = _encoded(picture, image, limits, name)
    except _BrokenPictureError as broken:
        raise FileRefused(f"{name} {broken}") from broken
    return Fitted(fitted, _change(image, fitted))


def _encoded(picture: Pillow.Image, source: Image, limits: PictureLimits, name: str) -> Image:
    """Encode the picture in an accepted type and size: PNG keeps edges and transparency, JPEG is small."""
    # A PNG that was too large does not become small enough by encoding it again.
    heavy = source.media_type == "image/png" and picture.size == (source.width, source.height)
    as_png = "image/png" in limits.types and not heavy and _has_edges(picture, source)
    while True:
        for media_type in ("image/png", "image/jpeg") if as_png else ("image/jpeg",):
            data = _as_png(picture) if media_type == "image/png" else _as_jpeg(picture)
            if len(data) <= limits.max_bytes:
                return _made_of(source, Image(media_type, data, *picture.size))
        smaller = int(max(picture.size) * _SHRINK)
        if smaller < _LEAST_SIDE:
            raise FileRefused(f"{name} cannot be made small enough to be sent; give another one.")
        picture.thumbnail((smaller, smaller))
        # A picture that has too many bytes is a photograph, or as detailed as one.
        as_png = False


def _made_of(source: Image, made: Image) -> Image:
    """Note of which picture another one was made; digests are computed here, in a thread."""
    digest = hashlib.sha256(made.data).hexdigest()
    return replace(made, known_sha256=digest, origin_sha256=source.sha256)


def _has_edges(picture: Pillow.Image, source: Image) -> bool:
    """Return whether it is worth a PNG: it has transparency, or was in a lossless format."""
    if picture.mode in {"LA", "PA", "RGBA", "RGBa"} or "transparency" in picture.info:
        return True
    if source.media_type == "image/webp":
        return b"VP8L" in source.data
    return source.media_type != "image/jpeg"


def _as_png(picture: Pillow.Image) -> bytes:
    usable = picture.mode in {"1", "L", "LA", "P", "RGB", "RGBA"}
    sink = io.BytesIO()
    (picture if usable else picture.convert("RGBA")).save(sink, "PNG", compress_level=_PNG_EFFORT)
    return sink.getvalue()


def _as_jpeg(picture: Pillow.Image) -> bytes:
    """Encode as JPEG; transparent parts become white, as on a page."""
    if picture.mode in {"L", "RGB"}:
        flat = picture
    else:
        layered = picture.convert("RGBA")
        flat = Pillow.new("RGB", picture.size, "white")
        flat.paste(layered, mask=layered.getchannel("A"))
    sink = io.BytesIO()
    flat.save(sink, "JPEG", quality=_JPEG_QUALITY)
    return sink.getvalue()


def _change(before: Image, after: Image) -> str:
    words = []
    if before.moves:
        words.append("its first frame was taken")
    kinds = _FORMATS[before.media_type], _FORMATS[after.media_type]
    if kinds[0] != kinds[1]:
        words.append(f"it was converted from {kinds[0]} to {kinds[1]}")
    sizes = (before.width, before.height), (after.width, after.height)
    if sizes[0] != sizes[1] and sizes[0] != sizes[1][::-1]:
        words.append(
            f"it was made smaller from {before.width} x {before.height} to {after.width} x {after.height} pixels"
        )
    elif len(after.data) < len(before.data) and kinds[0] == kinds[1]:
        words.append(f"it was compressed from {len(before.data)} to {len(after.data)} bytes")
    return " and ".join(words) or "it was written anew"


class _BrokenPictureError(Exception):
    """A decoder did not get to its end; the text says so, without its subject."""


@contextmanager
def _decoded(data: bytes, media_type: str) -> Iterator[Pillow.Image]:
    """Open the picture with the decoder of its type alone."""
    try:
        with Pillow.open(io.BytesIO(data), formats=(_FORMATS[media_type],)) as picture:
            yield picture
    except ToolFault:
        raise
    except Exception as error:
        # On hostile bytes decoders also fail by defects of their own, with any exception.
        if not isinstance(error, _BROKEN):
            _log.warning("a picture made its decoder stumble", kind=media_type, error=type(error).__name__)
        raise _BrokenPictureError(f"is a broken {_FORMATS[media_type]}: it cannot be decoded.") from error
