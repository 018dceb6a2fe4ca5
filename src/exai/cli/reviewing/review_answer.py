"""What the tool `review` answers, as the command reads it."""

from typing import Any

import msgspec

from exai.client.connection import Answer
from exai.consulting.answer import More
from exai.workflows.review.categories import Severity, is_as_severe
from exai.workflows.review.findings import Finding

__all__ = ["ReviewAnswer"]


class ReviewAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A review. What a newer daemon says besides is not looked at."""

    answer: str = ""
    continuation_id: str | None = None
    model_used: str = ""
    cost_usd: float | None = None
    findings: tuple[Finding, ...] = ()
    withheld: dict[str, int] = {}
    looked_at: str = ""
    more: tuple[More, ...] = ()
    """Where all findings are, those that are withheld too."""
    notes: tuple[str, ...] = ()
    next_call: dict[str, Any] | None = None
    """The call that allows what the review is estimated at."""
    estimated_usd: float | None = None
    """What the review is estimated at, where it needs a budget: nothing was reviewed."""

    is_partial: bool = msgspec.field(default=False, name="partial")
    """Whether a part of it could not be done."""
    is_emulated: bool = msgspec.field(default=False, name="emulated")
    """Whether no real model was asked, so that nothing was charged."""

    @classmethod
    def read(cls, answer: Answer) -> "ReviewAnswer":
        """Read a result.

        Raises:
            msgspec.ValidationError: it is none of a review.
        """
        report = answer.meta.get("exai/report")
        told = report if isinstance(report, dict) else {}
        facts = {name: told[name] for name in ("partial", "emulated") if name in told}
        return msgspec.convert({**facts, **(answer.structured or {})}, cls)

    def has_as_severe(self, least: Severity) -> bool:
        """Whether a finding is `least`, or worse."""
        return any(is_as_severe(finding.severity, least) for finding in self.findings)
