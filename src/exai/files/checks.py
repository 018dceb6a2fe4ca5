"""What may enter a prompt, judged by name and content alone: no disk here."""

import codecs
import re
from pathlib import PurePath

from exai.config_tree import find

__all__ = ["secret_kind", "text_of"]

_SECRET_FOLDERS = {".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store"}
_SECRET_NAMES = {
    ".git-credentials",
    ".htpasswd",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".pypirc",
    ".npmrc",
    "exai.toml",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
}
_SECRET_SUFFIXES = {".jks", ".kdbx", ".keystore", ".p12", ".pfx", ".ppk"}
_SAMPLES = {".env.dist", ".env.example", ".env.sample", ".env.template"}
_KEY_SUFFIXES = {".key", ".pem"}
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----")

_OWN_TOKEN = re.compile(r"\bex[kr]_[0-9a-f]{16}_[A-Za-z0-9_-]{43}")
_CREDENTIALS_FILE = re.compile(r"\s*\{\s*\"(access|refresh)_token\"\s*:")

_BYTE_ORDER_MARKS = (
    # UTF-32's little-endian mark begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def secret_kind(path: PurePath, text: str | None = None) -> str | None:
    """What kind of secret a file seems to hold, `None` for none.

    A short list of files that exist to hold secrets, so that no agent sends one to a provider by accident;
    it is no search for secrets in ordinary files.
    """
    return _by_name(path) or (None if text is None else _by_content(path, text))


def _by_name(path: PurePath) -> str | None:
    name = path.name.lower()
    if any(folder.lower() in _SECRET_FOLDERS for folder in path.parts[:-1]):
        return "credentials"
    if (name == ".env" or name.startswith(".env.")) and name not in _SAMPLES:
        return "environment secrets"
    if name in _SECRET_NAMES or path.suffix.lower() in _SECRET_SUFFIXES:
        return "credentials"
    setting = find(path.name)
    return "a secret of EXAI" if setting is not None and setting.secret else None


def _by_content(path: PurePath, text: str) -> str | None:
    if _is_private_key(path, text):
        return "a private key"
    return "a token" if _CREDENTIALS_FILE.match(text) or _OWN_TOKEN.search(text) else None


def _is_private_key(path: PurePath, text: str) -> bool:
    """Anywhere in a key file; in any other file only at its beginning, as source code may quote one."""
    if path.suffix.lower() in _KEY_SUFFIXES:
        return _PRIVATE_KEY.search(text) is not None
    return _PRIVATE_KEY.match(text.lstrip()[:100]) is not None


def text_of(data: bytes) -> str | None:
    """The text of a file: UTF-8, or the encoding that its byte order mark names; `None` for binary."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
