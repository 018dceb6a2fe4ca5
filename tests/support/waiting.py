"""How tests wait: for a condition, within a bound that no busy machine reaches."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

__all__ = ["wait_until"]

T = TypeVar("T")

WITHIN_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.001, 0.05


@overload
async def wait_until(
    condition: Callable[[], Awaitable[T]], *, what: str | Callable[[], str], within: float = WITHIN_S
) -> T: ...


@overload
async def wait_until(
    condition: Callable[[], T], *, what: str | Callable[[], str], within: float = WITHIN_S
) -> T: ...


async def wait_until(
    condition: Callable[[], Any], *, what: str | Callable[[], str], within: float = WITHIN_S
) -> Any:
    """Ask `condition` again and again until it gives something true, and return that.

    `what` names it in the failure: "the last session is closed", or a function that says how far it got.
    """
    last: object = None
    pause = FIRST_PAUSE_S
    try:
        async with asyncio.timeout(within) as bound:
            while True:
                answer = condition()
                value = await answer if inspect.isawaitable(answer) else answer
                if value:
                    return value
                last = value
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
    except TimeoutError:
        if not bound.expired():
            raise
    said = what if isinstance(what, str) else what()
    raise AssertionError(f"Not within {within:g} s: {said} (last seen: {last!r})")
