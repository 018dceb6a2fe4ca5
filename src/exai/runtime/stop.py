"""A request to stop, made by a signal or by code, and made more urgent by a second one."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Generator
from contextlib import suppress

__all__ = ["Stop"]


class Stop:
    """A stop request. The first starts the drain, a second one cuts it short."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def ask(self) -> None:
        """Request a stop, or hurry one that was requested."""
        (self.second if self.first.is_set() else self.first).set()

    @contextlib.contextmanager
    def by_signals(self) -> Generator[None, None, None]:
        """Let SIGTERM, SIGINT and, unless `nohup` has it ignored, SIGHUP request a stop, within this scope."""
        loop = asyncio.get_running_loop()
        numbers = [signal.SIGTERM, signal.SIGINT]
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)  # the terminal was closed
        for number in numbers:
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self.ask)
        try:
            yield
        finally:
            for number in numbers:
                with suppress(NotImplementedError):
                    loop.remove_signal_handler(number)
