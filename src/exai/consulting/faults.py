"""What can be wrong with a call that asks several models, or may cost no more than so much."""

from exai.errors import ToolFault

__all__ = ["BudgetTooSmall", "ConsensusIncomplete"]


class BudgetTooSmall(ToolFault):
    """A call would cost more than its caller allows; nothing was asked."""

    code = "budget_too_small"
    http_status = 400
    fixable_by = "caller"


class ConsensusIncomplete(ToolFault):
    """Fewer than two models voted; `partial` is what there is."""

    code = "consensus_incomplete"
    http_status = 502
    retryable = True
    fixable_by = "operator"
