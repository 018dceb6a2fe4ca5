"""Rows of identity on both databases: what two processes change at once, and what each learns of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from exai import config
from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.errors import InvalidGrant, Unauthenticated, UnknownToken
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from support.gates import Gate


@pytest.fixture
async def gates(database_settings: config.Database, tmp_path: Path) -> AsyncIterator[tuple[Gate, Gate]]:
    """Two processes on one database, with one clock and keys of their own."""
    clock = ManualClock()
    databases = [await Database.open(database_settings, tmp_path) for _ in range(2)]
    made = []
    for name, database in zip(("here", "there"), databases, strict=True):
        auth = config.Auth.model_validate({"mode": "required"})
        tables = IdentityTables(database)
        authenticator = await Authenticator.open(auth, tables, clock)
        made.append(Gate(authenticator, Authority(auth, tables, tmp_path / name, clock), clock))
    yield made[0], made[1]
    for database in databases:
        await database.close()


async def test_each_believes_what_the_other_made_at_once(gates: tuple[Gate, Gate]) -> None:
    here, there = gates
    for maker, judge in ((here, there), (there, here)):
        for issued in (
            await maker.authority.create("alice", "laptop"),
            await maker.authority.create_key("alice", "script"),
        ):
            assert (await judge.admit(issued.access_token)).subject == "alice"


async def test_a_revocation_reaches_the_other_process_and_its_sockets(
    gates: tuple[Gate, Gate],
) -> None:
    here, there = gates
    told = asyncio.Event()
    there.authenticator.watch(told.set)
    issued = [
        await here.authority.create("alice", "laptop"),
        await here.authority.create_key("alice", "script"),
    ]
    callers = [await there.admit(each.access_token) for each in issued]
    for each, caller in zip(issued, callers, strict=True):
        told.clear()
        assert there.authenticator.end_of(caller) is None
        await here.authority.revoke(each.token_id)
        await there.authenticator.follow()
        assert told.is_set()
        assert there.authenticator.end_of(caller) is not None
        await there.refuses(each.access_token)


async def test_one_refresh_token_at_two_doors_at_once_ends_in_one_line_of_descent(
    gates: tuple[Gate, Gate],
) -> None:
    here, there = gates
    first = await here.authority.create("alice", "laptop")
    assert first.refresh_token is not None
    pairs = await asyncio.gather(
        *(gate.authority.refresh(first.refresh_token) for gate in (here, there) * 10)
    )
    outcomes = await asyncio.gather(
        *(
            gate.authority.refresh(pair.refresh_token or "")
            for gate, pair in zip((here, there) * 10, pairs, strict=True)
        ),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(outcome, InvalidGrant) for outcome in lost)
    assert len(won) == 1
    assert (await here.authority.listing())[0].state == "revoked"


async def test_many_changes_at_once_from_both_sides_are_all_kept(gates: tuple[Gate, Gate]) -> None:
    here, there = gates
    made = await asyncio.gather(
        *(gate.authority.create(f"user-{number % 3}", "x") for number, gate in enumerate((here, there) * 15))
    )
    ended = await asyncio.gather(
        *(there.authority.revoke(each.token_id) for each in made[:10]),
        *(here.authority.revoke(each.token_id) for each in made[:10]),
        here.authority.revoke_subject("user-2"),
        there.authority.rotate_keys(),
        here.authority.prune(),
        return_exceptions=True,
    )
    assert {type(each) for each in ended if isinstance(each, BaseException)} == {UnknownToken}
    assert sum(isinstance(each, UnknownToken) for each in ended) == 10
    states = {row.token_id: row.state for row in await here.authority.listing()}
    for gate in gates:
        await gate.authenticator.refresh()
        for number, each in enumerate(made):
            is_over = number < 10 or each.subject == "user-2"
            assert (states[each.token_id] == "revoked") == is_over
            if is_over:
                with pytest.raises(Unauthenticated):
                    await gate.admit(each.access_token)
            else:
                await gate.admit(each.access_token)


async def test_a_revocation_is_kept_until_the_token_would_have_ended(gates: tuple[Gate, Gate]) -> None:
    here, there = gates
    issued = await here.authority.create("alice", "ci", lifetime=timedelta(days=90))
    await here.authority.revoke(issued.token_id)
    here.clock.advance(86_400 * 89)
    await here.authority.prune()
    assert await here.authority.listing() == []
    await there.authenticator.refresh()
    await there.refuses(issued.access_token)
