"""GLM keys: the raw `<id>.<secret>`, or a token that the client signed with the secret."""

import base64
import hashlib
import hmac

import msgspec

from exai_emulator.calls import KeyVerdict

__all__ = ["judge"]


def judge(authorization: str, key: str, now: float) -> KeyVerdict:
    """What an Authorization header is worth to the account of `key` at `now`, in Unix seconds."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return "missing"
    if hmac.compare_digest(token.encode(), key.encode()):
        return "ok"
    return _judge_signed(token, key, now)


def _judge_signed(token: str, key: str, now: float) -> KeyVerdict:
    """A JWT: HS256, header `sign_type: SIGN`; payload `api_key`; `exp`, `timestamp` in milliseconds."""
    key_id, _, secret = key.partition(".")
    try:
        header_part, payload_part, signature_part = token.split(".")
        header = msgspec.json.decode(_decoded(header_part))
        payload = msgspec.json.decode(_decoded(payload_part))
        signature = _decoded(signature_part)
    except (ValueError, UnicodeEncodeError):
        return "bad"
    if not isinstance(header, dict) or not isinstance(payload, dict):
        return "bad"
    signed = f"{header_part}.{payload_part}".encode()
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    if header.get("alg") != "HS256" or header.get("sign_type") != "SIGN":
        return "bad"
    if payload.get("api_key") != key_id or not hmac.compare_digest(signature, expected):
        return "bad"
    expires, issued = payload.get("exp"), payload.get("timestamp")
    if not isinstance(expires, int | float) or not isinstance(issued, int | float):
        return "bad"
    return "ok" if expires > now * 1000 else "expired"


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
