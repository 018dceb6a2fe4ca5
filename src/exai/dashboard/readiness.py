"""Whether the daemon can serve: a verdict for each thing that it needs, and one for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from exai.runtime.limits.loop_time import within

__all__ = ["Check", "Finding", "Readiness", "State", "readiness_of"]

CHECK_TIMEOUT_S = 2.0
"""Of the time in which the event loop runs: that it was late is no fault of what is looked at."""


class State(IntEnum):
    """How well something serves; the worst of several is the greatest."""

    READY = 0
    DEGRADED = 1
    """It serves, and not all of what it should."""
    UNREADY = 2

    @property
    def word(self) -> str:
        """The state as programs read it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one thing, in a sentence that gives nothing away."""

    state: State
    reason: str


Check = Callable[[], Awaitable[Finding | None]]
"""Looks at one thing that the daemon needs; `None` when it is well."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What all checks found."""

    findings: Mapping[str, Finding | None]

    @property
    def state(self) -> State:
        """The worst of what was found."""
        return max((each.state for each in self.findings.values() if each is not None), default=State.READY)

    @property
    def verdicts(self) -> dict[str, str]:
        """A sentence for each check that found something, `ok` for the others."""
        return {name: "ok" if each is None else each.reason for name, each in self.findings.items()}

    @property
    def states(self) -> dict[str, str]:
        """The state of each check."""
        return {
            name: (State.READY if each is None else each.state).word for name, each in self.findings.items()
        }


async def readiness_of(checks: Mapping[str, Check]) -> Readiness:
    """Run all checks side by side. One that breaks, or does not come back in time, has found the worst."""
    found = await asyncio.gather(*(_finding(name, check) for name, check in checks.items()))
    return Readiness(dict(zip(checks, found, strict=True)))


async def _finding(name: str, check: Check) -> Finding | None:
    try:
        return await within(CHECK_TIMEOUT_S, _look(check), name=f"readiness of {name}")
    except TimeoutError:
        return Finding(State.UNREADY, f"no answer within {CHECK_TIMEOUT_S:g} s")


async def _look(check: Check) -> Finding | None:
    try:
        return await check()
    except Exception as error:  # noqa: BLE001 - a check that breaks is a check that fails
        return Finding(State.UNREADY, f"failed: {type(error).__name__}")
