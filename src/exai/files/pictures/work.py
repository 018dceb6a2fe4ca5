"""Checks and fits the pictures of all calls, in threads of its own and within a bound of memory.

A decoded picture is many times the size of its file, so its memory is reckoned from its header before any decoder gets
it, and all that are decoded at once share `files.max_decoding_bytes`. A picture is known by the digest of its content:
ten times the same one, in one call or in ten, is decoded once.
"""

from functools import partial
from typing import TYPE_CHECKING

from exai import config
from exai.errors import FileRefused
from exai.files.pictures.header import PictureHeader, read_header
from exai.messages import Image, PictureLimits
from exai.runtime.worker_pool import SharedResults, WorkerPool

if TYPE_CHECKING:
    from exai.files.pictures.pictures import Fitted, Verdict

__all__ = ["PictureWork"]

_THREADS = 2
_VERDICTS_KEPT = 4_096
_FITTED_KEPT_BYTES = 32 * 2**20
_FITTING_BYTES = 12
"""Bytes per pixel for making one smaller, beside the decoded picture: a copy in another form, one that is narrower, and
the result. None of them has more pixels than the original."""
_LINE_BYTES = 16
"""For the pointer to each line of a picture, and what pads it."""


class PictureWork:
    """The pictures of all calls."""

    def __init__(self, settings: config.Files) -> None:
        self._settings = settings
        self._pool = WorkerPool(
            "pictures", threads=_THREADS, per_caller=1, max_bytes=settings.max_decoding_bytes
        )
        self._verdicts: SharedResults[Verdict] = SharedResults(_VERDICTS_KEPT)
        self._fitted: SharedResults[Fitted] = SharedResults(
            _FITTED_KEPT_BYTES, lambda fitted: len(fitted.image.data)
        )

    def close(self) -> None:
        """Begin nothing any more."""
        self._pool.close()

    async def check(self, caller: str, data: bytes, sha256: str, name: str) -> Image:
        """Check a picture by decoding it once.

        Args:
            caller: in whose turn.
            data: the content, of limited size.
            sha256: its digest, in hexadecimal.
            name: the caller's name for it, for messages.

        Raises:
            FileRefused: it is no picture of a known kind, too large, or broken.
        """
        takes_bytes = self._decoding_bytes(data, name)
        judge = partial(_judge, data, self._settings.max_image_pixels)
        verdict = await self._pool.run_once(caller, sha256, judge, self._verdicts, takes_bytes=takes_bytes)
        if verdict.refusal is not None:
            raise FileRefused(f"{name} {verdict.refusal}")
        return Image(verdict.media_type, data, verdict.width, verdict.height, verdict.moves, sha256)

    async def fit(self, caller: str, image: Image, limits: PictureLimits, name: str) -> "Fitted | None":
        """Fit a picture to a model: converted, reduced to one frame or made smaller; `None`: it fits as it is.

        Raises:
            FileRefused: it would have to be too small to show anything.
        """
        if limits.hold(image):
            return None
        header = read_header(image.data)
        takes_bytes = 0 if header is None else self._within_bounds(header, _fitting_bytes(header), name)
        work = partial(_fit, image, limits, name)
        key = (image.sha256, limits)
        return await self._pool.run_once(caller, key, work, self._fitted, takes_bytes=takes_bytes)

    def _decoding_bytes(self, data: bytes, name: str) -> int:
        header = read_header(data)
        if header is None or header.pixels > self._settings.max_image_pixels:
            return 0  # it is refused before it is decoded
        return self._within_bounds(header, header.decoding_bytes, name)

    def _within_bounds(self, header: PictureHeader, bytes_per_pixel: int, name: str) -> int:
        takes_bytes = header.pixels * bytes_per_pixel + header.height * _LINE_BYTES
        if takes_bytes > self._settings.max_decoding_bytes:
            raise FileRefused(
                f"{name} has {header.width} x {header.height} pixels and would take {takes_bytes / 2**20:,.0f} MiB of "
                f"memory, more than all pictures may together ({self._settings.max_decoding_bytes / 2**20:,.0f} MiB, "
                "`files.max_decoding_bytes`); give a smaller one."
            )
        return takes_bytes


def _fitting_bytes(header: PictureHeader) -> int:
    return max(header.decoding_bytes, header.decoded_bytes + _FITTING_BYTES)


# Pillow is imported late: it takes 5 MB and a tenth of a second, and is needed for pictures only.


def _judge(data: bytes, max_pixels: int) -> "Verdict":
    from exai.files.pictures.pictures import judge_picture  # noqa: PLC0415

    return judge_picture(data, max_pixels)


def _fit(image: Image, limits: PictureLimits, name: str) -> "Fitted":
    from exai.files.pictures.pictures import fit_picture  # noqa: PLC0415

    return fit_picture(image, limits, name)
