"""Checks of what may enter a prompt, by name and content alone; without disk access."""

import base64
import codecs
import json
import re
from pathlib import PurePath
from typing import Any

from exai.files.secrets.rules import OWN_ISSUER

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

_SECRET_SETTING = re.compile(
    r"auth\.shared_secret|database\.url|notify\.secret|files\.s3\.(access_key_id|secret_access_key)"
    r"|providers\.(glm|kimi)\.api_key|providers\.custom\.[^.]+\.(api_key|headers)"
)
"""A file of secrets has a setting's name. Their names stand here because the process of a workspace does without
`exai.config`, whose import takes longer than all others of its own."""

_OWN_BEGINNINGS = ("exk_", "exr_")
_OWN_TOKEN = re.compile(r"\bex[kr]_[0-9a-f]{16}_[A-Za-z0-9_-]{43}")
_SIGNED_BEGINNING = "eyJ"
_SIGNED_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.(eyJ[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]{16,}")
"""It never matches inside a longer word, so a hostile file is searched in linear time."""
_CREDENTIALS_FILE = re.compile(r"\s*\{\s*\"(access|refresh)_token\"\s*:")
_CREDENTIALS = {"access_token", "refresh_token"}
_BESIDE_CREDENTIALS = {
    *("token_id", "kind", "name", "subject", "scopes", "expires_at"),
    *("token_type", "expires_in", "scope", "id_token"),
}
"""The fields that `exai token create --json` and RFC 6749 have beside a token."""
_LONGEST_CREDENTIALS = 2**16

_BYTE_ORDER_MARKS = (
    # UTF-32's little-endian mark begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def secret_kind(path: PurePath, text: str | None = None) -> str | None:
    """Return which kind of secret a file seems to hold; `None` for none.

    It knows a short list of files that exist to hold secrets, so that no agent sends one to a provider by accident.
    It does not search ordinary files for secrets.
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
    return "a secret of EXAI" if _SECRET_SETTING.fullmatch(path.name) else None


def _by_content(path: PurePath, text: str) -> str | None:
    if _is_private_key(path, text):
        return "a private key"
    return "a token" if _is_credentials(text) or _has_own_token(text) or _has_signed_token(text) else None


def _has_own_token(text: str) -> bool:
    # Looking for a literal first takes a tenth of the time; nearly no file has one.
    return any(begin in text for begin in _OWN_BEGINNINGS) and _OWN_TOKEN.search(text) is not None


def _is_credentials(text: str) -> bool:
    """Return whether it is a credentials file of EXAI, or an issuer's token response."""
    text = text.lstrip("\ufeff")
    if _CREDENTIALS_FILE.match(text):
        return True
    if len(text) > _LONGEST_CREDENTIALS or not text.lstrip().startswith("{"):
        return False
    try:
        keys = json.loads(text).keys()
    except (ValueError, RecursionError):
        return False
    return bool(keys & _CREDENTIALS) and keys <= _CREDENTIALS | _BESIDE_CREDENTIALS


def _has_signed_token(text: str) -> bool:
    """Return whether it has a token of EXAI anywhere, or is another issuer's token and nothing else."""
    if _SIGNED_BEGINNING not in text:
        return False
    if _SIGNED_TOKEN.fullmatch(text.strip("\ufeff \t\r\n")):
        return True
    return any(_claims(found[1]).get("iss") == OWN_ISSUER for found in _SIGNED_TOKEN.finditer(text))


def _claims(part: str) -> dict[str, Any]:
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _is_private_key(path: PurePath, text: str) -> bool:
    """Return whether it has a private key: anywhere in a key file, else only at its beginning."""
    if path.suffix.lower() in _KEY_SUFFIXES:
        return _PRIVATE_KEY.search(text) is not None
    return _PRIVATE_KEY.match(text.lstrip()[:100]) is not None


def text_of(data: bytes) -> str | None:
    """Decode a text file: UTF-8, or the encoding that its byte order mark names; `None` for a binary file."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
