"""Where GLM refuses the pictures and files of a message."""

from collections.abc import Iterator, Mapping
from typing import Any

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.pictures import picture_size
from exai_emulator.rules import Rule
from exai_emulator.shapes import image_source, parts_of

__all__ = ["PART_RULES"]

_IMAGE_BYTES = 5 * 1024 * 1024
_IMAGE_SIDE = 6_000
_IMAGE_TYPES = frozenset({"image/jpeg", "image/jpg", "image/png"})
_IMAGES = 50


def _bad(message: str) -> Refusal:
    return Refusal("1210", message)


def _images(call: ChatCall) -> Refusal | None:
    sources = [
        source for message in call.messages for part in parts_of(message) if (source := image_source(part))
    ]
    if len(sources) > _IMAGES:
        return _bad(f"At most {_IMAGES} images are allowed")
    for source in sources:
        if source.url.startswith(("http://", "https://")):
            continue
        if source.data is None:
            return _bad("Image input format or parsing error")
        if len(source.data) > _IMAGE_BYTES:
            return _bad("An image is larger than 5 MB")
        if source.media_type is not None and source.media_type not in _IMAGE_TYPES:
            return _bad("Images are jpg, jpeg or png")
    return None


def _file_parts(call: ChatCall) -> Iterator[Mapping[str, Any]]:
    """The `file` object of every part that has one."""
    for message in call.messages:
        for part in parts_of(message):
            if isinstance(part, dict) and part.get("type") == "file":
                file = part.get("file")
                yield file if isinstance(file, dict) else {}


def _file_shape(call: ChatCall) -> Refusal | None:
    for file in _file_parts(call):
        if sum(isinstance(file.get(name), str) for name in ("file_id", "file_url", "file_data")) != 1:
            return _bad("file input format or parsing error")
    return None


def _file_purpose(call: ChatCall) -> Refusal | None:
    for file in _file_parts(call):
        file_id = file.get("file_id")
        stored = call.account.files.get(file_id) if isinstance(file_id, str) else None
        if isinstance(file_id, str) and (stored is None or stored.purpose != "user_data"):
            return _bad("file parse error")
    return None


def _file_mixed(call: ChatCall) -> Refusal | None:
    pictures = any(image_source(part) for message in call.messages for part in parts_of(message))
    return _bad("files and images cannot be mixed") if pictures and any(_file_parts(call)) else None


def _pixels(call: ChatCall) -> Refusal | None:
    for message in call.messages:
        for part in parts_of(message):
            source = image_source(part)
            if source is None or source.data is None:
                continue
            size = picture_size(source.data)
            if size is not None and max(size) > _IMAGE_SIDE:
                return _bad(f"An image is larger than {_IMAGE_SIDE} x {_IMAGE_SIDE}")
    return None


PART_RULES = (
    Rule("glm.image.data", "D", "over 50 images, over 5 MB, not jpg or png, not base64: 400/1210", _images),
    Rule("glm.image.pixels", "D", "an image above 6000 x 6000: 400/1210", _pixels),
    Rule("glm.file.shape", "D", "a `file` part without one of id, URL and data: 400/1210", _file_shape),
    Rule("glm.file.purpose", "DL", "a `file_id` that is no `user_data` upload: 400/1210", _file_purpose),
    Rule("glm.file.mixed", "D", "files beside images: 400/1210", _file_mixed, default=False),
)
