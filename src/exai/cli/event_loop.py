"""The event loop that a command runs on."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

__all__ = ["run"]


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, on uvloop where there is one."""
    if sys.platform == "win32":
        asyncio.run(work)
    else:
        import uvloop  # noqa: PLC0415 - see exai.cli

        uvloop.run(work)
