"""Guards: what one caller may use within an hour, reserved before a call begins and settled when it has ended.

The reservation is committed before anything is asked, under a lock that all processes share, so calls side by side
cannot exceed a limit together. A call whose process died keeps what it had reserved for the rest of its hour: nobody
knows what it cost.
"""

import math
from collections.abc import Sequence

from exai import config
from exai.callers import Caller
from exai.errors import ToolFault
from exai.events.requests import RequestRecord
from exai.runtime.clock import Clock
from exai.storage.calls.guarded import Amounts, GuardedCalls, Refused, Reservation

__all__ = ["Guards", "HourlyLimitReached"]


class HourlyLimitReached(ToolFault):
    """The caller has used what it may use within an hour."""

    code = "hourly_limit"
    http_status = 429
    retryable = True
    fixable_by = "caller"


class Guards:
    """Reserves and settles what calls use."""

    def __init__(self, table: GuardedCalls, settings: config.Guards, clock: Clock) -> None:
        self._table = table
        self._settings = settings
        self._clock = clock
        self._limits = Amounts(
            calls=settings.calls_per_hour or None,
            usd=settings.usd_per_hour or None,
            model_s=settings.model_s_per_hour or None,
        )
        self.active = self._limits != Amounts()
        """Whether anything is guarded."""

    async def reserve(self, call_id: str, caller: Caller) -> None:
        """Commit what a call may use.

        Raises:
            HourlyLimitReached: it may not begin now; nothing was reserved.
            StoreFailed: nobody knows whether it was.
        """
        at, settings = self._clock.utc(), self._settings
        wanted = Reservation(
            call_id, caller.subject, at, settings.call_usd, settings.call_model_s, self._limits
        )
        refused = await self._table.reserve(wanted)
        if refused is not None:
            wait_s = math.ceil(max(1.0, (refused.free_at - at).total_seconds()))
            raise HourlyLimitReached(
                f"{self._used(refused)} A call may begin again in {_spoken(wait_s)}, at {refused.free_at:%H:%M:%S} "
                "UTC: ask then. Nothing was asked of a model.",
                retry_after_s=wait_s,
            )

    def settle_soon(self, call_id: str, requests: Sequence[RequestRecord]) -> None:
        """Replace what a call had reserved by what it used; one that asked nothing does not count."""
        if not requests:
            self._table.release_soon(call_id)
            return
        usd = sum([request.cost_usd or 0.0 for request in requests if not request.emulated])
        seconds = sum([request.ended_at - request.began_at for request in requests])
        self._table.settle_soon(call_id, usd=usd, model_s=seconds)

    def _used(self, refused: Refused) -> str:
        """Say what was used, of which limit."""
        settings = self._settings
        if refused.limit == "calls":
            return (
                f"You have made {refused.used:g} of the {settings.calls_per_hour} calls that you have within an hour "
                "(`guards.calls_per_hour`)."
            )
        if refused.limit == "usd":
            return (
                f"You have used or reserved {refused.used:.4f} of the {settings.usd_per_hour:g} USD that you have "
                "within an hour (`guards.usd_per_hour`)."
            )
        return (
            f"You have used or reserved {refused.used:.0f} of the {settings.model_s_per_hour:g} s of models that you "
            "have within an hour (`guards.model_s_per_hour`)."
        )


def _spoken(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
