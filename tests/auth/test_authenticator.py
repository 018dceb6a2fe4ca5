"""The authenticator over a real database: what is believed, what is not, and how soon an end is known."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from exai import config
from exai.auth.authenticator import Authenticator
from exai.auth.authority import IssuedTokens
from exai.auth.jws import encoded
from exai.auth.scopes import ADMIN, MODELS, STATUS
from exai.callers import Door
from exai.errors import StoreFailed, TooManyAttempts, Unauthenticated
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.identity.rows import KeyRow, TokenRow
from exai.storage.identity.tables import IdentityTables
from support.fake_issuer import make_key
from support.forged_tokens import public_spellings
from support.gates import Gate, OpenGate

pytestmark = pytest.mark.sqlite


async def everything(gate: Gate) -> list[IssuedTokens]:
    return [
        await gate.authority.create("alice", "laptop"),
        await gate.authority.create("alice", "ci", lifetime=timedelta(days=30)),
        await gate.authority.create_key("alice", "script"),
    ]


async def test_what_is_made_is_believed_and_names_its_subject_and_scopes(open_gate: OpenGate) -> None:
    gate = await open_gate()
    for issued in await everything(gate):
        caller = await gate.admit(issued.access_token)
        assert (caller.subject, caller.scopes) == ("alice", frozenset({MODELS, STATUS}))
        assert caller.credential is not None
        assert caller.credential.token_id == issued.token_id
        assert caller.credential.expires_at == issued.expires_at
        assert gate.authenticator.end_of(caller) is None


async def test_without_a_token_the_mode_decides(open_gate: OpenGate) -> None:
    local = await (await open_gate(mode="local")).admit(None)
    assert local.may(ADMIN)
    with pytest.raises(Unauthenticated) as refusal:
        await (await open_gate()).admit(None)
    assert not refusal.value.presented


async def test_before_its_day_a_token_is_optional_and_from_then_on_required(open_gate: OpenGate) -> None:
    gate = await open_gate(mode="optional-until 2023-11-16")  # the clock stands on the 14th, 22:13 UTC
    caller = await gate.admit(None)
    assert caller.may(MODELS)
    assert not caller.may(ADMIN)
    assert gate.authenticator.end_of(caller) is None
    gate.clock.advance(86_400 + 2 * 3_600)
    with pytest.raises(Unauthenticated):
        await gate.admit(None)
    assert gate.authenticator.end_of(caller) == "expired"
    gate.clock.advance(-86_400)  # a clock that is set back opens nothing
    with pytest.raises(Unauthenticated):
        await gate.admit(None)
    assert gate.authenticator.end_of(caller) == "expired"


@pytest.mark.parametrize("mode", ["local", "optional-until 2099-01-01", "required"])
async def test_a_token_that_is_not_believed_is_refused_in_every_mode(open_gate: OpenGate, mode: str) -> None:
    gate = await open_gate(mode=mode)
    issued = await gate.authority.create("alice", "laptop")
    await gate.refuses(issued.access_token[:-8] + "AAAAAAAA")
    await gate.refuses("exk_0123456789abcdef_" + "A" * 43)
    assert (await gate.admit(issued.access_token)).subject == "alice"


async def test_every_kind_ends_when_it_is_revoked_and_an_open_socket_learns_of_it(
    open_gate: OpenGate,
) -> None:
    gate = await open_gate()
    told: list[bool] = []
    gate.authenticator.watch(lambda: told.append(True))
    for issued in await everything(gate):
        caller = await gate.admit(issued.access_token)
        await gate.authority.revoke(issued.token_id)
        told.clear()
        await gate.authenticator.refresh()
        assert told == [True]
        assert gate.authenticator.end_of(caller) == "revoked"
        await gate.refuses(issued.access_token)


async def test_a_principal_that_is_ended_loses_all_and_can_be_given_new(open_gate: OpenGate) -> None:
    gate = await open_gate()
    issued = await everything(gate)
    other = await gate.authority.create("bob", "laptop")
    assert await gate.authority.revoke_subject("alice") == 3
    await gate.authenticator.refresh()
    for old in issued:
        await gate.refuses(old.access_token)
    assert (await gate.admit(other.access_token)).subject == "bob"
    new = await gate.authority.create("alice", "laptop")
    assert (await gate.admit(new.access_token)).subject == "alice"


async def test_a_clock_that_is_set_back_makes_nothing_good_that_was_revoked(open_gate: OpenGate) -> None:
    gate = await open_gate()
    issued = await gate.authority.create("alice", "laptop")
    await gate.authority.revoke(issued.token_id)
    gate.clock.advance(2 * 3_600)
    ahead = await open_gate()
    gate.clock.advance(-2 * 3_600)
    await ahead.refuses(issued.access_token)


async def test_a_revocation_is_kept_as_long_as_what_a_clock_that_was_ahead_has_signed(
    open_gate: OpenGate,
) -> None:
    gate = await open_gate(refresh_days=90)
    first = await gate.authority.create("alice", "laptop")
    gate.clock.advance(60 * 86_400)
    ahead = await gate.authority.refresh(first.refresh_token or "")
    gate.clock.advance(-60 * 86_400)
    await gate.authority.refresh(ahead.refresh_token or "")
    await gate.authority.revoke(first.token_id)
    gate.clock.advance(40 * 86_400)
    await gate.authority.prune()
    gate.clock.advance(20 * 86_400)
    await (await open_gate()).refuses(ahead.access_token)


async def test_a_token_is_over_at_its_time(open_gate: OpenGate) -> None:
    gate = await open_gate()
    issued = await gate.authority.create("alice", "laptop", lifetime=timedelta(seconds=5))
    caller = await gate.admit(issued.access_token)
    gate.clock.advance(4.9)
    assert gate.authenticator.end_of(caller) is None
    gate.clock.advance(0.1)
    assert gate.authenticator.end_of(caller) == "expired"
    await gate.refuses(issued.access_token)


async def test_an_address_that_guesses_gets_429_while_good_tokens_pass(open_gate: OpenGate) -> None:
    gate = await open_gate(failures_per_minute=3)
    known = await gate.authority.create_key("alice", "laptop")
    await gate.admit(known.access_token)
    gate.clock.advance(601)  # met too long ago to be remembered
    for _ in range(3):
        await gate.refuses("guess")
    with pytest.raises(TooManyAttempts) as refusal:
        await gate.admit("guess")
    assert 0 < refusal.value.retry_after_s <= 60
    for good in (known, *await everything(gate)):
        assert (await gate.admit(good.access_token)).subject == "alice", "it only shares an address"
    gate.address = "127.0.0.2"
    await gate.refuses("guess")
    gate.address = "127.0.0.1"
    gate.clock.advance(60)
    await gate.refuses("guess")


async def test_genuine_tokens_that_are_over_are_no_guesses(open_gate: OpenGate) -> None:
    gate = await open_gate(failures_per_minute=2)
    expired = await gate.authority.create("alice", "old", lifetime=timedelta(seconds=1))
    revoked = await gate.authority.create_key("alice", "revoked")
    long_revoked = await gate.authority.create_key("alice", "revoked long ago")
    await gate.authority.revoke(long_revoked.token_id)
    gate.clock.advance(2 * 86_400)
    await gate.authority.revoke(revoked.token_id)
    good = await gate.authority.create("alice", "new")
    again = await open_gate(failures_per_minute=2)  # it has met none of them
    for _ in range(5):
        for over in (expired, revoked, long_revoked):
            await again.refuses(over.access_token)
    assert (await again.admit(good.access_token)).subject == "alice"


async def test_a_network_that_has_many_addresses_is_one_that_guesses(open_gate: OpenGate) -> None:
    gate = await open_gate(failures_per_minute=3)
    for number in range(3):
        gate.address = f"2001:db8:1:2::{number}"
        await gate.refuses("guess")
    gate.address = "2001:db8:1:2:ffff::9"
    with pytest.raises(TooManyAttempts):
        await gate.admit("guess")
    gate.address = "2001:db8:1:3::1"
    await gate.refuses("guess")
    for gate.address in ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"):
        await gate.refuses("guess")
    with pytest.raises(TooManyAttempts):
        await gate.admit("guess")


async def test_two_authorization_headers_are_none(open_gate: OpenGate) -> None:
    gate = await open_gate(mode="local")
    token = (await gate.authority.create("alice", "laptop")).access_token.encode()
    good = (b"authorization", b"Bearer " + token)
    assert (await gate.authenticator.authenticate([good], door=Door.HTTP, address="::1")).subject == "alice"
    other_spelling = [(b"Authorization", b"bEaReR   " + token + b" ")]
    assert (
        await gate.authenticator.authenticate(other_spelling, door=Door.HTTP, address="::1")
    ).subject == "alice"
    for headers in (
        [good, good],
        [good, (b"authorization", b"")],
        [(b"authorization", b"Basic " + token)],
        [(b"authorization", token)],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearer\t" + token)],
        [(b"authorization", b"Bearer " + token + b",x")],
        [(b"authorization", b"")],
    ):
        with pytest.raises(Unauthenticated) as refusal:
            await gate.authenticator.authenticate(headers, door=Door.HTTP, address="::1")
        assert refusal.value.presented


async def test_no_bytes_at_random_come_in_or_break_anything(open_gate: OpenGate) -> None:
    gate = await open_gate(mode="local", failures_per_minute=1_000_000)
    source = random.Random(7)
    for number in range(2_000):
        content = source.randbytes(source.randrange(60))
        prefix = source.choice([b"", b"Bearer ", b"Bearer exk_", b"Bearer eyJ", b"bearer  "])
        with pytest.raises(Unauthenticated):
            await gate.authenticator.authenticate(
                [(b"authorization", prefix + content)], door=Door.HTTP, address=str(number)
            )


async def test_a_broken_key_in_the_database_verifies_nothing_and_hurts_no_other(
    open_gate: OpenGate, database: Database
) -> None:
    rsa_key = public_spellings(make_key("RS256"))[0].decode()
    for kid, public in (("broken", "-----BEGIN PUBLIC KEY-----"), ("of-another-kind", rsa_key)):
        await IdentityTables(database).add_key(KeyRow(kid, "ES256", public, datetime.now(UTC)))
    gate = await open_gate()
    issued = await gate.authority.create("alice", "laptop")
    await gate.admit(issued.access_token)
    head = encoded(b'{"alg":"ES256","typ":"at+jwt","kid":"broken"}')
    await gate.refuses(f"{head}.{issued.access_token.partition('.')[2]}")
    assert len((await gate.authority.jwks())["keys"]) == 1


async def test_a_new_token_disturbs_nobody_who_is_in(open_gate: OpenGate) -> None:
    gate = await open_gate()
    await gate.authority.create("alice", "laptop")
    await gate.authenticator.refresh()
    told: list[bool] = []
    gate.authenticator.watch(lambda: told.append(True))
    token = await gate.authority.create("alice", "desk")
    key = await gate.authority.create_key("alice", "script")
    await gate.authority.refresh(token.refresh_token or "")
    await gate.authenticator.refresh()
    assert told == []
    await gate.authority.rotate(key.token_id)
    await gate.authenticator.refresh()
    assert told == [True]


class Unreliable(IdentityTables):
    """Tables whose database is away at times."""

    away = False

    async def revision(self) -> int:
        self._reach()
        return await super().revision()

    async def token(self, token_id: str) -> TokenRow | None:
        self._reach()
        return await super().token(token_id)

    def _reach(self) -> None:
        if self.away:
            raise StoreFailed("away")


async def test_while_the_database_is_away_what_is_known_stays_good_and_revocations_arrive_later(
    open_gate: OpenGate, database: Database
) -> None:
    there = await open_gate()
    tables = Unreliable(database)
    auth = config.Auth.model_validate({"mode": "required", "failures_per_minute": 2})
    await there.authority.create("alice", "first")
    here = Gate(await Authenticator.open(auth, tables, there.clock), there.authority, there.clock)
    known = await there.authority.create_key("alice", "known")
    caller = await here.admit(known.access_token)
    unknown = await there.authority.create_key("alice", "unknown")
    signed = await there.authority.create("alice", "signed")
    tables.away = True
    await there.authority.revoke(known.token_id)
    with pytest.raises(StoreFailed):
        await here.authenticator.follow()
    assert (await here.admit(known.access_token)).subject == "alice"
    assert (await here.admit(signed.access_token)).subject == "alice"
    for _ in range(3):
        with pytest.raises(StoreFailed):
            await here.admit(unknown.access_token)
    tables.away = False
    await here.authenticator.follow()
    assert here.authenticator.end_of(caller) is not None
    await here.refuses(known.access_token)
    assert (await here.admit(unknown.access_token)).subject == "alice"


async def test_the_day_from_which_tokens_are_required_is_felt_while_the_database_is_away(
    database: Database,
) -> None:
    clock = ManualClock(wall=datetime(2030, 1, 1, 23, 59, 59, tzinfo=UTC).timestamp())
    tables = Unreliable(database)
    auth = config.Auth.model_validate({"mode": "optional-until 2030-01-02"})
    authenticator = await Authenticator.open(auth, tables, clock)
    changes: list[None] = []
    authenticator.watch(lambda: changes.append(None))
    tables.away = True
    with pytest.raises(StoreFailed):
        await authenticator.follow()
    assert changes == []
    clock.advance(1)
    for _ in range(2):
        with pytest.raises(StoreFailed):
            await authenticator.follow()
    assert changes == [None]
