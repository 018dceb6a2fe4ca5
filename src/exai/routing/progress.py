"""How a running call reports to its caller what happens."""

from typing import Protocol

from exai.providers.base import DeltaKind

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """Reports what happens in a running call; each method returns at once."""

    @property
    def is_followed(self) -> bool:
        """Whether anybody reads it, so that streaming is worth the work."""
        ...

    def delta(self, kind: DeltaKind, text: str) -> None:
        """Pass on more of the answer, or of the model's thinking."""
        ...

    def status(self, sentence: str) -> None:
        """Say what is being done now."""
        ...


class SilentProgress:
    """For callers who asked for no progress."""

    is_followed = False

    def delta(self, kind: DeltaKind, text: str) -> None:
        pass

    def status(self, sentence: str) -> None:
        pass
