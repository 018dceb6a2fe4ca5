"""The idempotency key of a `tools/call`: where it stands in the message, and what it may be."""

import secrets
from collections.abc import Mapping
from typing import Any

from exai.protocol.jsonrpc import Message

__all__ = ["IDEMPOTENCY_KEY", "InvalidKey", "key_in", "with_key"]

IDEMPOTENCY_KEY = "exai/idempotency-key"
"""In a request's `_meta`."""

MAX_LENGTH = 128


class InvalidKey(Exception):
    """What stands there is no key; the text is for the caller."""


def key_in(params: Mapping[str, Any] | None) -> str | None:
    """The idempotency key in a request's params, if there is one.

    Raises:
        InvalidKey: there is something else.
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
    """A request that has an idempotency key: its own, or else a random one; `None` where it has no place for one."""
    params = request.get("params")
    if not isinstance(params, dict):
        return None
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        return None
    if IDEMPOTENCY_KEY in meta:
        return request
    return {**request, "params": {**params, "_meta": {**meta, IDEMPOTENCY_KEY: secrets.token_hex(16)}}}
