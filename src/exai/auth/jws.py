"""Parses a signed token (JWS, compact form) without trusting any of it.

Stricter than RFC 7515 where leniency has cost others: one spelling of every part (canonical base64url, no
padding), JSON without double names, constants or depth, and no header that brings its own key or rules.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["LONGEST_TOKEN", "InvalidToken", "SignedToken", "decoded", "encoded", "take_apart"]

LONGEST_TOKEN = 8_192
"""Bytes of a whole token."""

_FORBIDDEN = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "zip", "b64", "enc", "epk"})
"""Header names that would bring a key, another form or rules of their own (RFC 8725, 3.10)."""

_PART = re.compile(r"[A-Za-z0-9_-]+")


class InvalidToken(Exception):
    """A token is refused; the reason, in one word or two, is for the log alone."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """The parts of a token whose signature has not been checked."""

    algorithm: str
    kid: str | None
    kind: str | None
    """The header's `typ`, in lower case and without `application/`."""
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def take_apart(token: str) -> SignedToken:
    """Parse a token.

    Raises:
        InvalidToken: it is no signed token, or a form of one that nothing good has.
    """
    parts = token.split(".")
    if len(token) > LONGEST_TOKEN or len(parts) != 3:
        raise InvalidToken("form")
    header, claims = _object(parts[0]), _object(parts[1])
    if _FORBIDDEN & header.keys():
        raise InvalidToken("header")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None) or not isinstance(kind, str | None):
        raise InvalidToken("header")
    return SignedToken(
        algorithm=algorithm,
        kid=kid,
        kind=None if kind is None else kind.lower().removeprefix("application/"),
        claims=claims,
        signed=token.rpartition(".")[0].encode("ascii"),
        signature=decoded(parts[2]),
    )


def encoded(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decoded(text: str) -> bytes:
    """Decode canonical base64url.

    Raises:
        InvalidToken: it is something else, or one of the other spellings of the same bytes.
    """
    if not _PART.fullmatch(text):
        raise InvalidToken("form")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise InvalidToken("form") from None
    if encoded(data) != text:
        raise InvalidToken("form")
    return data


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(decoded(part).decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidToken("json") from None
    if not isinstance(value, dict):
        raise InvalidToken("json")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands twice")
    return names


def _refuse(constant: str) -> None:
    raise ValueError(constant)
