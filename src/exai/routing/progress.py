"""How a running call reports to its caller what happens."""

from typing import Protocol

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """How a running call tells its caller what happens; each returns at once."""

    def text(self, delta: str) -> None:
        """More of the answer."""
        ...

    def reasoning(self, delta: str) -> None:
        """More of the model's thinking."""
        ...

    def status(self, sentence: str) -> None:
        """What is being done now."""
        ...


class SilentProgress:
    """For callers who asked for no progress."""

    def text(self, delta: str) -> None:
        pass

    def reasoning(self, delta: str) -> None:
        pass

    def status(self, sentence: str) -> None:
        pass
