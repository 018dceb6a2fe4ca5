"""Whether a failed request is made again, and after how long: policy without I/O.

Only what passes by itself is tried again (column `retry` of `exai.routing.faults`): a rate limit, missing capacity, a
broken connection, a server error. Whatever the caller, the operator or time alone can fix is not. Waits grow
exponentially and are drawn at random from the whole range ("full jitter"), so that callers who failed together do not
come back together.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from exai import config
from exai.errors import ProviderFault
from exai.routing.faults import RetryKind, handling_of
from exai.runtime.clock import Clock

__all__ = ["Decision", "NoRetry", "RetryBudget", "RetryPolicy"]

MAX_TRANSPORT_RETRIES = 2
"""What is broken beyond a second attempt is not helped by a third."""

REFILL_S = 60.0
"""A quiet minute puts a whole reserve back into a budget."""


class NoRetry(StrEnum):
    """Why a request is not made again although its failure is of a kind that passes."""

    SPENT = "spent"
    """It was made often enough."""
    LONG_WAIT = "long_wait"
    """The provider asks for a wait that nobody wants to sit through."""
    DEADLINE = "deadline"
    """The call would be over before the wait is."""
    BREAKER = "breaker"
    """The model's breaker is open."""
    BUDGET = "budget"
    """So many requests to this provider fail that repeating them would only add to its load."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one failure: wait, or not and why."""

    kind: RetryKind | None
    """`None`: it does not pass by itself."""
    wait_s: float = 0.0
    no_retry: NoRetry | None = None


class RetryBudget:
    """How many retries one provider may still get.

    Each first request adds a share of a retry, a quiet minute the reserve, and each
    retry takes one: when everything fails, a provider sees little more than the
    requests that were wanted of it.
    """

    __slots__ = ("_clock", "_in_hand", "_refilled_at", "_reserve", "_share")

    def __init__(self, share: float, reserve: int, clock: Clock) -> None:
        self._share = share
        self._reserve = float(reserve)
        self._clock = clock
        self._in_hand = self._reserve
        self._refilled_at = clock.monotonic()

    def note_first_request(self) -> None:
        """Earn a share of a retry: a request was wanted of the provider."""
        self._in_hand = min(self._reserve, self._in_hand + self._share)

    def take(self) -> bool:
        """Take one retry, if there is one."""
        now = self._clock.monotonic()
        refill = (now - self._refilled_at) * self._reserve / REFILL_S
        self._refilled_at = now
        self._in_hand = min(self._reserve, self._in_hand + refill)
        if self._in_hand < 1.0:
            return False
        self._in_hand -= 1.0
        return True


class RetryPolicy:
    """Decides by the settings `retry`; keeps a budget per provider."""

    def __init__(
        self, settings: config.Retry, clock: Clock, dice: Callable[[], float] = random.random
    ) -> None:
        """`dice` yields numbers from 0 to 1."""
        self._settings = settings
        self._clock = clock
        self._dice = dice
        self._first_wait_s = {
            RetryKind.THROTTLE: settings.throttle_backoff_s,
            RetryKind.OVERLOAD: settings.overload_backoff_s,
            RetryKind.TRANSPORT: settings.transport_backoff_s,
        }
        self._budgets: dict[str, RetryBudget] = {}

    def budget(self, provider: str) -> RetryBudget:
        """Return the provider's budget."""
        budget = self._budgets.get(provider)
        if budget is None:
            settings = self._settings
            budget = RetryBudget(settings.budget_share, settings.budget_reserve, self._clock)
            self._budgets[provider] = budget
        return budget

    def decide(
        self,
        fault: ProviderFault,
        *,
        provider: str,
        retries: int,
        left_s: float,
        patience_s: float = math.inf,
        is_breaker_open: bool = False,
    ) -> Decision:
        """Decide what to do after `fault`, when `retries` were made and the call has `left_s` seconds left.

        `patience_s` bounds the wait beside the settings; `is_breaker_open` is about the model's. A decision to wait
        has taken one retry from the provider's budget.
        """
        kind = handling_of(fault).retry
        if kind is None:
            return Decision(None)
        settings = self._settings
        most = settings.max_retries
        if kind is RetryKind.TRANSPORT:
            most = min(most, MAX_TRANSPORT_RETRIES)
        asked_s = fault.retry_after_s or 0.0
        longest_s = min(settings.max_backoff_s, patience_s, self._first_wait_s[kind] * 2.0**retries)
        # On top of the provider's own wait, because those who were told the same one would return together.
        wait_s = asked_s + self._dice() * longest_s
        if is_breaker_open:
            no_retry = NoRetry.BREAKER
        elif retries >= most:
            no_retry = NoRetry.SPENT
        elif asked_s > min(settings.max_retry_after_s, patience_s):
            no_retry = NoRetry.LONG_WAIT
        elif wait_s >= left_s:
            no_retry = NoRetry.DEADLINE
        elif not self.budget(provider).take():
            no_retry = NoRetry.BUDGET
        else:
            return Decision(kind, wait_s)
        return Decision(kind, no_retry=no_retry)
