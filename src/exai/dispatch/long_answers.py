"""Answers that are longer than a client shows its model: the beginning is given, and the whole is a stored file.

Codex cuts at about 10,000 tokens, Claude Code puts what has more than 50,000 characters elsewhere, and others cut in
the middle. So an answer goes on in a file of the caller, which `files` reads by lines. A caller who may not use `files`
gets the whole answer, and so does one whose file cannot be kept: what was paid for is not lost.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import structlog

from exai.auth import scopes
from exai.callers import Caller
from exai.conversations.estimates import estimate_tokens
from exai.conversations.long_texts import estimate_long_text
from exai.errors import ToolFault
from exai.files.store.shelf import Shelf
from exai.tools.base import ToolAnswer
from exai.tools.envelope import with_note

__all__ = ["MOST_CHARACTERS", "MOST_TOKENS", "SHORT_CHARACTERS", "LongAnswers"]

MOST_TOKENS = 8_000
MOST_CHARACTERS = 40_000
"""Of an answer as text, and as JSON."""

SHORT_CHARACTERS = 4_000
"""Up to here no answer has `MOST_TOKENS`, in whatever script."""

NOTE = 400
"""Characters of what is said of an answer that goes on elsewhere."""
LEAST_SHOWN = 500
"""Characters of an answer that are shown however much stands beside it."""

_log = structlog.get_logger(__name__)


class LongAnswers:
    """Moves the rest of long answers into files of their callers."""

    def __init__(self, shelf: Shelf | None) -> None:
        """Without a `shelf` nothing is moved."""
        self._shelf = shelf

    async def shortened(
        self, answer: ToolAnswer, caller: Caller, call_id: str, most_tokens: int | None = None
    ) -> ToolAnswer:
        """Return an answer whose field `answer` is cut to what is shown, with where it goes on.

        Where what stands beside it is too long by itself, lists are cut too. `most_tokens` is what the caller wants of
        the field at most.
        """
        structured = answer.structured or {}
        whole = structured.get("answer")
        without = json.dumps({**structured, "answer": ""}, ensure_ascii=False)
        is_text = isinstance(whole, str)
        if await self._is_long(without) or (not is_text and await self._is_long(answer.text)):
            file_id = await self.kept(answer.text, caller, f"answer-{call_id}.md")
            return answer if file_id is None else await asyncio.to_thread(_cut_lists, answer, file_id)
        if not isinstance(whole, str):
            return answer
        beside = max(len(answer.text) - len(whole), len(json.dumps({**structured, "answer": ""}))) + NOTE
        most = MOST_TOKENS - await estimate_long_text("x" * beside)
        shown = _fitting(whole, MOST_CHARACTERS - beside, min(most_tokens or most, most))
        if shown == whole:
            return answer
        file_id = await self.kept(whole, caller, f"answer-{call_id}.md")
        return answer if file_id is None else _cut(answer, whole, shown, file_id)

    async def _is_long(self, text: str) -> bool:
        most = MOST_CHARACTERS - NOTE - LEAST_SHOWN
        return len(text) > most or await estimate_long_text(text) > MOST_TOKENS - NOTE

    async def kept(self, text: str, caller: Caller, name: str) -> str | None:
        """Store a text as a file of the caller's; `None` where the caller has no files, or it cannot be kept."""
        if self._shelf is None or not caller.may(scopes.FILES):
            return None
        content = text.encode("utf-8", "replace")
        try:
            row = await self._shelf.put(caller.subject, name, len(content), _one(content))
        except ToolFault as fault:
            _log.warning("a long answer was not moved into a file", code=fault.code)
            return None
        return row.file_id


def _cut(answer: ToolAnswer, whole: str, shown: str, file_id: str) -> ToolAnswer:
    line = shown.count("\n") + 1
    sentence = f"The answer is longer than what is shown: `files` with action read, id {file_id} and from_line {line}."
    structured: dict[str, Any] = dict(answer.structured or {})
    more = [*structured.pop("more", ()), {"id": file_id, "from_line": line}]
    text = answer.text.replace(whole, f"{shown}\n[…]")
    structured = {"more": more, **structured, "answer": shown}
    return with_note(msgspec.structs.replace(answer, text=text, structured=structured), sentence)


def _cut_lists(answer: ToolAnswer, file_id: str) -> ToolAnswer:
    """Show the beginning of the text, and of lists as many entries as have room: of the longest one fewer in turn."""
    shown = _fitting(answer.text, MOST_CHARACTERS - 2 * NOTE, MOST_TOKENS - NOTE)
    line = shown.count("\n") + 1
    structured: dict[str, Any] = dict(answer.structured or {})
    more = [*structured.pop("more", ()), {"id": file_id, "from_line": line}]
    if isinstance(text := structured.get("answer"), str):
        structured["answer"] = _beginning(text, LEAST_SHOWN)
    totals = {name: len(value) for name, value in structured.items() if isinstance(value, list)}
    while len(form := json.dumps(structured, ensure_ascii=False)) > MOST_CHARACTERS - 2 * NOTE or (
        estimate_tokens(form) > MOST_TOKENS - NOTE
    ):
        lists = [name for name in totals if structured[name]]
        if not lists:
            break
        longest = max(lists, key=lambda name: len(json.dumps(structured[name])))
        structured[longest] = structured[longest][: len(structured[longest]) * 9 // 10]
    parts = [
        f"{len(structured[name])} of {total} of {name}"
        for name, total in totals.items()
        if len(structured[name]) < total
    ]
    told = f" ({', '.join(parts)})" if parts else ""
    sentence = (
        f"The answer is longer than what is shown{told}: `files` with action read, "
        f"id {file_id} and from_line {line}."
    )
    cut = msgspec.structs.replace(answer, text=f"{shown}\n[…]", structured={"more": more, **structured})
    return with_note(cut, sentence)


def _fitting(whole: str, characters: int, tokens: int) -> str:
    """Return as much of the beginning as has no more of either, as text and as JSON."""
    shown = whole[: max(characters, LEAST_SHOWN)]
    while len(shown) > LEAST_SHOWN:
        forms = (shown, json.dumps(shown, ensure_ascii=False))
        over = max(
            max(map(len, forms)) / max(characters, 1), max(map(estimate_tokens, forms)) / max(tokens, 1)
        )
        if over <= 1 and (shown == whole or shown.endswith("\n")):
            break
        shown = _beginning(whole, max(LEAST_SHOWN, int(len(shown) / max(over, 1.0)) - 1))
        if over <= 1:
            break
    return shown


def _beginning(text: str, most: int) -> str:
    """Return the first lines of a text, or a part of the first one where it is longer."""
    end = text.rfind("\n", 0, most)
    return text[: end + 1] if end > most // 2 else text[:most]


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
