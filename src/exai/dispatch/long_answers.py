"""Answers that are longer than a client shows its model: the beginning is given, and the whole is a stored file.

Codex cuts at about 10,000 tokens, Claude Code puts what has more than 50,000 characters elsewhere, and others cut in
the middle. So an answer goes on in a file of the caller, which `files` reads by lines. A caller who may not use `files`
gets the whole answer, and so does one whose file cannot be kept: what was paid for is not lost.
"""

import json
from collections.abc import AsyncIterator
from itertools import islice
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

        `most_tokens` is what the caller wants of the answer at most.
        """
        structured = answer.structured or {}
        whole = structured.get("answer")
        if not isinstance(whole, str):
            return answer
        beside = max(len(answer.text) - len(whole), len(json.dumps({**structured, "answer": ""}))) + NOTE
        most = MOST_TOKENS - await estimate_long_text("x" * beside)
        shown = _fitting(whole, MOST_CHARACTERS - beside, min(most_tokens or most, most))
        if shown == whole:
            return answer
        file_id = await self.kept(whole, caller, f"answer-{call_id}.md")
        return answer if file_id is None else _cut(answer, whole, shown, file_id)

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
    first = dict(islice(structured.items(), 1))  # the handle, where there is one
    structured = {**first, "more": more, **structured, "answer": shown}
    return with_note(msgspec.structs.replace(answer, text=text, structured=structured), sentence)


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
