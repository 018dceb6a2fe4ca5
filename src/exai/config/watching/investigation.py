"""The settings of investigations: who looks for the cause of a fault, and what that may cost."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from exai.config.values import Count, Section

__all__ = ["Investigation"]

Usd = Annotated[float, Field(gt=0, le=100)]


class Investigation(Section):
    """Models that look for the cause of a group of faults (`docs/errors.md`)."""

    mode: Literal["auto", "manual", "off"] = "manual"
    """`auto`: groups of EXAI itself that are its own defects or of unknown cause are investigated by themselves.
    `manual`: when somebody asks. `off`: never."""

    model: str = "kimi-k2.7-code-highspeed"
    """Which model looks for the cause."""

    second_model: str = "glm-5.3-flash"
    """Which model is asked to refute what the first one says; best one of another provider. The two change places where
    the first one's provider is what failed, or does not answer."""

    usd: Usd = 0.15
    """Dollars that one investigation may cost; a request that would exceed it is not made."""

    daily_usd: Usd = 1.0
    """Dollars for all investigations within any 24 hours."""

    hourly_requests: Count = 30
    """Requests for all investigations within any hour."""

    request_usd: Usd = 0.05
    """Dollars that a request reserves until its cost is known."""

    repository: Path | None = None
    """Checkout of EXAI whose sources and history are evidence. Unset: the one that EXAI runs from, if it does."""
