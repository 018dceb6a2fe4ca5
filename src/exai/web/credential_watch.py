"""Ends what would outlive its caller's credential: open sockets, sessions, streams.

A credential ends in one of two ways. It *expires* at a time that is written in it, or it is *revoked*: an
administrator says so in the database, which the authenticator follows. What is kept open for a caller is registered as
a `CredentialWatch` with a callback, which is called at once for each of the two. What the callback does is its owner's
decision: a socket closes for either; a resumable session outlives an expiry and ends by a revocation.

A watch is in one of these states. A row says what happens when a check finds the credential in the state of the
column; `NEWS` is the same table as data.

    ┌──────────┬──────┬──────────────────┬──────────────────┐
    │ state    │ good │ expired          │ revoked          │
    ├──────────┼──────┼──────────────────┼──────────────────┤
    │ watched  │  –   │ notify → expired │ notify → revoked │
    │ expired  │  –   │  –               │ notify → revoked │
    │ revoked  │  –   │  –               │  –               │
    └──────────┴──────┴──────────────────┴──────────────────┘

Hence a callback is called at most once for each, an expiry never after a revocation, and news is not taken back: a
clock that is set back makes no expired credential good again. `move_to` puts the watch under another credential, in
the state *watched*: the client came back with a fresh token. `release` ends it in any state; from then on its callback
is not called, and nothing refers to its owner any more.

A check costs nothing per message and nothing while a connection is idle. It is made

* as soon as the authenticator says that something was revoked, or a watch begins whose credential has ended already
  (it was good when the request was authenticated);
* when the first of all expiries has come, by the wall clock. That clock may be set, so no timer is armed for it: a
  background duty compares it with one number, a few times a second;
* every `ROUND_S` in any case.

It checks each *owner* once, not each watch: an owner is a subject with a credential, and all that one token has
open ends together. (Another issuer may give two subjects tokens that are alike in all else, so the credential alone
would not do.) After `TURN` owners it lets other tasks run. A callback that raises is logged and keeps no other open.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import structlog

from exai.auth.revocation_state import EndReason
from exai.callers import Caller, Credential
from exai.runtime.clock import Clock
from exai.web.auth_gate import Authenticates

__all__ = ["NEWS", "CredentialWatch", "CredentialWatcher", "OnEnd"]

ROUND_S = 30.0
"""How often every owner is checked in any case."""
TURN = 500
"""Owners checked in a row before other tasks have their turn."""

_log = structlog.get_logger(__name__)

Owner = tuple[str, Credential | None]
OnEnd = Callable[[EndReason], None]
"""Called when the credential has expired or was revoked; returns at once."""

NEWS: Mapping[EndReason | None, frozenset[EndReason]] = MappingProxyType(
    {
        None: frozenset({"expired", "revoked"}),
        "expired": frozenset({"revoked"}),
        "revoked": frozenset(),
    }
)
"""By what a watch was notified of last (`None`: of nothing): what it has yet to be notified of."""


class CredentialWatch:
    """Watches the credential behind one open thing."""

    __slots__ = ("_watcher", "caller", "notified", "on_end")

    def __init__(self, watcher: "CredentialWatcher", caller: Caller, on_end: OnEnd) -> None:
        self._watcher = watcher
        self.caller = caller
        self.on_end = on_end
        self.notified: EndReason | None = None

    def move_to(self, caller: Caller) -> None:
        """Watch this caller's credential from now on."""
        self._watcher.remove(self)
        self.caller, self.notified = caller, None
        self._watcher.add(self)

    def release(self) -> None:
        """Stop watching; nothing happens the second time."""
        self._watcher.remove(self)
        self.on_end = _ignore  # it refers to its owner: left so, only a full collection would free either


class CredentialWatcher:
    """Checks the credentials of everything that is open."""

    def __init__(self, authenticator: Authenticates, clock: Clock) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._watches: dict[Owner, set[CredentialWatch]] = {}
        self._soonest = math.inf
        """When the first of the credentials expires."""
        self._is_stale = False
        """Whether something was revoked since the last check."""
        self._last_check = clock.monotonic()
        self.changed = asyncio.Event()
        """Set when a check is due at once."""
        authenticator.watch(self._note_change)

    @contextmanager
    def watching(self, caller: Caller, on_end: OnEnd) -> Iterator[CredentialWatch]:
        """Call `on_end` when the caller's credential ends, within this scope."""
        watch = self.watch(caller, on_end)
        try:
            yield watch
        finally:
            watch.release()

    def watch(self, caller: Caller, on_end: OnEnd) -> CredentialWatch:
        """Watch without a scope; the owner releases it."""
        watch = CredentialWatch(self, caller, on_end)
        self.add(watch)
        return watch

    def add(self, watch: CredentialWatch) -> None:
        """Register the watch under its caller's credential."""
        self._soonest = min(self._soonest, _expiry(watch.caller))
        self._watches.setdefault(_owner(watch.caller), set()).add(watch)
        if self._authenticator.end_of(watch.caller) is not None:  # since the request was authenticated
            self._note_change()

    def remove(self, watch: CredentialWatch) -> None:
        """Take the watch away; nothing happens when it is not registered."""
        owner = _owner(watch.caller)
        of_owner = self._watches.get(owner)
        if of_owner is not None:
            of_owner.discard(watch)
            if not of_owner:
                del self._watches[owner]

    def _note_change(self) -> None:
        self._is_stale = True
        self.changed.set()

    async def check_if_due(self) -> None:
        """Check every owner if a credential has expired, if something was revoked, or if `ROUND_S` have passed."""
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
        for number, of_owner in enumerate(list(self._watches.values()), 1):
            for any_of_them in of_owner:
                reason = self._authenticator.end_of(any_of_them.caller)
                if reason is None:
                    self._soonest = min(self._soonest, _expiry(any_of_them.caller))
                else:
                    _notify(of_owner, reason)
                break
            if number % TURN == 0:
                await asyncio.sleep(0)


def _owner(caller: Caller) -> Owner:
    return caller.subject, caller.credential


def _expiry(caller: Caller) -> float:
    credential = caller.credential
    return math.inf if credential is None or credential.expires_at is None else credential.expires_at


def _ignore(_: EndReason) -> None:
    pass


def _notify(watches: set[CredentialWatch], reason: EndReason) -> None:
    for watch in list(watches):
        if reason in NEWS[watch.notified]:
            watch.notified = reason
            try:
                watch.on_end(reason)
            except Exception:  # noqa: BLE001 - one that cannot be ended must not keep the others open
                _log.exception("something could not be ended with its credential", how=reason)
