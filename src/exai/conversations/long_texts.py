"""Estimates the tokens of texts of any length without holding up the event loop."""

import asyncio

from exai.conversations.estimates import estimate_tokens

__all__ = ["estimate_long_text"]

LONG_TEXT = 100_000
"""From this many characters on, counting takes about a millisecond and is done in a thread."""


async def estimate_long_text(text: str) -> int:
    """Estimate the tokens of a text of any length, without blocking the event loop."""
    return estimate_tokens(text) if len(text) < LONG_TEXT else await asyncio.to_thread(estimate_tokens, text)
