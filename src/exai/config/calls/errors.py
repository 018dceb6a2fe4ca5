"""The settings of what is kept of faults."""

from exai.config.values import Count, Section

__all__ = ["Errors"]


class Errors(Section):
    """What is kept of faults; the number of times that each was seen stays."""

    keep_days: Count = 30
    """How long an occurrence is kept whole. The first of each release stays."""
