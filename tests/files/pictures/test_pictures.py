"""Pictures are judged by their content, and made to fit what a model takes."""

import io
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from exai.errors import FileRefused
from exai.files.pictures.header import read_header
from exai.files.pictures.pictures import check_picture, fit_picture
from exai.messages import PictureLimits
from support.drawn_pictures import drawn, moving_gif, noise

KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
GLM = PictureLimits(("image/png", "image/jpeg"), 5 * 2**20, 6_000, 50)
PLENTY = 50_000_000


def test_a_daemon_without_pictures_does_without_pillow() -> None:
    code = "import sys, exai.app.services; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def opened(data: bytes) -> Pillow.Image:
    return Pillow.open(io.BytesIO(data))


def png_announcing(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header announces any size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = (header, pixels, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (640, 3), (3, 640)])
def test_the_header_gives_kind_and_size(kind: str, size: tuple[int, int]) -> None:
    header = read_header(drawn(kind, *size))
    assert header is not None
    assert header[:3] == (KINDS[kind], *size)


@pytest.mark.parametrize(
    "data",
    [
        drawn("WEBP", 300, 200, lossless=True),
        drawn("WEBP", 300, 200, "RGBA"),
        drawn("JPEG", 300, 200, progressive=True),
        drawn("JPEG", 300, 200, exif=b"Exif\0\0" + b"\xff\xc0" * 400),
        drawn("PNG", 300, 200, "P"),
    ],
)
def test_the_header_is_found_in_every_form(data: bytes) -> None:
    header = read_header(data)
    assert header is not None
    assert header[1:3] == (300, 200)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_picture_passes_and_is_measured(kind: str) -> None:
    data = drawn(kind, 40, 30)
    image = check_picture(data, "`a`", PLENTY)
    assert (image.media_type, image.data, image.width, image.height) == (KINDS[kind], data, 40, 30)
    assert not image.moves


def test_a_moving_picture_is_known() -> None:
    assert check_picture(moving_gif(8, 8), "`a`", PLENTY).moves


