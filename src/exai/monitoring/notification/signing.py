"""Signatures of webhooks, as Standard Webhooks 1.0 has them (github.com/standard-webhooks/standard-webhooks).

HMAC-SHA256 over `id.timestamp.body`, in base64 behind `v1,`. A secret is `whsec_` and the base64 of 24 to 64 bytes.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from exai.config.watching.notify import KEY_PREFIX

__all__ = ["new_secret", "signed_headers"]

NEW_BYTES = 32


def new_secret() -> str:
    """Make a secret."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(NEW_BYTES)).decode()


def signed_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """Return the headers by which a receiver verifies a message.

    Args:
        timestamp: of this attempt, in seconds since 1970: a receiver refuses one that is minutes off.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
