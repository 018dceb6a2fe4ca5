"""The forms in which callers hand in a picture or name a file, wherever they can mean one thing only.

Beside a path and a `data:` URL (RFC 2397): a `file:` URL of this machine (RFC 8089), and base64 by itself, when what it
decodes to begins as a picture does. Base64 may be broken into lines, as mail and PEM have it (RFC 2045, 6.8), have the
alphabet of URLs (RFC 4648, 5), be percent-encoded inside a URL, or lack the padding.
"""

import binascii
import re
from base64 import b64decode
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from exai.errors import FileRefused
from exai.files.pictures.header import begins_a_picture

__all__ = ["content_of", "is_content", "path_of"]

_DATA_URL = "data:"
_FILE_URL = "file:"
_WEB_URLS = ("http://", "https://")
_LOCAL_HOSTS = {"", "localhost"}
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]{16,}={0,2}\s*")
_LONGEST_PATH = 4_096
"""PATH_MAX of Linux, in bytes."""
_HEADER = 64
"""Characters whose bytes tell whether base64 is a picture's."""


def path_of(given: str) -> str:
    """Return the path that `given` names: itself, or the one of a `file:` URL.

    Raises:
        FileRefused: the URL is one of another machine.
    """
    if not given.lstrip().lower().startswith(_FILE_URL):
        return given
    try:
        url = urlsplit(given.strip())
        if url.netloc.lower() in _LOCAL_HOSTS and url.path.startswith("/"):
            return unquote(url.path, errors="surrogateescape")
    except ValueError:
        pass
    raise FileRefused(
        "A `file:` URL of another machine, or without an absolute path, cannot be read; "
        "name the file by its path on this machine, as in `/home/me/a.txt`."
    )


def is_content(source: str) -> bool:
    """Whether `source` itself holds a picture, and so names no file."""
    source = source.strip()
    return source[: len(_DATA_URL)].lower() == _DATA_URL or _is_base64_of_a_picture(source)


def content_of(source: str, limit: int, number: int) -> tuple[str, bytes] | None:
    """Decode the picture that `source` itself holds; `None` where it is a path.

    Args:
        limit: the largest content, in bytes.
        number: its place among the caller's pictures, from 1, for messages.

    Returns:
        A name for messages, and the content.

    Raises:
        FileRefused: it is larger, is neither, or is no valid base64.
    """
    source = source.strip()
    if source[: len(_DATA_URL)].lower() == _DATA_URL:
        name = f"Image {number} (a `data:` URL)"
        return name, _decoded(_payload(source, name), limit, name)
    name = f"Image {number}"
    if source[:8].lower().startswith(_WEB_URLS):
        raise FileRefused(f"{name} is a web address; give an absolute path or a `data:` URL instead.")
    if _is_base64_of_a_picture(source):
        return f"{name} (base64)", _decoded(source, limit, name)
    if len(source) > _LONGEST_PATH:
        raise FileRefused(
            f"{name} is neither a path nor a picture in base64; give an absolute path, as `/home/me/a.png`, or "
            "`data:image/png;base64,...`."
        )
    return None


def _payload(url: str, name: str) -> str:
    header, comma, payload = url.partition(",")
    if not comma or not "".join(header.split()).lower().endswith(";base64"):
        raise FileRefused(f"{name} is not of the form `data:image/png;base64,...`.")
    return unquote_to_bytes(payload).decode("latin-1") if "%" in payload else payload


def _is_base64_of_a_picture(source: str) -> bool:
    """Check its beginning first: a JPEG's base64 begins with `/9j/`, as a path might, and the rest has megabytes."""
    head = "".join(source[: 2 * _HEADER].split())[:_HEADER]
    if _BASE64.fullmatch(head) is None or not begins_a_picture(_bytes(head[: len(head) // 4 * 4])):
        return False
    return _BASE64.fullmatch(source) is not None


def _decoded(text: str, limit: int, name: str) -> bytes:
    # Base64 has four characters for three bytes. What stands between lines is not counted twice.
    if len(text) > limit // 3 * 4 + 4:
        text = "".join(text.split())
        if len(text) > limit // 3 * 4 + 4:
            raise FileRefused(f"{name} is larger than one image may be ({limit} bytes); give a smaller one.")
    try:
        return _bytes(text)
    except (binascii.Error, ValueError):
        raise FileRefused(f"{name} is not valid base64.") from None


def _bytes(text: str) -> bytes:
    data = text.encode("ascii")
    if not data.isalnum():
        data = b"".join(data.split()).translate(_URL_ALPHABET).rstrip(b"=")
    return b64decode(data + b"=" * (-len(data) % 4), validate=True)


_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
