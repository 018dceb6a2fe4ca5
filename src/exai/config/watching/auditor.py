"""The settings of how EXAI watches itself."""

from typing import Annotated, Literal

from pydantic import Field

from exai.config.values import Section

__all__ = ["Auditor"]


class Auditor(Section):
    """Rules over what EXAI does, and a model that explains what they find (`docs/auditor.md`)."""

    mode: Literal["off", "watch", "controlled", "sustained"] = "watch"
    """`off`: nothing is watched. `watch`: rules, and no request to a model. `controlled`: a model explains, by at most
    30 requests in any hour and 0.25 USD in any 24 hours. `sustained`: 60 and 1 USD."""

    model: str = "kimi-k2.7-code-highspeed"
    """Which model explains."""

    request_usd: Annotated[float, Field(gt=0, le=100)] = 0.02
    """Dollars that a request reserves until its cost is known."""
