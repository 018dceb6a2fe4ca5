"""The idempotency key of a `tools/call`: its place in the message, and its form."""

import secrets
from collections.abc import Mapping
from typing import Any

from exai.protocol.jsonrpc import Message

__all__ = ["IDEMPOTENCY_KEY", "InvalidKey", "key_in", "with_key"]

IDEMPOTENCY_KEY = "exai/idempotency-key"
"""In a request's `_meta`."""

MAX_LENGTH = 128


class InvalidKey(Exception):
    """The key is malformed; the message is for the caller."""


def key_in(params: Mapping[str, Any] | None) -> str | None:
    """Return the idempotency key in a request's params, if there is one.

    Raises:
        InvalidKey: it is malformed.
    """
    meta = params.get("_meta") if params else None
    if not isinstance(meta, dict) or IDEMPOTENCY_KEY not in meta:
        return None
    key = meta[IDEMPOTENCY_KEY]
    if isinstance(key, str) and 0 < len(key) <= MAX_LENGTH and key.isascii() and key.isprintable():
        return key
    raise InvalidKey(
        f"{IDEMPOTENCY_KEY} in `_meta` is a string of 1 to {MAX_LENGTH} printable ASCII characters, such as a UUID."
    )


def with_key(request: Message) -> Message | None:
    """Return the request with an idempotency key: its own, or a random one; `None` if it has no place for one."""
    params = request.get("params")
    if not isinstance(params, dict):
        return None
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        return None
    if IDEMPOTENCY_KEY in meta:
        return request
    return {**request, "params": {**params, "_meta": {**meta, IDEMPOTENCY_KEY: secrets.token_hex(16)}}}
