"""Header fields of tus 1.0.0, read strictly."""

import base64
import binascii
import re
from dataclasses import dataclass

from exai.errors import BadArguments
from exai.files.store.receiving import CHECKSUMS, Checksum

__all__ = ["Metadata", "checksum_of", "metadata_of", "number_of"]

MOST_DIGITS = 18
_KEY = re.compile(r"[!-+\--~]+", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What of an upload's metadata counts; the rest is kept for its client."""

    name: str
    sha256: str | None


def number_of(field: str, value: str | None) -> int:
    """Read a field that is a number of bytes.

    Raises:
        BadArguments: it is missing, or no such number.
    """
    if value is None or not (value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS):
        raise BadArguments(f"`{field}` is needed: a whole number of bytes.")
    return int(value)


def metadata_of(value: str | None) -> Metadata:
    """Read `Upload-Metadata`: pairs of a key and a base64 value, between commas.

    Raises:
        BadArguments: it cannot be read, or its SHA-256 is none.
    """
    pairs: dict[str, str] = {}
    for pair in (value or "").split(",") if value else ():
        key, _, encoded = pair.strip(" ").partition(" ")
        if _KEY.fullmatch(key) is None or key in pairs:
            raise _bad_metadata()
        pairs[key] = _decoded(encoded).decode("utf-8", errors="replace")
    sha256 = pairs.get("sha256")
    if sha256 is not None and _SHA256.fullmatch(sha256 := sha256.lower()) is None:
        raise BadArguments(
            "`sha256` in `Upload-Metadata` is the content's SHA-256: 64 hexadecimal digits, in base64."
        )
    return Metadata(pairs.get("filename") or pairs.get("name") or "", sha256)


def checksum_of(value: str | None) -> Checksum | None:
    """Read `Upload-Checksum`: an algorithm and the digest in base64.

    Raises:
        BadArguments: the algorithm is not supported, or the digest is none of it.
    """
    if value is None:
        return None
    algorithm, _, encoded = value.partition(" ")
    if algorithm not in CHECKSUMS:
        raise BadArguments(f"`Upload-Checksum` may be by {' or '.join(CHECKSUMS)}.")
    digest = _decoded(encoded)
    if len(digest) != CHECKSUMS[algorithm]().digest_size:
        raise BadArguments(f"`Upload-Checksum` has no {algorithm} in base64.")
    return Checksum(algorithm, digest)


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _bad_metadata() from None


def _bad_metadata() -> BadArguments:
    return BadArguments(
        "A header of the upload cannot be read: keys and values in base64, with commas between the pairs."
    )
