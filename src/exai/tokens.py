"""Token counts before a provider has counted: estimates, and honest about it."""

import asyncio
import re

__all__ = ["estimate_long_text", "estimate_tokens"]

_CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003134f]")

CHARACTERS_PER_TOKEN = 3.6
"""Latin script and code; a little below the usual four, so that a budget errs on the safe side."""

TOKENS_PER_CJK_CHARACTER = 0.75


def estimate_tokens(text: str) -> int:
    """How many tokens `text` will about be; never zero for a text that is not empty."""
    if not text:
        return 0
    wide = 0 if text.isascii() else sum(1 for _ in _CJK.finditer(text))
    return int(wide * TOKENS_PER_CJK_CHARACTER + (len(text) - wide) / CHARACTERS_PER_TOKEN) + 1


LONG_TEXT = 200_000
"""Characters from which counting takes milliseconds and leaves the event loop."""


async def estimate_long_text(text: str) -> int:
    """The same for a text of any length, without holding up the event loop."""
    return estimate_tokens(text) if len(text) < LONG_TEXT else await asyncio.to_thread(estimate_tokens, text)
