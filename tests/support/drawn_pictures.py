"""Pictures that tests draw."""

import io
import random
from typing import Any

from PIL import Image

__all__ = ["drawn", "moving_gif", "noise"]


def drawn(kind: str, width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    """A picture in two colours, small as a file whatever its size."""
    picture = Image.new(mode, (width, height))
    picture.paste(Image.new(mode, (max(1, width // 2), height), _other(mode)))
    return _saved(picture, kind, **options)


def noise(kind: str, width: int, height: int, seed: int = 0, **options: Any) -> bytes:
    """A picture that cannot be compressed: about three bytes a pixel as a PNG."""
    pixels = random.Random(seed).randbytes(width * height * 3)
    return _saved(Image.frombytes("RGB", (width, height), pixels), kind, **options)


def moving_gif(width: int, height: int) -> bytes:
    """Two frames, of which the first is black."""
    first, second = (Image.new("L", (width, height), shade) for shade in (0, 255))
    return _saved(first, "GIF", save_all=True, append_images=[second])


def _other(mode: str) -> Any:
    return {"RGB": (200, 30, 30), "RGBA": (200, 30, 30, 0), "L": 200, "P": 1, "1": 1}[mode]


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()
