"""Who is notified when a credential is over, and when."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from exai.app.duties import CREDENTIALS_S, stdio_duties
from exai.auth.revocation_state import EndReason
from exai.callers import Caller, Door
from exai.runtime.periodic import JITTER, Scheduler
from exai.web.credential_watch import NEWS, ROUND_S, CredentialWatcher
from support.scripted_authenticator import ScriptedAuthenticator
from support.virtual_time import LoopClock
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

HEADERS = [(b"authorization", b"Bearer one")]


class Watched:
    """A watcher that runs, over tokens that a test ends."""

    def __init__(self) -> None:
        self.authenticator = ScriptedAuthenticator()
        self.authenticator.issue("one", "alice")
        self.clock = LoopClock(wall=1_000.0)
        self.watcher = CredentialWatcher(self.authenticator, self.clock)
        self.told: list[tuple[str, EndReason]] = []

    async def caller(self, expires_at: float | None = None) -> Caller:
        caller = await self.authenticator.authenticate(HEADERS, door=Door.HTTP, address="127.0.0.1")
        assert caller.credential is not None
        return replace(caller, credential=replace(caller.credential, expires_at=expires_at))

    def note(self, name: str, reason: EndReason) -> None:
        self.told.append((name, reason))

    async def until(self, *told: tuple[str, EndReason]) -> None:
        await wait_until(
            lambda: self.told == list(told), what=lambda: f"{list(told)} is told; it was {self.told}"
        )


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    async with Scheduler(made.clock).running(*stdio_duties(made.watcher)):
        yield made


async def test_each_watcher_is_notified_once_and_a_released_one_never(watched: Watched) -> None:
    caller = await watched.caller()
    watched.watcher.watch(caller, lambda reason: watched.told.append(("kept", reason)))
    with watched.watcher.watching(caller, lambda reason: watched.told.append(("left", reason))):
        pass
    watched.authenticator.end("one", "expired")
    await watched.until(("kept", "expired"))
    watched.authenticator.end("one", "expired")
    watched.authenticator.end("one", "revoked")
    await watched.until(("kept", "expired"), ("kept", "revoked"))


async def test_one_that_cannot_be_ended_keeps_no_other_open(watched: Watched) -> None:
    def broken(_: EndReason) -> None:
        raise RuntimeError("a planted fault")

    def note(name: str, reason: EndReason) -> None:
        watched.told.append((name, reason))

    caller = await watched.caller()
    for number in range(10):
        watched.watcher.watch(caller, broken)
        watched.watcher.watch(caller, partial(note, str(number)))
    watched.authenticator.end("one", "revoked")
    await wait_until(lambda: len(watched.told) == 10, what="ten are told")
    watched.told.clear()
    watched.authenticator.issue("two", "bob")
    other = await watched.authenticator.authenticate(
        [(b"authorization", b"Bearer two")], door=Door.HTTP, address="127.0.0.1"
    )
    watched.watcher.watch(other, lambda reason: watched.told.append(("later", reason)))
    watched.authenticator.end("two", "revoked")
    await watched.until(("later", "revoked"))


async def test_an_expiry_is_noticed_by_the_wall_clock(watched: Watched) -> None:
    caller = await watched.caller(expires_at=1_060.0)
    watched.watcher.watch(caller, lambda reason: watched.told.append(("it", reason)))
    await asyncio.sleep(60)
    assert watched.told == []
    watched.authenticator.endings["one"] = "expired"  # told by nobody but the clock
    await asyncio.sleep((1 + JITTER) * CREDENTIALS_S)
    assert watched.told == [("it", "expired")]


async def test_what_comes_in_while_its_token_is_being_revoked_does_not_stay(watched: Watched) -> None:
    caller = await watched.caller()
    watched.watcher.watch(caller, lambda reason: watched.told.append(("in time", reason)))
    watched.authenticator.end("one", "revoked")
    await watched.until(("in time", "revoked"))
    watched.watcher.watch(caller, lambda reason: watched.told.append(("late", reason)))
    await watched.until(("in time", "revoked"), ("late", "revoked"))


async def test_subjects_with_equal_credentials_are_kept_apart(watched: Watched) -> None:
    def note(name: str, reason: EndReason) -> None:
        watched.told.append((name, reason))

    alice = await watched.caller()
    bob = replace(alice, subject="bob")
    for caller in (alice, bob):
        watched.watcher.watch(caller, partial(note, caller.subject))
    watched.authenticator.end_subject("bob", "revoked")
    await watched.until(("bob", "revoked"))
    watched.authenticator.end("one", "revoked")
    await watched.until(("bob", "revoked"), ("alice", "revoked"))


async def test_a_watch_follows_the_credential_it_was_moved_to(watched: Watched) -> None:
    old = await watched.caller()
    watch = watched.watcher.watch(old, lambda reason: watched.told.append(("it", reason)))
    watched.authenticator.issue("two", "alice")
    fresh = await watched.authenticator.authenticate(
        [(b"authorization", b"Bearer two")], door=Door.HTTP, address="127.0.0.1"
    )
    watch.move_to(fresh)
    watched.authenticator.end("one", "revoked")
    watched.authenticator.end("two", "expired")
    await watched.until(("it", "expired"))
    watch.release()
    watch.release()


@pytest.mark.parametrize("before", NEWS)
@pytest.mark.parametrize("found", [None, "expired", "revoked"])
async def test_a_check_notifies_of_what_the_table_says_and_of_nothing_else(
    before: EndReason | None, found: EndReason | None
) -> None:
    made = Watched()
    watch = made.watcher.watch(await made.caller(), lambda reason: made.told.append(("it", reason)))
    watch.notified = before
    if found is not None:
        made.authenticator.end("one", found)
    for _ in range(2):
        await asyncio.sleep(ROUND_S)
        await made.watcher.check_if_due()
    is_news = found is not None and found in NEWS[before]
    assert made.told == ([("it", found)] if is_news else [])
    assert watch.notified == (found if is_news else before)
