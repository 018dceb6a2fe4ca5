"""Parses JSON-RPC 2.0 messages within limits; a message that is refused has the error for its sender.

As MCP 2025-11-25 and 2026-07-28 have it, ids are strings or integers, params are an object, there are no batches, and
an error for a message whose id could not be read has none.
"""

import json
from typing import Any, TypeVar

import msgspec

from exai.protocol.request_ids import readable_id
from exai.protocol.surrogates import repaired

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_REQUEST",
    "MAX_CONTAINERS",
    "PARSE_ERROR",
    "Message",
    "Refusal",
    "RequestId",
    "encodable",
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
RequestId = str | int
T = TypeVar("T")

_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'{["'))
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Refusal(Exception):
    """A message is answered with an error, and not processed."""

    def __init__(self, code: int, sentence: str, request_id: RequestId | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.request_id = request_id

    @property
    def answer(self) -> Message:
        """The error response for the sender."""
        return error_message(self.request_id, self.code, str(self), {"retryable": False})


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
            readable_id(text),
        )
    message = _decoded(text, max_depth)
    if brackets > max_depth and _deeper_than(message, max_depth):
        raise _too_deep(max_depth, _id_of(message))
    if isinstance(message, list):
        raise Refusal(INVALID_REQUEST, "Batches are not part of MCP. Send each message by itself.")
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        sentence = 'This is not JSON-RPC 2.0: send an object with "jsonrpc": "2.0".'
        raise Refusal(INVALID_REQUEST, sentence, _id_of(message))
    _check_members(message)
    return message


def encode(message: Message) -> str:
    """Encode a message as text; half a surrogate pair, which UTF-8 cannot say, becomes U+FFFD."""
    try:
        return _encode(message).decode()
    except UnicodeEncodeError:
        return repaired(json.dumps(message))


def encodable(value: T) -> T:
    """Return a JSON value in which U+FFFD stands for each half of a surrogate pair; most values have none."""
    try:
        _encode(value)
    except UnicodeEncodeError:
        whole: T = _decode(repaired(json.dumps(value)))
        return whole
    return value


def error_message(request_id: RequestId | None, code: int, sentence: str, data: Any = None) -> Message:
    """Make an error response; `request_id` is `None` when the request's id could not be read.

    The answer then has no id: MCP leaves it out (schema 2025-11-25, JSONRPCErrorResponse), and clients that hold to its
    schema take no null.
    """
    error: Message = {"code": code, "message": sentence}
    if data is not None:
        error["data"] = data
    if request_id is None:
        return {"jsonrpc": "2.0", "error": error}
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _decoded(text: str | bytes, max_depth: int) -> Any:
    """Decode JSON, once more without halves of surrogate pairs if there are any."""
    try:
        try:
            return _decode(text)
        except msgspec.DecodeError:
            if (whole := repaired(text)) is text:
                raise
            return _decode(whole)
    except RecursionError:
        raise _too_deep(max_depth, readable_id(text)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        sentence = "This is not JSON in UTF-8. Send one JSON-RPC 2.0 message by itself."
        raise Refusal(PARSE_ERROR, sentence, readable_id(text)) from None


def _id_of(message: Any) -> RequestId | None:
    """Return the id of what was decoded, whatever it is; `None` where it is no id."""
    request_id = message.get("id") if isinstance(message, dict) else None
    return request_id if isinstance(request_id, str | int) and not isinstance(request_id, bool) else None


def _check_members(message: Message) -> None:
    request_id = message.get("id")
    if request_id is None and "error" in message and "method" not in message:
        return  # the error for a message of ours that the peer could not read; an error is never answered
    if "id" in message and (isinstance(request_id, bool) or not isinstance(request_id, str | int)):
        raise Refusal(INVALID_REQUEST, "The id of a request is a string or an integer.")
    if "method" not in message:
        if "id" not in message or ("result" in message) == ("error" in message):
            # The id of what is meant as a response is one of ours: echoed, it would end a request of the peer's.
            echoed = None if "result" in message else request_id
            raise Refusal(
                INVALID_REQUEST, "This is no request, notification or response of JSON-RPC 2.0.", echoed
            )
        return
    if not isinstance(message["method"], str):
        raise Refusal(INVALID_REQUEST, "The method of a request is a string.", request_id)
    params = message.get("params")
    if params is not None and not isinstance(params, dict):
        raise Refusal(INVALID_REQUEST, "The params of a message are an object.", request_id)


def _too_deep(max_depth: int, request_id: RequestId | None) -> Refusal:
    sentence = f"This message is nested deeper than {max_depth} levels. Send it flatter."
    return Refusal(INVALID_REQUEST, sentence, request_id)


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
