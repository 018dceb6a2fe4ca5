"""Pictures: seen to be what they say, and made to fit what a model takes.

All of it works on bytes in memory and takes time: it belongs into a thread. A decoded picture is many times the
size of its file, so few are decoded at once, and none whose header announces more than the limit.
"""

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from PIL import Image as Pillow
from PIL import ImageOps

from exai.errors import FileRefused, ToolFault
from exai.files.picture_header import read_header
from exai.messages import Image, PictureLimits

__all__ = ["IMAGE_KINDS", "Fitted", "check_picture", "fit_picture"]

_log = structlog.get_logger(__name__)

IMAGE_KINDS = "PNG, JPEG, GIF and WebP"

_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP"}

_DECODING = threading.BoundedSemaphore(2)
"""Pictures decoded at once in this process: at the default limit each may take 200 MB meanwhile."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Pillow.DecompressionBombError)
"""What Pillow raises by intent on bytes that are no picture after all."""

_JPEG_QUALITY = 88
_PNG_EFFORT = 3
"""Of 9: a third of the time of the usual 6, for a few percent more bytes."""
_SHRINK = 0.8
_LEAST_SIDE = 64
"""Below this a picture shows nothing any more."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture as a model takes it."""

    image: Image
    change: str | None = None
    """What was done to it, as in "made smaller from 9000 x 100 to 6000 x 67"; `None`: nothing."""


def check_picture(data: bytes, name: str, max_pixels: int) -> Image:
    """The picture in `data`, decoded once to see that it is whole.

    Args:
        data: the content, of bounded size.
        name: as the caller knows it, for sentences.
        max_pixels: largest number of pixels that is decoded.

    Raises:
        FileRefused: it is no picture of `IMAGE_KINDS`, too large, or broken.
    """
    header = read_header(data)
    if header is None:
        raise FileRefused(f"{name} is no picture of a kind that models take: {IMAGE_KINDS}.")
    if header.width * header.height > max_pixels:
        raise FileRefused(
            f"{name} has {header.width} x {header.height} pixels, more than are decoded here "
            f"({max_pixels}, `files.max_image_pixels`); give a smaller one."
        )
    with _decoded(data, header.media_type, name) as picture:
        if picture.width * picture.height > max_pixels:
            raise FileRefused(f"{name} is larger than its header says; give another one.")
        picture.load()
        moves = bool(getattr(picture, "is_animated", False))
        width, height = picture.size
    return Image(header.media_type, data, width, height, moves)


def fit_picture(image: Image, limits: PictureLimits, name: str) -> Fitted:
    """`image` within `limits`: as it is, or converted, stilled and made smaller.

    Raises:
        FileRefused: it cannot be decoded, or shows nothing any more when it is small enough.
    """
    if _fits(image, limits):
        return Fitted(image)
    with _decoded(image.data, image.media_type, name) as picture:
        ImageOps.exif_transpose(picture, in_place=True)
        side = limits.max_side
        if max(picture.size) > side:
            picture.thumbnail((side, side))
        fitted = _encoded(picture, image, limits, name)
    return Fitted(fitted, _change(image, fitted))


def _fits(image: Image, limits: PictureLimits) -> bool:
    return (
        image.media_type in limits.types
        and len(image.data) <= limits.max_bytes
        and max(image.width, image.height) <= limits.max_side
        and not image.moves
    )


def _encoded(picture: Pillow.Image, source: Image, limits: PictureLimits, name: str) -> Image:
    """The picture in a type and size that is taken: PNG keeps edges and transparency, JPEG is small."""
    # A PNG that was too heavy as it came does not become light by being written again.
    heavy = source.media_type == "image/png" and picture.size == (source.width, source.height)
    as_png = "image/png" in limits.types and not heavy and _has_edges(picture, source)
    while True:
        for media_type in ("image/png", "image/jpeg") if as_png else ("image/jpeg",):
            data = _as_png(picture) if media_type == "image/png" else _as_jpeg(picture)
            if len(data) <= limits.max_bytes:
                return Image(media_type, data, *picture.size)
        smaller = int(max(picture.size) * _SHRINK)
        if smaller < _LEAST_SIDE:
            raise FileRefused(f"{name} cannot be made small enough to be sent; give another one.")
        picture.thumbnail((smaller, smaller))
        # What is shrunk by bytes is a photograph or as busy as one.
        as_png = False


def _has_edges(picture: Pillow.Image, source: Image) -> bool:
    """Whether it is worth a PNG: it is see-through somewhere, or was kept without loss before."""
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
    """Transparent parts become white, as a page would show them."""
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


@contextmanager
def _decoded(data: bytes, media_type: str, name: str) -> Iterator[Pillow.Image]:
    """The picture under the decoder of its own type, which nothing but that type is given to."""
    try:
        with _DECODING, Pillow.open(io.BytesIO(data), formats=(_FORMATS[media_type],)) as picture:
            yield picture
    except ToolFault:
        raise
    except Exception as error:
        # On hostile bytes decoders also stumble over defects of their own, whatever those raise.
        if not isinstance(error, _BROKEN):
            _log.warning("a picture made its decoder stumble", kind=media_type, error=type(error).__name__)
        raise FileRefused(f"{name} is a broken {_FORMATS[media_type]}: it cannot be decoded.") from error
