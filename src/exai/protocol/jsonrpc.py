"""Parses JSON-RPC 2.0 messages within limits; a message that is refused has the error for its sender.

As MCP 2025-11-25 and 2026-07-28 have it, ids are strings or integers, params are an object, and there are no batches.
"""

from typing import Any

import msgspec

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_REQUEST",
    "MAX_CONTAINERS",
    "PARSE_ERROR",
    "Message",
    "Refusal",
    "encode",
    "error_message",
    "parse",
]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INTERNAL_ERROR = -32603

MAX_CONTAINERS = 100_000
"""Objects and arrays of one message. Four megabytes of empty arrays would block the event loop for a second."""

Message = dict[str, Any]

_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'{["'))
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Refusal(Exception):
    """A message is answered with an error, and not processed."""

    def __init__(self, code: int, sentence: str, request_id: str | int | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.request_id = request_id

    @property
    def answer(self) -> Message:
        """The error response for the sender."""
        return error_message(self.request_id, self.code, str(self))


def parse(text: str | bytes, max_depth: int) -> Message:
    """Parse a request, a notification or a response.

    Raises:
        Refusal: `text` is no message, is nested deeper than `max_depth`, or has more than `MAX_CONTAINERS`.
    """
    brackets = _brackets(text)
    if brackets > MAX_CONTAINERS and _has_too_many_containers(text):
        raise Refusal(
            INVALID_REQUEST,
            f"This message has more than {MAX_CONTAINERS} objects and arrays. Send less, or send it as text.",
        )
    try:
        message = _decode(text)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refusal(PARSE_ERROR, "This is not JSON. Send one JSON-RPC 2.0 message per frame.") from None
    if brackets > max_depth and _deeper_than(message, max_depth):
        raise _too_deep(max_depth)
    if isinstance(message, list):
        raise Refusal(INVALID_REQUEST, "Batches are not part of MCP. Send each message by itself.")
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Refusal(INVALID_REQUEST, 'This is not JSON-RPC 2.0: send an object with "jsonrpc": "2.0".')
    _check_members(message)
    return message


def encode(message: Message) -> str:
    """Encode a message as text."""
    return _encode(message).decode()


def error_message(request_id: str | int | None, code: int, sentence: str, data: Any = None) -> Message:
    """Make an error response; `request_id` is `None` when the request's id could not be read."""
    error: Message = {"code": code, "message": sentence}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _check_members(message: Message) -> None:
    request_id = message.get("id")
    if request_id is None and "error" in message and "method" not in message:
        return  # the error for a message of ours that the peer could not read; an error is never answered
    if "id" in message and (isinstance(request_id, bool) or not isinstance(request_id, str | int)):
        raise Refusal(INVALID_REQUEST, "The id of a request is a string or an integer.")
    if "method" not in message:
        if "id" not in message or ("result" in message) == ("error" in message):
            raise Refusal(
                INVALID_REQUEST, "This is no request, notification or response of JSON-RPC 2.0.", request_id
            )
        return
    if not isinstance(message["method"], str):
        raise Refusal(INVALID_REQUEST, "The method of a request is a string.", request_id)
    params = message.get("params")
    if params is not None and not isinstance(params, dict):
        raise Refusal(INVALID_REQUEST, "The params of a message are an object.", request_id)


def _too_deep(max_depth: int) -> Refusal:
    return Refusal(
        INVALID_REQUEST, f"This message is nested deeper than {max_depth} levels. Send it flatter."
    )


def _brackets(text: str | bytes) -> int:
    """Count opening brackets, inside strings too: at least as many as there are objects and arrays."""
    if isinstance(text, str):
        return text.count("{") + text.count("[")
    return text.count(b"{") + text.count(b"[")


def _has_too_many_containers(text: str | bytes) -> bool:
    """Return whether more than `MAX_CONTAINERS` brackets open outside strings, without parsing."""
    data = text.encode() if isinstance(text, str) else text
    without_escapes = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # What stands between two quotes that touch is nothing, inside a string or out of it, so both can go.
    bare = without_escapes.translate(None, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")
    outside = bare.split(b'"', 4 * MAX_CONTAINERS)[::2]
    return sum(map(len, outside)) > MAX_CONTAINERS


def _deeper_than(message: Any, max_depth: int) -> bool:
    level = [message]
    for _ in range(max_depth):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True
