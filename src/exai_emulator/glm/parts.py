"""The pictures and files of a message: what of them the model sees, and where GLM refuses them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, Document, Refusal
from exai_emulator.documents.inline import InlineDocuments
from exai_emulator.documents.kinds import READ_KINDS
from exai_emulator.files import StoredFile
from exai_emulator.glm.uploads import DOCUMENT_BYTES, USER_DATA
from exai_emulator.pictures import picture_size, picture_type
from exai_emulator.rules import Rule
from exai_emulator.shapes import image_source, media_source, parts_of

__all__ = ["PART_RULES", "documents_in", "inline_data"]

_IMAGE_BYTES = 5 * 1024 * 1024
_IMAGE_SIDE = 6_000
_IMAGE_TYPES = frozenset({"image/jpeg", "image/jpg", "image/png"})
_IMAGES = 50
_FILES = 50
_NO_USER_DATA = "no user_data file"
_FILE_KINDS = READ_KINDS | {"old_office"}


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
        if picture_type(source.data) not in _IMAGE_TYPES:
            return _bad("Image input format or parsing error")
    return None


def _videos(call: ChatCall) -> Refusal | None:
    for message in call.messages:
        for part in parts_of(message):
            source = media_source(part, "video_url")
            if source is not None and not source.url.startswith(("http://", "https://")):
                return _bad("Video input format or parsing error")
    return None


def _file_parts(messages: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Place of the message and the file's object, for every part that shows a file; of either spelling."""
    for place, message in enumerate(messages):
        for part in parts_of(message):
            if not isinstance(part, dict) or part.get("type") not in ("file", "file_url"):
                continue
            file = part.get(part["type"])
            if part["type"] == "file_url":
                file = {"file_url": file.get("url") if isinstance(file, dict) else file}
            yield place, file if isinstance(file, dict) else {}


def _parts_of_raw(raw: Any) -> Iterator[Mapping[str, Any]]:
    """The object of every part that shows a file, of a chat that nothing was checked of."""
    entries = raw.get("messages") if isinstance(raw, dict) else None
    messages = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for _, file in _file_parts(messages):
        yield file


def inline_data(raw: Any) -> Iterator[str]:
    """The base64 of every document that a chat brings with it."""
    for file in _parts_of_raw(raw):
        if isinstance(data := file.get("file_data"), str):
            yield data


def files_named(raw: Any, account: Account) -> list[StoredFile]:
    """The uploads that a chat shows and whose text was not read yet."""
    ids = {file.get("file_id") for file in _parts_of_raw(raw) if isinstance(file.get("file_id"), str)}
    found = [account.find_file(str(file_id)) for file_id in sorted(map(str, ids))]
    return [file for file in found if file and file.purpose == USER_DATA and file.extract is None]


def documents_in(
    messages: Sequence[Mapping[str, Any]], account: Account, inline: InlineDocuments
) -> list[Document]:
    """The files that messages show, as far as they can be shown."""
    documents = []
    for place, file in _file_parts(messages):
        name = file.get("filename")
        name = name if isinstance(name, str) else ""
        if isinstance(file_id := file.get("file_id"), str):
            documents.append(_uploaded(place, file_id, account))
        elif isinstance(data := file.get("file_data"), str):
            found = inline.get(data)
            documents.append(
                Document(place, "file_data", name, found.size, found.kind, found.text, found.trouble)
            )
        elif isinstance(url := file.get("file_url"), str):
            text = f"[emulated: what is at {url[:200]} was not fetched]"
            documents.append(Document(place, "file_url", name or url, kind="pdf", text=text))
        else:
            documents.append(Document(place, "", name, trouble="no file"))
    return documents


def _uploaded(place: int, file_id: str, account: Account) -> Document:
    file = account.find_file(file_id)
    if file is None or file.purpose != USER_DATA or file.extract is None:
        return Document(place, "file_id", file_id, trouble=_NO_USER_DATA)
    found = file.extract
    if account.clock.now() - file.stored_at < account.state.files.content_delay_s:
        return Document(place, "file_id", file.filename, file.size, found.kind, trouble="not there yet")
    return Document(place, "file_id", file.filename, file.size, found.kind, found.text, found.trouble)


def _file_shape(call: ChatCall) -> Refusal | None:
    for _, file in _file_parts(call.messages):
        if sum(isinstance(file.get(name), str) for name in ("file_id", "file_url", "file_data")) != 1:
            return _bad("file input format or parsing error")
    return None


def _file_count(call: ChatCall) -> Refusal | None:
    return _bad(f"At most {_FILES} files are allowed") if len(call.documents) > _FILES else None


def _file_size(call: ChatCall) -> Refusal | None:
    large = any(document.size > DOCUMENT_BYTES for document in call.documents)
    return _bad("A file is larger than 50 MB") if large else None


def _file_address(call: ChatCall) -> Refusal | None:
    for _, file in _file_parts(call.messages):
        url = file.get("file_url")
        if isinstance(url, str) and not url.startswith(("http://", "https://")):
            return _bad("file input format or parsing error")
    return None


def _file_purpose(call: ChatCall) -> Refusal | None:
    unusable = any(document.trouble == _NO_USER_DATA for document in call.documents)
    return _bad("file parse error") if unusable else None


def _file_kind(call: ChatCall) -> Refusal | None:
    for document in call.documents:
        if not document.trouble and document.kind not in _FILE_KINDS:
            return _bad("file parse error")
    return None


def _file_readable(call: ChatCall) -> Refusal | None:
    unread = any(document.trouble not in {"", _NO_USER_DATA} for document in call.documents)
    return _bad("file parse error") if unread else None


def _file_mixed(call: ChatCall) -> Refusal | None:
    pictures = any(image_source(part) for message in call.messages for part in parts_of(message))
    return _bad("files and images cannot be mixed") if pictures and call.documents else None


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
    Rule("glm.video.address", "D", "a `video_url` that is no public address: 400/1210", _videos),
    Rule("glm.file.shape", "D", "a `file` part without one of id, URL and data: 400/1210", _file_shape),
    Rule("glm.file.count", "D", "over 50 files: 400/1210", _file_count),
    Rule("glm.file.size", "D", "a file over 50 MB: 400/1210", _file_size),
    Rule("glm.file.address", "D", "a `file_url` that is no public address: 400/1210", _file_address),
    Rule("glm.file.purpose", "DL", "a `file_id` that is no `user_data` upload: 400/1210", _file_purpose),
    Rule("glm.file.kind", "L", "a file that is neither PDF nor of an office: 400/1210", _file_kind),
    Rule("glm.file.readable", "L", "a file that cannot be read: 400/1210", _file_readable),
    Rule("glm.file.mixed", "D", "files beside images: 400/1210", _file_mixed, default=False),
)
