"""How an investigation asks models: the seam behind which the dispatcher, its permits and its purse are."""

from typing import Literal, Protocol

import msgspec

from exai.error_tracking.investigation.roles import Candidate

__all__ = ["ModelAsking", "Reply"]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request."""

    end: Literal["answered", "unavailable", "spent", "failed"]
    """`unavailable`: nobody was asked, as there was no permit or a breaker is open; `spent`: nor was anybody, as the
    purse grants none."""
    text: str = ""
    """The answer, or why there is none, as a sentence."""
    name: str
    provider: str
    tokens: int = 0
    usd: float | None = 0.0
    """`None`: not known."""
    emulated: bool = False
    retry_after_s: float = 0.0
    """How long there is none, as far as that is known."""


class ModelAsking(Protocol):
    """Asks models; without a retry, and without another model in the place of one."""

    def candidates(self) -> tuple[Candidate, Candidate]:
        """Return the two models of the settings as they stand now."""
        ...

    def is_crowded(self) -> bool:
        """Return whether anybody waits for a permit."""
        ...

    def expected_usd(self, model: Candidate, prompt: str) -> float:
        """Return what a request costs, an answer of usual length included; 0 where there is no price."""
        ...

    async def ask(self, model: Candidate, prompt: str) -> Reply:
        """Ask once."""
        ...
