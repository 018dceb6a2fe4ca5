"""What one request would cost, held against what the caller allows."""

import msgspec

from exai.consulting.consultant import Consultant, Fitted
from exai.consulting.context import CallContext
from exai.consulting.faults import BudgetTooSmall
from exai.consulting.inquiry import Inquiry

__all__ = ["ANSWER_TOKENS", "check_budget", "estimate", "within_budget"]

ANSWER_TOKENS = 8_000
"""Of an answer, thinking included, where nothing else bounds it: what a price reckons with."""


def estimate(fitted: Fitted) -> float | None:
    """Estimate what a request costs, in dollars; `None`: its model has no known price."""
    return fitted.estimate(min(fitted.prompt.max_output_tokens or ANSWER_TOKENS, ANSWER_TOKENS)).usd


async def within_budget(
    consultant: Consultant, inquiry: Inquiry, budget_usd: float | None, context: CallContext
) -> Inquiry:
    """Return an inquiry of one request as it may be made, its answer no longer than its estimate reckons with.

    Raises:
        BudgetTooSmall: it is estimated above the budget; nothing was asked.
        ToolFault: it could not be asked.
    """
    if budget_usd is None:
        return inquiry
    longest = min(inquiry.max_answer_tokens or ANSWER_TOKENS, ANSWER_TOKENS)
    bounded = msgspec.structs.replace(inquiry, max_answer_tokens=longest)
    prepared = await consultant.prepare(bounded, context)
    check_budget(await consultant.fit(prepared, consultant.choose(prepared).model, context), budget_usd)
    return bounded


def check_budget(fitted: Fitted, budget_usd: float, taken_usd: float = 0.0) -> float:
    """Check that a request fits into what is left of a budget, and return its estimate in dollars.

    `taken_usd` is what was spent, and what requests beside it are estimated at.

    Raises:
        BudgetTooSmall: it does not, or nobody knows.
    """
    model, usd = fitted.prompt.model.name, estimate(fitted)
    if usd is None:
        raise BudgetTooSmall(
            f"Argument 'budget_usd': {model} has no known price, so no estimate can be held to it. Name a model "
            "that has one (see `status` with section models), or leave budget_usd out."
        )
    if taken_usd + usd > budget_usd:
        beside = f" beside ${taken_usd:.4f} for others" if taken_usd else ""
        raise BudgetTooSmall(
            f"The request to {model} is estimated at ${usd:.4f}{beside}, above budget_usd {budget_usd:g}. Nothing was "
            "asked. Raise it, show less, or name a cheaper model."
        )
    return usd
