"""The settings of what one caller may use within an hour."""

from typing import Annotated

from pydantic import Field

from exai.config.values import Seconds, Section

__all__ = ["Guards"]


class Guards(Section):
    """What one caller may use within any hour, in all processes on one database. Nothing is guarded by default."""

    calls_per_hour: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Calls that ask a model or search the web. 0: as many as they like."""

    usd_per_hour: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """Dollars by list price. 0: as much as they like."""

    model_s_per_hour: Annotated[float, Field(ge=0, le=100_000_000)] = 0.0
    """Seconds in which models answered, of requests side by side each its own. 0: as long as they like."""

    call_usd: Annotated[float, Field(ge=0, le=10_000)] = 0.1
    """Dollars that a call has reserved until it ends and is settled; one that costs more exceeds the limit by that."""

    call_model_s: Seconds = 60.0
    """Seconds of models that a call has reserved until it ends."""

    repeats: Annotated[int, Field(ge=0, le=1_000)] = 2
    """How often in a row the same question is asked of models; then its first answer is given again. 0: each time."""
