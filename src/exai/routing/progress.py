"""How a running call reports to its caller what happens."""

from typing import Protocol

from exai.providers.base import OnDelta

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """Reports what happens in a running call; each method returns at once."""

    def deltas_of(self, writer: str, /) -> OnDelta | None:
        """Return what takes the deltas of the model `writer`; `None` without a reader, so that nothing need stream."""
        ...

    def status(self, sentence: str) -> None:
        """Say what is being done now, in a sentence that stands alone."""
        ...


class SilentProgress:
    """For callers who asked for no progress."""

    def deltas_of(self, _: str, /) -> OnDelta | None:
        return None

    def status(self, sentence: str) -> None:
        pass