@pytest.mark.parametrize(
    "data", [b"", b"<svg/>", b"BM bitmap", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFFxxxxWEBP"]
)
def test_what_is_no_picture_is_refused_with_the_kinds(data: bytes) -> None:
    with pytest.raises(FileRefused, match="PNG, JPEG, GIF and WebP"):
        check_picture(data, "`a`", PLENTY)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_picture_is_refused(kind: str) -> None:
    data = noise(kind, 64, 64)
    for cut in (len(data) // 3, len(data) // 2, len(data) * 9 // 10):
        with pytest.raises(FileRefused):
            check_picture(data[:cut], "`a`", PLENTY)


def test_a_disguise_does_not_pass() -> None:
    jpeg, png = drawn("JPEG", 8, 8), drawn("PNG", 8, 8)
    for disguised in (
        jpeg[:30] + b"#!/bin/sh\n" * 20,
        png[:33] + b"<script>" * 20,
        b"GIF89a" + b"\1\0\1\0" + png,
    ):
        with pytest.raises(FileRefused):
            check_picture(disguised, "`a`", PLENTY)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    for size in ((100_000, 100_000), (2**31 - 1, 1), (8_000, 8_000)):
        with pytest.raises(FileRefused, match="max_image_pixels"):
            check_picture(png_announcing(*size), "`a`", PLENTY)
    with pytest.raises(FileRefused, match="broken PNG"):
        check_picture(png_announcing(100, 100), "`a`", PLENTY)


def test_what_fits_is_left_as_it_is() -> None:
    image = check_picture(drawn("PNG", 6_000, 10), "`a`", PLENTY)
    fitted = fit_picture(image, GLM, "Image 1")
    assert fitted.image is image
    assert fitted.change is None


@pytest.mark.parametrize(
    ("kind", "mode", "becomes"), [("WEBP", "RGB", "JPEG"), ("GIF", "L", "PNG"), ("WEBP", "RGBA", "PNG")]
)
def test_another_kind_is_converted(kind: str, mode: str, becomes: str) -> None:
    image = check_picture(drawn(kind, 40, 30, mode), "`a`", PLENTY)
    fitted = fit_picture(image, GLM, "Image 1")
    assert (opened(fitted.image.data).format, opened(fitted.image.data).size) == (becomes, (40, 30))
    assert fitted.image.media_type == KINDS[becomes]
    assert f"converted from {kind} to {becomes}" in (fitted.change or "")


def test_too_many_pixels_become_fewer_in_the_same_shape() -> None:
    image = check_picture(drawn("JPEG", 9_000, 300), "`a`", PLENTY)
    fitted = fit_picture(image, GLM, "Image 1")
    assert opened(fitted.image.data).size == (fitted.image.width, fitted.image.height) == (6_000, 200)
    assert "made smaller from 9000 x 300 to 6000 x 200" in (fitted.change or "")


def test_too_many_bytes_are_compressed_and_then_made_smaller() -> None:
    image = check_picture(noise("PNG", 700, 700), "`a`", PLENTY)
    assert len(image.data) > 1_400_000
    limits = replace(GLM, max_bytes=700_000)
    once = fit_picture(image, limits, "Image 1")
    assert len(once.image.data) <= 700_000
    assert (opened(once.image.data).format, opened(once.image.data).size) == ("JPEG", (700, 700))
    twice = fit_picture(image, replace(GLM, max_bytes=50_000), "Image 1")
    assert len(twice.image.data) <= 50_000
    assert max(opened(twice.image.data).size) < 700
    with pytest.raises(FileRefused, match="Image 1 cannot be made small enough"):
        fit_picture(image, replace(GLM, max_bytes=100), "Image 1")


def test_the_same_picture_is_always_made_the_same() -> None:
    image = check_picture(noise("PNG", 300, 300), "`a`", PLENTY)
    limits = replace(GLM, max_bytes=50_000)
    first, second = (fit_picture(image, limits, "Image 1").image for _ in range(2))
    assert first.sha256 == second.sha256


def test_a_moving_picture_is_stilled() -> None:
    image = check_picture(moving_gif(8, 8), "`a`", PLENTY)
    fitted = fit_picture(image, PictureLimits(), "Image 1")
    still = opened(fitted.image.data)
    assert getattr(still, "n_frames", 1) == 1
    assert still.convert("L").getpixel((0, 0)) == 0
    assert "first frame" in (fitted.change or "")


def test_a_turned_photograph_is_set_upright_when_it_is_changed() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image = check_picture(drawn("JPEG", 7_000, 100, exif=exif), "`a`", PLENTY)
    fitted = fit_picture(image, GLM, "Image 1").image
    assert fitted.height == 6_000
    assert fitted.width < fitted.height


def test_transparent_parts_become_white_in_a_jpeg() -> None:
    image = check_picture(drawn("PNG", 6_400, 64, "RGBA"), "`a`", PLENTY)
    fitted = fit_picture(image, replace(GLM, types=("image/jpeg",)), "Image 1")
    pixel = opened(fitted.image.data).convert("RGB").getpixel((10, 10))
    assert isinstance(pixel, tuple)
    assert min(pixel) > 240


WHOLE = (*(noise(kind, 24, 24) for kind in KINDS), moving_gif(9, 9), drawn("WEBP", 9, 9, "RGBA"))


def test_a_defect_of_the_decoder_is_a_broken_picture() -> None:
    # Pillow 13.0 writes a palette PNG that has lost its palette by way of an UnboundLocalError.
    whole = drawn("PNG", 40, 40, "P")
    start = whole.index(b"PLTE") - 4
    length = int.from_bytes(whole[start : start + 4], "big")
    without = whole[:start] + whole[start + 12 + length :]
    image = check_picture(without, "`a`", PLENTY)
    with pytest.raises(FileRefused, match="broken PNG"):
        fit_picture(image, replace(GLM, max_side=20), "Image 1")


@settings(max_examples=400, derandomize=True)
@given(st.sampled_from(WHOLE), st.binary(max_size=40), st.integers(0, 4_000), st.integers(0, 400))
def test_no_bytes_make_a_check_fail_otherwise_than_by_a_refusal(
    whole: bytes, noisy: bytes, at: int, skip: int
) -> None:
    start = at % (len(whole) + 1)
    for data in (noisy, whole[:start] + noisy, whole[:start] + noisy + whole[start + skip :]):
        try:
            image = check_picture(data, "`a`", 1_000_000)
            fit_picture(image, replace(GLM, max_side=16, max_bytes=100_000), "Image 1")
        except FileRefused:
            pass


@settings(max_examples=300, derandomize=True)
@given(st.sampled_from(WHOLE), st.integers(0, 10_000))
def test_a_picture_that_is_cut_anywhere_is_refused_or_complete(whole: bytes, at: int) -> None:
    cut = whole[: at % len(whole)]
    try:
        check_picture(cut, "`a`", 1_000_000)
    except FileRefused:
        return
    # What was lost came after the last pixel: the end mark, or a further frame.
    assert opened(cut).convert("RGB").tobytes() == opened(whole).convert("RGB").tobytes()
