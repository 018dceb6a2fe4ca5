"""The authority over a real database: renewing without losing anything, rotating, what is kept and what is not."""

import asyncio
import base64
import json
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sqlalchemy import text

from exai import config
from exai.auth.authority import Authority
from exai.auth.keys import generate
from exai.errors import InvalidGrant, StoreFailed, TokenRefused, UnknownToken
from exai.runtime.clock import ManualClock
from exai.runtime.private_files import replace_private
from exai.storage.database import Database
from exai.storage.identity import tokens
from exai.storage.identity.rows import Added, RefreshRow, TokenRow
from exai.storage.identity.tables import IdentityTables
from support.gates import Gate, OpenGate

pytestmark = pytest.mark.sqlite


async def renewed(gate: Gate, refresh_token: str | None) -> tuple[str, str]:
    assert refresh_token is not None
    issued = await gate.authority.refresh(refresh_token)
    assert issued.refresh_token is not None
    return issued.access_token, issued.refresh_token


async def test_a_refresh_token_gives_new_tokens_of_the_same_right(open_gate: OpenGate) -> None:
    gate = await open_gate()
    first = await gate.authority.create("alice", "laptop", ["tools:models"])
    gate.clock.advance(3_000)
    access_token, refresh_token = await renewed(gate, first.refresh_token)
    assert refresh_token != first.refresh_token
    gate.clock.advance(1_000)
    await gate.refuses(first.access_token)
    caller = await gate.admit(access_token)
    assert (caller.subject, caller.scopes) == ("alice", frozenset({"tools:models"}))
    assert caller.credential is not None
    assert caller.credential.token_id == first.token_id


async def test_an_answer_that_was_lost_costs_nothing(open_gate: OpenGate) -> None:
    gate = await open_gate()
    first = await gate.authority.create("alice", "laptop")
    await renewed(gate, first.refresh_token)
    _, kept = await renewed(gate, first.refresh_token)
    _, last = await renewed(gate, kept)
    await renewed(gate, last)


@pytest.mark.parametrize("used", ["refresh token", "access token"])
async def test_a_refresh_token_used_after_its_successor_ends_everything(
    open_gate: OpenGate, used: str, database: Database
) -> None:
    gate = await open_gate()
    first = await gate.authority.create("alice", "laptop")
    access_token, refresh_token = await renewed(gate, first.refresh_token)
    if used == "refresh token":
        access_token, refresh_token = await renewed(gate, refresh_token)
    else:
        await gate.admit(access_token)
    with pytest.raises(InvalidGrant):
        await renewed(gate, first.refresh_token)
    await gate.authenticator.refresh()
    await gate.refuses(access_token)
    with pytest.raises(InvalidGrant):
        await renewed(gate, refresh_token)
    assert (await gate.authority.listing())[0].state == "revoked"


async def test_a_successor_that_was_lost_is_spent_once_another_is_used(open_gate: OpenGate) -> None:
    gate = await open_gate()
    first = await gate.authority.create("alice", "laptop")
    _, lost = await renewed(gate, first.refresh_token)
    access_token, _ = await renewed(gate, first.refresh_token)
    await gate.admit(access_token)
    with pytest.raises(InvalidGrant):
        await renewed(gate, lost)
    assert (await gate.authority.listing())[0].state == "revoked"


