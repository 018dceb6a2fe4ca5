"""What can be wrong with a call that goes on with stored work."""

import math

from exai.errors import ToolFault

__all__ = ["RunBusy", "RunFailed", "Unconfirmed", "UnknownPlan", "UnknownRun"]

HEADROOM = 1.5
"""By what a budget exceeds an estimate: words stand in it for the answers that later requests carry."""


class UnknownPlan(ToolFault):
    """The caller has no such plan; another owner's is answered alike."""

    code = "unknown_plan"
    http_status = 404
    fixable_by = "caller"


class UnknownRun(ToolFault):
    """The caller has no such run; another owner's and an expired one are answered alike."""

    code = "unknown_run"
    http_status = 404
    fixable_by = "caller"


class RunBusy(ToolFault):
    """Another call works at the run."""

    code = "run_busy"
    http_status = 409
    retryable = True
    fixable_by = "caller"


class RunFailed(ToolFault):
    """A request of the run was made twice, and each time EXAI ended before its answer was kept."""

    code = "run_failed"
    retryable = True
    fixable_by = "operator"


class Unconfirmed(Exception):
    """A run is estimated above what may be spent unasked. No fault: its tool answers with the call that allows it."""

    def __init__(self, estimated_usd: float, above_usd: float, conversation_id: str | None = None) -> None:
        """`conversation_id` is that of the guided form's run, which goes on with it."""
        super().__init__(
            f"Nothing was asked: this call is estimated at about ${estimated_usd:.4f}, and above ${above_usd:g} it "
            "needs a budget_usd (workflows.confirm_above_usd)."
        )
        self.estimated_usd = estimated_usd
        self.above_usd = above_usd
        self.conversation_id = conversation_id

    @property
    def budget_usd(self) -> float:
        """The budget that the run is likely to fit into, in whole hundredths of a cent."""
        return math.ceil(self.estimated_usd * HEADROOM * 10_000) / 10_000
