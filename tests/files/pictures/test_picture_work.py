"""Pictures of many callers: decoded once each, within a bound of memory, and nobody waits for another's."""

import asyncio
import hashlib
import io
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from PIL import Image as Pillow

from exai import config
from exai.errors import FileRefused
from exai.files.heavy_work import HeavyWork
from exai.files.paths.reader import FileReader
from exai.files.pictures import pictures
from exai.files.pictures.header import read_header
from exai.files.pictures.work import PictureWork
from exai.messages import Image, PictureLimits
from support.drawn_pictures import drawn
from support.waiting import wait_until

SMALL = PictureLimits(max_side=16)


class Decoder:
    """Stands before the real decoder: counts, and holds back what is larger than 50 pixels wide."""

    def __init__(self) -> None:
        self.judged: list[int] = []
        self.fitted = 0
        self.go = threading.Event()
        self._judge = pictures.judge_picture
        self._fit = pictures.fit_picture

    def judge(self, data: bytes, max_pixels: int) -> pictures.Verdict:
        header = read_header(data)
        self.judged.append(0 if header is None else header.width)
        if header is not None and header.width > 50:
            assert self.go.wait(60)
        return self._judge(data, max_pixels)

    def fit(self, image: Image, limits: PictureLimits, name: str) -> pictures.Fitted:
        self.fitted += 1
        return self._fit(image, limits, name)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    stands_before = Decoder()
    monkeypatch.setattr(pictures, "judge_picture", stands_before.judge)
    monkeypatch.setattr(pictures, "fit_picture", stands_before.fit)
    yield stands_before
    stands_before.go.set()


async def check(work: PictureWork, caller: str, data: bytes, name: str = "`a`") -> Image:
    return await work.check(caller, data, hashlib.sha256(data).hexdigest(), name)


async def test_whoever_floods_with_pictures_delays_no_other_caller(decoder: Decoder) -> None:
    with closing(HeavyWork(config.Files())) as work:
        files = FileReader(config.Files(), work)
        async with asyncio.TaskGroup() as tasks:
            for size in range(51, 61):
                tasks.create_task(check(work.pictures, "greedy", drawn("PNG", size, 9)))
            await wait_until(lambda: len(decoder.judged) == 1, what="the first of them is decoded")
            image = await check(work.pictures, "modest", drawn("PNG", 8, 9))
            assert (image.width, image.height) == (8, 9)
            assert await files.read_texts("modest", []) == ()
            assert decoder.judged == [51, 8]
            decoder.go.set()
    assert len(decoder.judged) == 11


async def test_the_same_picture_is_decoded_once_whoever_sends_it(decoder: Decoder) -> None:
    data = drawn("PNG", 60, 9)
    with closing(PictureWork(config.Files())) as work:
        asked = [asyncio.create_task(check(work, caller, data)) for caller in "aaabbbccc"]
        await wait_until(lambda: len(decoder.judged) == 1, what="it is decoded")
        decoder.go.set()
        first, *others = await asyncio.gather(*asked)
        assert all(other == first for other in others)
        assert first.sha256 == hashlib.sha256(data).hexdigest()
        await asyncio.gather(*(work.fit(caller, first, SMALL, "Image 1") for caller in "aabb"))
    assert (len(decoder.judged), decoder.fitted) == (1, 1)


async def test_a_refusal_is_remembered_and_names_the_picture_that_is_refused(decoder: Decoder) -> None:
    data = drawn("PNG", 40, 30)[:-30]
    with closing(PictureWork(config.Files())) as work:
        for name in ("`one`", "Image 2"):
            with pytest.raises(FileRefused, match=f"^{name} is a broken PNG"):
                await check(work, "a", data, name)
    assert len(decoder.judged) == 1


async def test_a_picture_that_would_take_too_much_memory_is_not_decoded(decoder: Decoder) -> None:
    data = drawn("WEBP", 500, 500)
    with closing(PictureWork(config.Files(max_decoding_bytes=4 * 2**20))) as work:
        with pytest.raises(
            FileRefused, match=r"500 x 500 pixels and would take 4 MiB.*files\.max_decoding_bytes"
        ):
            await check(work, "a", data)
        decoder.go.set()
        image = await check(work, "a", drawn("GIF", 500, 500, "L"))
        with pytest.raises(FileRefused, match=r"files\.max_decoding_bytes"):
            await work.fit("a", Image("image/webp", data, 500, 500), SMALL, "Image 1")
    assert image.width == 500
    assert decoder.judged == [500]


