"""Purses: what callers of EXAI's own may ask of providers, granted request by request before any is sent.

The grant is committed first, under limits that hold for any window and all processes on a database. A crash gives
nothing back, and a caller with a purse never asks a second time for what failed: whatever may loop is bounded here.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from exai.callers import Caller
from exai.errors import ToolFault
from exai.events.requests import RequestRecord
from exai.routing.request import Grant
from exai.storage.calls.budgets import BudgetGrants, Limit, Refusal, Wanted

__all__ = ["BudgetSpent", "Purse", "Purses"]


class BudgetSpent(ToolFault):
    """The caller's purse grants no further request now."""

    code = "budget_spent"
    http_status = 429
    retryable = True
    fixable_by = "operator"


class Purse(msgspec.Struct, frozen=True):
    """What one caller may ask."""

    name: str
    setting: str
    """What an operator changes to allow more."""
    request_usd: float
    """What a request reserves until it is settled; one that costs more exceeds a limit by that."""
    limits: tuple[Limit, ...]


class Purses:
    """Grants what callers with a purse ask; no other caller is affected."""

    def __init__(self, table: BudgetGrants, purses: Mapping[str, Purse]) -> None:
        """`purses` by the subject of their caller."""
        self._table = table
        self._purses = purses
        self.subjects = frozenset(purses)
        """Who has one."""

    def grant_for(self, call_id: str, caller: Caller) -> Grant:
        """Return what each request of a call has to await, of a caller that has a purse."""
        purse = self._purses[caller.subject]

        async def grant() -> None:
            wanted = Wanted(purse.name, call_id, purse.request_usd, purse.limits)
            refusal = await self._table.grant(wanted)
            if refusal is not None:
                raise _spent(purse, refusal)

        return grant

    def settle_soon(self, call_id: str, requests: Sequence[RequestRecord]) -> None:
        """Replace what a call had reserved by what it cost, as far as that is known."""
        if requests and all(request.emulated or _is_known(request) for request in requests):
            usd = sum(0.0 if request.emulated else request.cost_usd or 0.0 for request in requests)
            self._table.settle_soon(call_id, usd)


def _is_known(request: RequestRecord) -> bool:
    return not request.without_price and not request.unreported


def _spent(purse: Purse, refusal: Refusal) -> BudgetSpent:
    limit = refusal.limit
    amount = f"{limit.requests} requests" if limit.requests is not None else f"{limit.usd:g} USD"
    sentence = (
        f"The budget of {purse.name} is spent: {amount} within {limit.window_s / 3600:g} h (`{purse.setting}`). "
        "Nothing was asked of a model."
    )
    if refusal.wait_s is None:
        return BudgetSpent(f"{sentence} It allows no request of this size at all.")
    return BudgetSpent(sentence, retry_after_s=math.ceil(max(1.0, refusal.wait_s)))
