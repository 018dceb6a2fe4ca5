"""Ends what would outlive its credential: open sockets, sessions and streams.

Each stands here under the caller who opened it. Callers are looked at when the first of their credentials
expires and when something was revoked; so an open connection costs nothing, neither per message nor while idle.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from exai.callers import Caller, Credential
from exai.runtime.clock import Clock
from exai.web.entrance import Authenticates, Ending

__all__ = ["Guard", "Guards"]

ROUND_S = 30.0
"""How often everybody is looked at in any case."""
TURN = 500
"""Callers looked at in a row before others have their turn."""

_log = structlog.get_logger(__name__)

Owner = tuple[str, Credential | None]
End = Callable[[Ending], None]
"""Hears once that the credential has expired, and once that it was revoked; returns at once."""


class Guard:
    """One thing that ends with its caller's credential."""

    __slots__ = ("_guards", "caller", "end", "told")

    def __init__(self, guards: "Guards", caller: Caller, end: End) -> None:
        self._guards = guards
        self.caller = caller
        self.end = end
        self.told: Ending | None = None

    def move(self, caller: Caller) -> None:
        """From now on it stands under this credential."""
        self._guards.remove(self)
        self.caller, self.told = caller, None
        self._guards.add(self)

    def release(self) -> None:
        """It is over by itself."""
        self._guards.remove(self)
        self.end = _nothing  # what it would end knows it: left so, only a full collection would free either


class Guards:
    """Everything that is open, by its owner: many sockets of one token are one comparison.

    Owner is a subject with a credential; another issuer may give two subjects tokens that are alike in all else.
    """

    def __init__(self, authenticator: Authenticates, clock: Clock) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._open: dict[Owner, set[Guard]] = {}
        self._soonest = math.inf
        """When the first of the credentials expires."""
        self._is_stale = False
        """Whether something was revoked since the last check."""
        self._last_check = clock.monotonic()
        self.changed = asyncio.Event()
        """Set when a check is due at once."""
        authenticator.watch(self._note_change)

    @contextmanager
    def guarding(self, caller: Caller, end: End) -> Iterator[Guard]:
        """The scope in which `end` is told when the caller's credential is over."""
        guard = self.open(caller, end)
        try:
            yield guard
        finally:
            guard.release()

    def open(self, caller: Caller, end: End) -> Guard:
        """The same for what is no scope; it is released by its owner."""
        guard = Guard(self, caller, end)
        self.add(guard)
        return guard

    def add(self, guard: Guard) -> None:
        """Stand it under its caller's credential."""
        self._soonest = min(self._soonest, _expiry(guard.caller))
        self._open.setdefault(_owner(guard.caller), set()).add(guard)
        if self._authenticator.end_of(guard.caller) is not None:  # since it was admitted
            self._note_change()

    def remove(self, guard: Guard) -> None:
        """Take it away again; nothing happens when it is not there."""
        owner = _owner(guard.caller)
        of_owner = self._open.get(owner)
        if of_owner is not None:
            of_owner.discard(guard)
            if not of_owner:
                del self._open[owner]

    def _note_change(self) -> None:
        self._is_stale = True
        self.changed.set()

    async def check_if_due(self) -> None:
        """Check every caller if a credential has expired, if something was revoked, or if `ROUND_S` have passed."""
        now = self._clock.monotonic()
        if self._is_stale or self._clock.wall() >= self._soonest or now - self._last_check >= ROUND_S:
            self._is_stale = False
            self._last_check = now
            try:
                await self._check()
            except BaseException:
                self._is_stale = True
                raise

    async def _check(self) -> None:
        self._soonest = math.inf
        for number, of_owner in enumerate(list(self._open.values()), 1):
            for any_of_them in of_owner:
                ending = self._authenticator.end_of(any_of_them.caller)
                if ending is None:
                    self._soonest = min(self._soonest, _expiry(any_of_them.caller))
                else:
                    _tell(of_owner, ending)
                break
            if number % TURN == 0:
                await asyncio.sleep(0)


def _owner(caller: Caller) -> Owner:
    return caller.subject, caller.credential


def _expiry(caller: Caller) -> float:
    credential = caller.credential
    return math.inf if credential is None or credential.expires_at is None else credential.expires_at


def _nothing(_: Ending) -> None:
    pass


def _tell(guards: set[Guard], ending: Ending) -> None:
    for guard in list(guards):
        if guard.told not in {ending, "revoked"}:
            guard.told = ending
            try:
                guard.end(ending)
            except Exception:  # noqa: BLE001 - one that cannot be ended must not keep the others open
                _log.exception("something could not be ended with its token", how=ending)
