"""Who is told when a credential is over, and when."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from exai.app.duties import stdio_duties
from exai.callers import Caller, Door
from exai.runtime.clock import ManualClock, SystemClock
from exai.runtime.periodic import Scheduler
from exai.web.entrance import Ending
from exai.web.guards import Guards
from support.scripted_authenticator import ScriptedAuthenticator

HEADERS = [(b"authorization", b"Bearer one")]


class Watched:
    """Guards that are running, over tokens that a test ends."""

    def __init__(self) -> None:
        self.authenticator = ScriptedAuthenticator()
        self.authenticator.issue("one", "alice")
        self.clock = ManualClock(wall=1_000.0)
        self.guards = Guards(self.authenticator, self.clock)
        self.told: list[tuple[str, Ending]] = []

    async def caller(self, expires_at: float | None = None) -> Caller:
        caller = await self.authenticator.admit(HEADERS, door=Door.HTTP, address="127.0.0.1")
        assert caller.credential is not None
        return replace(caller, credential=replace(caller.credential, expires_at=expires_at))

    async def until(self, *told: tuple[str, Ending]) -> None:
        async with asyncio.timeout(5):
            while self.told != list(told):  # noqa: ASYNC110 - a condition of another task
                await asyncio.sleep(0.005)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    async with Scheduler(SystemClock()).running(*stdio_duties(made.guards)):
        yield made


async def test_each_is_told_once_of_each_end_and_the_released_of_none(watched: Watched) -> None:
    caller = await watched.caller()
    watched.guards.open(caller, lambda ending: watched.told.append(("kept", ending)))
    with watched.guards.guarding(caller, lambda ending: watched.told.append(("left", ending))):
        pass
    watched.authenticator.end("one", "expired")
    await watched.until(("kept", "expired"))
    watched.authenticator.end("one", "expired")
    watched.authenticator.end("one", "revoked")
    await watched.until(("kept", "expired"), ("kept", "revoked"))


async def test_one_that_cannot_be_ended_keeps_no_other_open(watched: Watched) -> None:
    def broken(_: Ending) -> None:
        raise RuntimeError("a planted fault")

    caller = await watched.caller()
    for number in range(10):
        watched.guards.open(caller, broken)
        watched.guards.open(caller, lambda ending, number=number: watched.told.append((str(number), ending)))
    watched.authenticator.end("one", "revoked")
    async with asyncio.timeout(5):
        while len(watched.told) < 10:  # noqa: ASYNC110 - a condition of another task
            await asyncio.sleep(0.005)
    watched.told.clear()
    watched.authenticator.issue("two", "bob")
    other = await watched.authenticator.admit(
        [(b"authorization", b"Bearer two")], door=Door.HTTP, address="127.0.0.1"
    )
    watched.guards.open(other, lambda ending: watched.told.append(("later", ending)))
    watched.authenticator.end("two", "revoked")
    await watched.until(("later", "revoked"))


async def test_the_wall_clock_tells_of_an_expiry(watched: Watched) -> None:
    caller = await watched.caller(expires_at=1_060.0)
    watched.guards.open(caller, lambda ending: watched.told.append(("it", ending)))
    watched.authenticator.endings["one"] = "expired"  # told by nobody but the clock
    watched.clock.advance(60)
    await watched.until(("it", "expired"))


async def test_what_comes_in_while_its_token_is_being_revoked_does_not_stay(watched: Watched) -> None:
    caller = await watched.caller()
    watched.guards.open(caller, lambda ending: watched.told.append(("in time", ending)))
    watched.authenticator.end("one", "revoked")
    await watched.until(("in time", "revoked"))
    watched.guards.open(caller, lambda ending: watched.told.append(("late", ending)))
    await watched.until(("in time", "revoked"), ("late", "revoked"))


async def test_subjects_whose_credentials_are_alike_are_told_apart(watched: Watched) -> None:
    alice = await watched.caller()
    bob = replace(alice, subject="bob")
    for caller in (alice, bob):
        watched.guards.open(
            caller, lambda ending, caller=caller: watched.told.append((caller.subject, ending))
        )
    watched.authenticator.end_subject("bob", "revoked")
    await watched.until(("bob", "revoked"))
    watched.authenticator.end("one", "revoked")
    await watched.until(("bob", "revoked"), ("alice", "revoked"))


async def test_a_guard_stands_under_the_credential_it_was_moved_to(watched: Watched) -> None:
    old = await watched.caller()
    guard = watched.guards.open(old, lambda ending: watched.told.append(("it", ending)))
    watched.authenticator.issue("two", "alice")
    fresh = await watched.authenticator.admit(
        [(b"authorization", b"Bearer two")], door=Door.HTTP, address="127.0.0.1"
    )
    guard.move(fresh)
    watched.authenticator.end("one", "revoked")
    watched.authenticator.end("two", "expired")
    await watched.until(("it", "expired"))
    guard.release()
    guard.release()