async def test_one_that_is_shown_again_and_again_leaves_a_bounded_number_of_successors(
    open_gate: OpenGate, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MOST_SUCCESSORS", 3)
    gate = await open_gate()
    first = await gate.authority.create("alice", "laptop")
    pairs = []
    for _ in range(7):
        gate.clock.advance(1)
        pairs.append(await renewed(gate, first.refresh_token))
    count = text("SELECT count(*) FROM refresh_tokens")
    assert await database.read(lambda connection: connection.scalar(count)) == 3 + 1
    with pytest.raises(InvalidGrant):
        await renewed(gate, pairs[0][1])
    await renewed(gate, first.refresh_token)
    access_token, refresh_token = await renewed(gate, pairs[-1][1])
    await gate.admit(access_token)
    await renewed(gate, refresh_token)


async def test_many_renew_at_once_and_nothing_is_lost(open_gate: OpenGate) -> None:
    gate = await open_gate()
    first = await gate.authority.create("alice", "laptop")
    pairs = await asyncio.gather(*(renewed(gate, first.refresh_token) for _ in range(20)))
    assert len({refresh_token for _, refresh_token in pairs}) == 20
    for access_token, _ in pairs:
        await gate.admit(access_token)


async def test_a_client_that_was_away_too_long_gets_nothing(open_gate: OpenGate) -> None:
    gate = await open_gate(refresh_days=2)
    first = await gate.authority.create("alice", "laptop")
    gate.clock.advance(86_400 * 1.9)
    _, second = await renewed(gate, first.refresh_token)
    gate.clock.advance(86_400 * 1.9)
    _, third = await renewed(gate, second)
    gate.clock.advance(86_400 * 2)
    with pytest.raises(InvalidGrant):
        await renewed(gate, third)
    assert (await gate.authority.listing())[0].state == "expired"


async def test_what_is_no_refresh_token_gets_nothing(open_gate: OpenGate) -> None:
    gate = await open_gate()
    issued = await gate.authority.create("alice", "laptop")
    key = await gate.authority.create_key("alice", "script")
    good = issued.refresh_token or ""
    others = [
        "",
        "x",
        issued.access_token,
        key.access_token,
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good + " ",
    ]
    for other in others:
        with pytest.raises(InvalidGrant) as refusal:
            await gate.authority.refresh(other)
        assert not refusal.value.genuine
    await gate.authority.revoke(issued.token_id)
    with pytest.raises(InvalidGrant) as refusal:
        await gate.authority.refresh(good)
    assert refusal.value.genuine
    assert (await gate.admit(key.access_token)).subject == "alice"


class Overtaken(IdentityTables):
    """Between the making of a token and its being kept, whatever its principal has is ended."""

    async def add(self, token: TokenRow, refresh: RefreshRow | None, *, replaces: str | None = None) -> Added:
        if await self.epoch(token.subject) is None:
            await self.revoke_subject(token.subject, token.created_at)
        return await super().add(token, refresh, replaces=replaces)


async def test_a_token_made_while_its_principal_is_ended_is_made_after_that_or_not_at_all(
    open_gate: OpenGate, database: Database, tmp_path: Path
) -> None:
    gate = await open_gate()
    authority = Authority(config.Auth(), Overtaken(database), tmp_path, gate.clock)
    token = await authority.create("alice", "laptop")
    key = await authority.create_key("bob", "script")
    for issued in (token, key):
        assert (await (await open_gate()).admit(issued.access_token)).credential is not None
    assert await renewed(gate, token.refresh_token)
    assert [row.state for row in await authority.listing()] == ["active", "active"]
    carol = await gate.authority.create("carol", "laptop")
    with pytest.raises(UnknownToken):
        await authority.rotate(carol.token_id)


async def test_what_a_clock_that_is_behind_renews_is_good(open_gate: OpenGate) -> None:
    gate = await open_gate()
    gate.clock.advance(1_000)
    await gate.authority.revoke_subject("alice")
    first = await gate.authority.create("alice", "laptop")
    gate.clock.advance(-1_000)
    access_token, _ = await renewed(gate, first.refresh_token)
    gate.clock.advance(1_000)
    await (await open_gate()).admit(access_token)


async def test_a_token_of_an_issuer_that_there_is_not_is_not_said_to_be_revoked(open_gate: OpenGate) -> None:
    gate = await open_gate()
    with pytest.raises(TokenRefused, match="no issuer"):
        await gate.authority.revoke("their-jti", issuer="keycloak")
    await gate.authority.revoke("their-jti", issuer="shared")


async def test_a_refresh_token_opens_no_door(open_gate: OpenGate) -> None:
    gate = await open_gate()
    issued = await gate.authority.create("alice", "laptop")
    await gate.refuses(issued.refresh_token or "")


async def test_rotating_a_token_makes_one_like_it_and_ends_the_old(open_gate: OpenGate) -> None:
    gate = await open_gate()
    for old in (
        await gate.authority.create("alice", "laptop", ["files"]),
        await gate.authority.create("alice", "ci", lifetime=timedelta(days=9)),
        await gate.authority.create_key("alice", "script", lifetime=timedelta(days=7)),
    ):
        new = await gate.authority.rotate(old.token_id)
        assert (new.kind, new.name, new.subject, new.scopes) == (old.kind, old.name, old.subject, old.scopes)
        assert new.expires_at == old.expires_at
        await gate.authenticator.refresh()
        await gate.refuses(old.access_token)
        await gate.admit(new.access_token)
        with pytest.raises(UnknownToken):
            await gate.authority.rotate(old.token_id)


async def test_after_a_rotation_of_keys_two_verify_and_the_older_one_ends_with_its_last_token(
    open_gate: OpenGate, tmp_path: Path
) -> None:
    gate = await open_gate()
    old = await gate.authority.create("alice", "laptop", lifetime=timedelta(hours=3))
    first = (await gate.authority.keys())[0]
    summary = await gate.authority.rotate_keys(algorithm="EdDSA")
    assert (summary.algorithm, summary.state) == ("EdDSA", "signs")
    new = await gate.authority.create("alice", "desk")
    await gate.authenticator.refresh()
    for issued in (old, new):
        await gate.admit(issued.access_token)
    published = {key["kid"]: key for key in (await gate.authority.jwks())["keys"]}
    assert {kid: key["kty"] for kid, key in published.items()} == {summary.kid: "OKP", first.kid: "EC"}
    assert "d" not in {name for key in published.values() for name in key}
    assert [file.stem for file in (tmp_path / "keys").iterdir()] == [summary.kid]
    gate.clock.advance(3 * 3_600 - 1)
    await (await open_gate()).admit(old.access_token)
    gate.clock.advance(62)
    assert [key["kid"] for key in (await gate.authority.jwks())["keys"]] == [summary.kid]


async def test_a_key_that_was_stolen_is_ended_at_once_with_all_that_it_signed(open_gate: OpenGate) -> None:
    gate = await open_gate()
    old = await gate.authority.create("alice", "laptop")
    caller = await gate.admit(old.access_token)
    gate.clock.advance(120)
    await gate.authority.rotate_keys(at_once=True)
    await gate.authenticator.refresh()
    assert gate.authenticator.end_of(caller) == "revoked"
    await gate.refuses(old.access_token)
    access_token, _ = await renewed(gate, old.refresh_token)
    await gate.admit(access_token)
    gate.clock.advance(-60)  # a clock that is set back lets it verify nothing again
    await (await open_gate()).refuses(old.access_token)


async def test_keys_are_replaced_in_one_step(
    open_gate: OpenGate, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = await open_gate()
    await gate.authority.create("alice", "laptop")
    write, written = database.write, []

    async def noted(operation: Any, parameters: Any) -> Any:
        written.append(operation)
        return await write(operation, parameters)

    monkeypatch.setattr(database, "write", noted)
    await gate.authority.rotate_keys(at_once=True)
    assert len(written) == 1, "a crash between two would leave a stolen key in force"
    assert [row.state for row in await gate.authority.keys()].count("signs") == 1


async def test_private_keys_that_a_crash_left_are_deleted(open_gate: OpenGate, tmp_path: Path) -> None:
    gate = await open_gate()
    await gate.authority.create("alice", "laptop")
    folder = tmp_path / "keys"
    [signs] = folder.iterdir()
    now = gate.clock.wall()
    for name, age_s in {"0" * 24: 7_200, "1" * 24: 60, "my-own": 7_200}.items():
        file = folder / f"{name}.pem"
        replace_private(file, "left")
        os.utime(file, (now - age_s, now - age_s))
    await gate.authority.delete_retired_keys()
    assert {file.stem for file in folder.iterdir()} == {signs.stem, "1" * 24, "my-own"}


async def test_private_keys_are_files_for_their_owner_alone(open_gate: OpenGate, tmp_path: Path) -> None:
    gate = await open_gate()
    await gate.authority.create("alice", "laptop")
    folder = tmp_path / "keys"
    [file] = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _pem(key: Any) -> bytes:
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    content: bytes = key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)
    return content


UNUSABLE = {
    "a folder": None,
    "nothing": b"",
    "no key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "another key": _pem(generate("ES256")),
    "a key of another kind": _pem(generate("EdDSA")),
    "a key of another curve": _pem(ec.generate_private_key(ec.SECP384R1())),
    "a key that EXAI does not sign with": _pem(rsa.generate_private_key(65_537, 2_048)),
}


async def test_a_key_that_cannot_be_used_is_replaced_by_one_of_our_own(
    open_gate: OpenGate, tmp_path: Path
) -> None:
    gate = await open_gate()
    made = [await gate.authority.create("alice", "laptop")]
    for content in UNUSABLE.values():
        for file in (tmp_path / "keys").iterdir():
            if file.is_file():
                file.unlink()
                if content is None:
                    file.mkdir()
                else:
                    replace_private(file, "")
                    file.write_bytes(content)
        again = await open_gate()
        made.append(await again.authority.create("alice", "desk"))
        for issued in made:
            await again.admit(issued.access_token)
    assert len(await gate.authority.keys()) == len(UNUSABLE) + 1


async def test_a_key_that_others_can_read_signs_no_more(open_gate: OpenGate, tmp_path: Path) -> None:
    first = await (await open_gate()).authority.create("alice", "laptop")
    [file] = (tmp_path / "keys").iterdir()
    file.chmod(0o640)
    gate = await open_gate()
    access_token, _ = await renewed(gate, first.refresh_token)
    assert _kid(first.access_token) == file.stem
    assert _kid(access_token) != file.stem
    assert {summary.kid for summary in await gate.authority.keys()} == {file.stem, _kid(access_token)}
    for token in (first.access_token, access_token):
        await gate.admit(token)


async def test_a_folder_that_takes_no_key_is_a_passing_fault_that_names_no_path(
    open_gate: OpenGate, tmp_path: Path
) -> None:
    gate = await open_gate()
    (tmp_path / "keys").touch()
    with pytest.raises(StoreFailed, match="`keys` of `data_dir`") as caught:
        await gate.authority.create("alice", "laptop")
    assert str(tmp_path) not in str(caught.value)
    assert await gate.authority.listing() == []
    (tmp_path / "keys").unlink()
    await gate.admit((await gate.authority.create("alice", "laptop")).access_token)


def _kid(token: str) -> str:
    head = token.partition(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return kid


async def test_replicas_with_keys_of_their_own_verify_one_another(
    open_gate: OpenGate, tmp_path: Path
) -> None:
    here = await open_gate()
    first = await here.authority.create("alice", "laptop")
    for file in (tmp_path / "keys").iterdir():
        file.unlink()
    there = await open_gate()
    second = await there.authority.create("alice", "desk")
    assert len(await there.authority.keys()) == 2
    for gate in (here, there):
        for issued in (first, second):
            await gate.admit(issued.access_token)


async def test_the_database_holds_no_secret(open_gate: OpenGate, database: Database) -> None:
    gate = await open_gate()
    issued = await gate.authority.create("alice", "laptop")
    key = await gate.authority.create_key("alice", "script")
    held = await database.read(
        lambda connection: str(
            [
                list(connection.execute(text(f"SELECT * FROM {table}")))
                for table in ("tokens", "refresh_tokens", "signing_keys")
            ]
        )
    )
    secrets = [
        issued.access_token.rpartition(".")[2],
        *(t.split("_", 2)[2] for t in (issued.refresh_token or "", key.access_token)),
    ]
    assert [secret for secret in secrets if secret in held] == []
    assert "PRIVATE" not in held
    shown = repr((issued, key))
    assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.parametrize(
    ("subject", "name", "scopes", "lifetime"),
    [
        ("", "n", None, None),
        ("keycloak:alice", "n", None, None),
        ("ali\nce", "n", None, None),
        ("alice ", "n", None, None),
        ("alice", " ", None, None),
        ("alice", "", None, None),
        ("alice", "n", [], None),
        ("alice", "n", ["tools:everything"], None),
        ("alice", "n", None, timedelta(0)),
        ("alice", "n", None, timedelta(days=400)),
    ],
)
async def test_what_cannot_be_is_not_made(
    open_gate: OpenGate, subject: str, name: str, scopes: list[str] | None, lifetime: timedelta | None
) -> None:
    gate = await open_gate()
    with pytest.raises(TokenRefused):
        await gate.authority.create(subject, name, scopes, lifetime)
    with pytest.raises(TokenRefused):
        await gate.authority.create_key(subject, name, scopes, lifetime)
    assert await gate.authority.listing() == []


async def test_what_is_long_over_is_dropped(open_gate: OpenGate) -> None:
    gate = await open_gate()
    await gate.authority.create("alice", "laptop")
    revoked = await gate.authority.create_key("alice", "old script")
    await gate.authority.revoke(revoked.token_id)
    key = await gate.authority.create_key("alice", "script")
    gate.clock.advance(86_400 * 61)
    assert await gate.authority.prune() == 2
    assert [row.token_id for row in await gate.authority.listing()] == [key.token_id]


async def test_the_listing_shows_which_tokens_are_used(open_gate: OpenGate) -> None:
    gate = await open_gate()
    key = await gate.authority.create_key("alice", "script")
    token = await gate.authority.create("alice", "laptop")
    unused = await gate.authority.create("alice", "forgotten")
    gate.clock.advance(60)
    for issued in (key, token):
        await gate.admit(issued.access_token)
    await gate.authority.prune()  # a write that comes later is committed later
    used = {row.token_id: row.last_used_at for row in await gate.authority.listing()}
    assert used.pop(unused.token_id) is None
    assert {moment and moment.timestamp() for moment in used.values()} == {gate.clock.wall()}
    assert (await gate.authority.rotate(key.token_id)).token_id not in used


async def test_a_new_token_is_handed_over_although_the_notification_failed(
    database: Database, tmp_path: Path
) -> None:
    async def away() -> None:
        raise StoreFailed("away")

    authority = Authority(config.Auth(), IdentityTables(database), tmp_path, ManualClock(), changed=away)
    issued = await authority.create("alice", "laptop")
    assert (await authority.refresh(issued.refresh_token or "")).access_token
    await authority.revoke(issued.token_id)
    assert [row.state for row in await authority.listing()] == ["revoked"]


async def test_an_access_token_lives_as_long_as_the_setting_says(open_gate: OpenGate) -> None:
    gate = await open_gate(access_minutes=5, leeway_s=10)
    issued = await gate.authority.create("alice", "laptop", ["tools:models"])
    gate.clock.advance(299)
    await gate.admit(issued.access_token)
    gate.clock.advance(12)
    await gate.refuses(issued.access_token)
    access_token, _ = await renewed(gate, issued.refresh_token)
    gate.clock.advance(299)
    await gate.admit(access_token)
