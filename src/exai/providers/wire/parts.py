"""One event of a stream, or a whole body: the fields that are read of a chat completion.

An optional field that is missing, or of another type than documented, is ignored: what a provider charged for is not
given up for one odd value.
"""

from typing import Any

import msgspec

from exai.providers.untrusted_json import UnreadableJsonError, read_json

__all__ = ["CallPiece", "Choice", "FunctionPiece", "Part", "Piece", "read_part"]


class FunctionPiece(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None


class CallPiece(msgspec.Struct, gc=False):
    """One entry of `tool_calls`, whole or a piece."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionPiece | None = None


class Piece(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    """OpenAI's place for the sentence of a model that declines to answer."""
    tool_calls: list[CallPiece] | None = None


class Choice(msgspec.Struct, gc=False):
    delta: Piece | None = None
    message: Piece | None = None
    finish_reason: str | None = None
    usage: Any = None


class Part(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    success: bool | None = None
    web_search: Any = None
    base_resp: Any = None
    """MiniMax's status, in every answer."""

    @property
    def is_error(self) -> bool:
        """Whether it reports an error inside a response with status 200."""
        base = self.base_resp
        failed = isinstance(base, dict) and base.get("status_code", 0) != 0
        return bool(self.error) or self.success is False or failed


_parts = msgspec.json.Decoder(Part)


def read_part(body: bytes) -> Part:
    """Read one part.

    Raises:
        UnreadableJsonError: it is no JSON object with choices, or nested too deeply.
    """
    try:
        return _parts.decode(body)
    except RecursionError:
        raise UnreadableJsonError from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _part(read_json(body))


def _part(content: Any) -> Part:
    """Take what can be taken of decoded JSON."""
    if not isinstance(content, dict):
        raise UnreadableJsonError
    choices = content.get("choices")
    if not isinstance(choices, list | None):
        raise UnreadableJsonError
    success = content.get("success")
    return Part(
        id=content.get("id"),
        model=content.get("model"),
        choices=[_choice(entry) for entry in choices or () if isinstance(entry, dict)],
        usage=content.get("usage"),
        error=content.get("error"),
        success=success if isinstance(success, bool) else None,
        web_search=content.get("web_search"),
        base_resp=content.get("base_resp"),
    )


def _choice(entry: dict[str, Any]) -> Choice:
    return Choice(
        delta=_piece(entry.get("delta")),
        message=_piece(entry.get("message")),
        finish_reason=_text(entry.get("finish_reason")),
        usage=entry.get("usage"),
    )


def _piece(entry: Any) -> Piece | None:
    if not isinstance(entry, dict):
        return None
    content = entry.get("content")
    calls = entry.get("tool_calls")
    return Piece(
        content=_joined(content, "text") if isinstance(content, list) else _text(content),
        reasoning_content=_text(entry.get("reasoning_content")) or _thinking(content),
        reasoning=_text(entry.get("reasoning")),
        refusal=_text(entry.get("refusal")),
        tool_calls=[_call(call) for call in calls if isinstance(call, dict)]
        if isinstance(calls, list)
        else None,
    )


def _call(entry: dict[str, Any]) -> CallPiece:
    index, function = entry.get("index"), entry.get("function")
    return CallPiece(
        index=index if type(index) is int else None,
        id=_text(entry.get("id")),
        type=_text(entry.get("type")),
        function=FunctionPiece(_text(function.get("name")), function.get("arguments"))
        if isinstance(function, dict)
        else None,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _thinking(content: Any) -> str | None:
    """Return the thinking inside content that is a list (Mistral): entries that hold lists of their own."""
    if not isinstance(content, list):
        return None
    texts = (
        _joined(entry.get("thinking"), "text")
        for entry in content
        if isinstance(entry, dict) and entry.get("type") == "thinking"
    )
    return "".join(text for text in texts if text) or None


def _joined(entries: Any, kind: str) -> str | None:
    """Join the texts of content that is a list of typed parts instead of one text."""
    if not isinstance(entries, list):
        return None
    return (
        "".join(
            entry["text"]
            for entry in entries
            if isinstance(entry, dict) and entry.get("type") == kind and isinstance(entry.get("text"), str)
        )
        or None
    )
