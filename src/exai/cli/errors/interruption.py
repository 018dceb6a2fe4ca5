"""Runs what has to be put away at its end: SIGTERM and a closed terminal end it as Control-C does, and not at once."""

import asyncio
import signal
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import typer

__all__ = ["run_interruptibly"]

T = TypeVar("T")


def run_interruptibly(work: Coroutine[Any, Any, T]) -> T:
    """Run work to its end; a signal cancels it, which lets it put away what it made.

    Raises:
        typer.Exit: a signal ended it; 128 and its number, as a shell has it.
    """
    return asyncio.run(_cancelled_by_signals(work))


async def _cancelled_by_signals(work: Coroutine[Any, Any, T]) -> T:
    loop, task, came = asyncio.get_running_loop(), asyncio.current_task(), list[int]()

    def cancel(number: int) -> None:
        if not came and task is not None:
            task.cancel()
        came.append(number)

    numbers = [signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    if threading.current_thread() is threading.main_thread():  # no other one may handle signals
        for number in numbers:
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, cancel, number)
    try:
        return await work
    except asyncio.CancelledError:
        if came:
            raise typer.Exit(128 + came[0]) from None
        raise
