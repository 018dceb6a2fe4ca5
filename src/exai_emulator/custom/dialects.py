"""Whose habits the custom service has: where the key goes, how errors and thinking are spelled, what keeps a
connection alive."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from exai_emulator.calls import ErrorRow
from exai_emulator.custom.errors import TABLES

__all__ = ["DIALECTS", "CustomDialect"]

Envelope = Callable[[ErrorRow, str], Any]
"""An error row with its text, as a body."""


def _openai(row: ErrorRow, text: str) -> Any:
    return {"error": {"message": text, "type": row.kind, "param": None, "code": row.code}}


def _openrouter(row: ErrorRow, text: str) -> Any:
    return {"error": {"message": text, "code": int(row.code or row.status)}}


def _minimax(row: ErrorRow, text: str) -> Any:
    if row.status != 200:
        return _openai(row, text)
    verdict = {"status_code": int(row.kind), "status_msg": text}
    return {"id": "", "choices": None, "created": 0, "model": "", "object": "", "base_resp": verdict}


def _xai(row: ErrorRow, text: str) -> Any:
    return {"code": row.kind, "error": text}


def _gemini(row: ErrorRow, text: str) -> Any:
    return [{"error": {"code": row.status, "message": text, "status": row.kind}}]


def _vllm(row: ErrorRow, text: str) -> Any:
    return {"object": "error", "message": text, "type": row.kind, "param": None, "code": row.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomDialect:
    """One service's habits."""

    name: str
    envelope: Envelope = _openai
    key_header: str = "Authorization"
    needs_key: bool = True
    reasoning: Literal["reasoning_content", "reasoning", "hidden", "split"] = "reasoning_content"
    """Where thinking stands. `split`: inside the content between `<think>` tags, or in `reasoning_details`
    when the request has `reasoning_split`."""
    keep_alive: bytes = b""
    """What a stream begins with."""
    body_opening: bytes = b""
    """What stands before an answer that does not stream."""
    usage: Literal["asked", "always"] = "asked"
    """Whether a stream reports its usage only on `include_usage`."""
    verdict: bool = False
    """Whether every answer has MiniMax's `base_resp`."""
    truncates: bool = False
    """Whether a prompt above the window is taken without a word."""

    @property
    def errors(self) -> Mapping[str, ErrorRow]:
        return TABLES[self.name]


DIALECTS: Mapping[str, CustomDialect] = {
    dialect.name: dialect
    for dialect in (
        CustomDialect(name="compatible"),
        CustomDialect(name="openai", reasoning="hidden"),
        CustomDialect(name="azure", reasoning="hidden", key_header="api-key"),
        CustomDialect(
            name="openrouter",
            envelope=_openrouter,
            reasoning="reasoning",
            keep_alive=b": OPENROUTER PROCESSING\n\n",
            usage="always",
        ),
        CustomDialect(name="deepseek", keep_alive=b": keep-alive\n\n", body_opening=b"\n\n\n"),
        CustomDialect(name="minimax", envelope=_minimax, reasoning="split", usage="always", verdict=True),
        CustomDialect(name="xai", envelope=_xai),
        CustomDialect(name="gemini", envelope=_gemini, reasoning="hidden"),
        CustomDialect(name="ollama", reasoning="reasoning", needs_key=False, truncates=True),
        CustomDialect(name="vllm", envelope=_vllm, reasoning="reasoning"),
    )
}
"""By name."""