async def test_pictures_of_all_callers_share_the_memory(decoder: Decoder) -> None:
    one, other = drawn("PNG", 500, 500), drawn("PNG", 501, 500)
    with closing(PictureWork(config.Files(max_decoding_bytes=1_100_000))) as work:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(check(work, "a", one))
            await wait_until(lambda: decoder.judged == [500], what="the first is decoded")
            tasks.create_task(check(work, "b", other))
            await asyncio.sleep(0)
            assert decoder.judged == [500]
            decoder.go.set()
    assert decoder.judged == [500, 501]


def png(width: int, height: int, depth: int, colours: int) -> bytes:
    """A PNG of nothing, in any of its forms: colour type 0 is grey, 2 RGB, 3 a palette, 4 grey and 6 RGB with alpha."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    lines = (b"\0" + bytes((width * channels * depth + 7) // 8)) * height
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(lines, 1), b"IEND"]
    if colours == 3:
        chunks.insert(1, b"PLTE" + bytes(6))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def saved(kind: str, mode: str, **options: object) -> bytes:
    sink = io.BytesIO()
    Pillow.new(mode, (2_000, 2_000), 77 if len(mode) == 1 else tuple(range(40, 40 + len(mode)))).save(
        sink, kind, **options
    )
    return sink.getvalue()


FORMS: dict[str, Callable[[], bytes]] = {
    "16-bit RGBA": lambda: png(2_000, 2_000, 16, 6),
    "16-bit grey": lambda: png(2_000, 2_000, 16, 0),
    "1-bit grey": lambda: png(2_000, 2_000, 1, 0),
    "high": lambda: png(100, 60_000, 1, 0),
    "palette": lambda: png(2_000, 2_000, 8, 3),
    "JPEG": lambda: saved("JPEG", "RGB"),
    "progressive JPEG": lambda: saved("JPEG", "RGB", progressive=True, subsampling=0),
    "progressive CMYK": lambda: saved("JPEG", "CMYK", progressive=True, subsampling=0),
    "grey JPEG": lambda: saved("JPEG", "L", progressive=True),
    "WebP": lambda: saved("WEBP", "RGBA"),
    "lossless WebP": lambda: saved("WEBP", "RGB", lossless=True),
    "GIF": lambda: saved("GIF", "L"),
}

MEASURE = """
import sys
from exai.files.pictures.pictures import fit_picture, judge_picture
from exai.messages import Image, PictureLimits
from PIL import Image as Pillow
import PIL.GifImagePlugin, PIL.JpegImagePlugin, PIL.PngImagePlugin, PIL.WebPImagePlugin
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
data = sys.stdin.buffer.read()
before = peak()
verdict = judge_picture(data, 10**9)
checked = peak() - before
assert verdict.refusal is None, verdict
image = Image(verdict.media_type, data, verdict.width, verdict.height)
fit_picture(image, PictureLimits(("image/png", "image/jpeg"), 5 * 2**20, 1_900), "it")
print(checked, peak() - before)
"""


@pytest.mark.parametrize("form", FORMS)
async def test_no_picture_takes_more_memory_than_is_reckoned_for_it(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's own buffers and the library's are allowed for by 6 MB beside the pixels."""
    data = FORMS[form]()
    reckoned: list[int] = []
    with closing(PictureWork(config.Files())) as work:
        take = work._pool.run_once

        async def note(*args: object, takes_bytes: int) -> object:
            reckoned.append(takes_bytes)
            return await take(*args, takes_bytes=takes_bytes)  # type: ignore[arg-type]

        monkeypatch.setattr(work._pool, "run_once", note)
        image = await check(work, "a", data)
        await work.fit("a", image, PictureLimits(("image/png", "image/jpeg"), 5 * 2**20, 1_900), "it")
    measured = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", MEASURE], input=data, capture_output=True, check=True
    )
    checked, fitted = map(int, measured.stdout.split())
    assert checked <= reckoned[0] + 6_000_000
    assert fitted <= reckoned[1] + 6_000_000


async def test_a_picture_of_endless_lines_is_refused_before_it_is_decoded() -> None:
    header = struct.pack(">IIBBBBB", 1, 49_999_999, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with (
        closing(PictureWork(config.Files())) as work,
        pytest.raises(FileRefused, match="no side may have more than 65535"),
    ):
        await check(work, "a", data)


@pytest.mark.parametrize("filling", [b"\xff" * 2**20, b"\xff\xfe\x00\x02" * 2**18, b"\xff\x01" * 2**18])
def test_a_jpeg_that_does_not_come_to_its_frame_is_no_picture(filling: bytes) -> None:
    assert read_header(b"\xff\xd8\xff" + filling) is None
