"""The settings of the log."""

from typing import Literal

from exai.config.values import Section

__all__ = ["Logging"]


class Logging(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Third-party libraries never log below `warning`."""

    format: Literal["auto", "console", "json"] = "auto"
    """`auto`: colours on a terminal, JSON elsewhere."""
