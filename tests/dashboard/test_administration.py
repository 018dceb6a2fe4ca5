"""Tokens and keys over HTTP: what is made works, what is ended does not, and nobody gives himself more."""

from collections.abc import Awaitable, Callable

import pytest

from exai.auth.scopes import ADMIN, DASHBOARD, DEFAULT_SCOPES, STATUS
from support.operations_ports import Port, Reply

OpenPort = Callable[..., Awaitable[Port]]


@pytest.fixture
async def port(open_port: OpenPort) -> Port:
    return await open_port()


@pytest.fixture
async def admin(port: Port) -> str:
    return (await port.authority.create_key("root", "admin", [ADMIN])).access_token


async def create(port: Port, admin: str, **asked: object) -> Reply:
    return await port.ask("POST", "/api/tokens", token=admin, json_body=asked)


async def may_look(port: Port, token: str) -> int:
    return (await port.ask("GET", "/api/overview", token=token)).status


async def test_a_token_is_made_shown_once_and_works(port: Port, admin: str) -> None:
    made = await create(port, admin, subject="alice", name="laptop", scopes=[DASHBOARD])
    assert made.status == 201
    told = made.json
    assert (told["kind"], told["subject"], told["scopes"]) == ("renewable", "alice", [DASHBOARD])
    assert told["refresh_token"].startswith("exr_")
    assert told["expires_at"] == port.clock.wall() + 3_600
    assert await may_look(port, told["access_token"]) == 200
    listing = await port.ask("GET", "/api/tokens", token=admin)
    row = next(each for each in listing.json["tokens"] if each["token_id"] == told["token_id"])
    assert (row["name"], row["state"], row["scopes"]) == ("laptop", "active", [DASHBOARD])
    assert told["access_token"] not in listing.body.decode()
    assert told["refresh_token"] not in listing.body.decode()


async def test_kind_lifetime_and_renewal_are_as_asked_for(port: Port, admin: str) -> None:
    plain = (await create(port, admin, subject="alice", name="ci", minutes=5)).json
    assert (plain["kind"], plain["refresh_token"]) == ("token", None)
    assert plain["expires_at"] == port.clock.wall() + 300
    assert set(plain["scopes"]) == DEFAULT_SCOPES
    renewed = (await create(port, admin, subject="alice", name="ci", minutes=5, renewable=True)).json
    assert renewed["refresh_token"] is not None
    key = (await create(port, admin, subject="alice", name="script", kind="key", scopes=[DASHBOARD])).json
    assert (key["kind"], key["expires_at"]) == ("key", None)
    assert await may_look(port, key["access_token"]) == 200


async def test_what_is_revoked_is_over_at_once(port: Port, admin: str) -> None:
    made = (await create(port, admin, subject="alice", name="a", scopes=[DASHBOARD])).json
    assert (await port.ask("DELETE", f"/api/tokens/{made['token_id']}", token=admin)).status == 204
    assert await may_look(port, made["access_token"]) == 401
    unknown = await port.ask("DELETE", f"/api/tokens/{made['token_id']}", token=admin)
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "unknown_token")
    other = (await create(port, admin, subject="alice", name="b", scopes=[DASHBOARD])).json
    body = {"token_id": other["token_id"]}
    assert (await port.ask("POST", "/api/revocations/token", token=admin, json_body=body)).status == 204
    assert await may_look(port, other["access_token"]) == 401
    for issuer, status in (("shared", 204), ("keycloak", 400)):
        foreign = {"token_id": "their-jti", "issuer": issuer}
        answer = await port.ask("POST", "/api/revocations/token", token=admin, json_body=foreign)
        assert answer.status == status


async def test_everything_of_a_principal_is_ended_and_nothing_of_another(port: Port, admin: str) -> None:
    alices = [
        (await create(port, admin, subject="alice", name="a", scopes=[DASHBOARD])).json for _ in range(2)
    ]
    bobs = (await create(port, admin, subject="bob", name="b", scopes=[DASHBOARD])).json
    body = {"subject": "alice"}
    ended = await port.ask("POST", "/api/revocations/subject", token=admin, json_body=body)
    assert (ended.status, ended.json) == (200, {"tokens_ended": 2})
    assert [await may_look(port, each["access_token"]) for each in alices] == [401, 401]
    assert await may_look(port, bobs["access_token"]) == 200


async def test_a_rotated_token_is_replaced_by_one_of_its_kind(port: Port, admin: str) -> None:
    old = (await create(port, admin, subject="alice", name="script", kind="key", scopes=[DASHBOARD])).json
    answer = await port.ask("POST", f"/api/tokens/{old['token_id']}/rotate", token=admin)
    assert answer.status == 201
    new = answer.json
    assert (new["kind"], new["subject"], new["scopes"]) == ("key", "alice", [DASHBOARD])
    assert await may_look(port, old["access_token"]) == 401
    assert await may_look(port, new["access_token"]) == 200
    assert (await port.ask("POST", "/api/tokens/nonsense/rotate", token=admin)).status == 404


async def test_signing_keys_rotate_and_what_the_old_one_signed_goes_on_unless_ended_at_once(
    port: Port, admin: str
) -> None:
    made = (await create(port, admin, subject="alice", name="a", scopes=[DASHBOARD])).json
    (first,) = (await port.ask("GET", "/api/keys", token=admin)).json["keys"]
    turned = await port.ask("POST", "/api/keys/rotate", token=admin, json_body={"algorithm": "EdDSA"})
    assert (turned.status, turned.json["algorithm"], turned.json["state"]) == (201, "EdDSA", "signs")
    keys = (await port.ask("GET", "/api/keys", token=admin)).json["keys"]
    assert {each["kid"]: each["state"] for each in keys} == {
        turned.json["kid"]: "signs",
        first["kid"]: "verifies",
    }
    assert "private" not in str(keys).lower()
    assert await may_look(port, made["access_token"]) == 200
    await port.ask("POST", "/api/keys/rotate", token=admin, json_body={"at_once": True})
    assert await may_look(port, made["access_token"]) == 401


CANNOT_BE: list[dict[str, object]] = [
    {"name": "a"},
    {"subject": "alice"},
    {"subject": "alice", "name": "a", "scopes": ["*"]},
    {"subject": "alice", "name": "a", "scopes": ["admin", "everything"]},
    {"subject": "alice", "name": "a", "scopes": "admin"},
    {"subject": "keycloak:alice", "name": "a"},
    {"subject": "", "name": "a"},
    {"subject": "a\nb", "name": "a"},
    {"subject": "alice", "name": "a", "minutes": 0},
    {"subject": "alice", "name": "a", "minutes": -5},
    {"subject": "alice", "name": "a", "minutes": 1e300},
    {"subject": "alice", "name": "a", "minutes": "60"},
    {"subject": "alice", "name": "a", "kind": "admin"},
    {"subject": "alice", "name": "a", "token_id": "chosen"},
    {"subject": "alice", "name": "a", "expires_at": 9e9},
    {"subject": "alice", "name": "a", "access_token": "mine"},
    {"subject": "alice", "name": "a", "iss": "keycloak"},
]


async def test_what_cannot_be_made_is_refused_and_nothing_is_kept(port: Port, admin: str) -> None:
    for asked in CANNOT_BE:
        answer = await create(port, admin, **asked)
        assert answer.status == 400, (asked, answer.body)
    assert len((await port.ask("GET", "/api/tokens", token=admin)).json["tokens"]) == 1


async def test_whoever_may_not_administer_gets_nothing_by_asking(port: Port, admin: str) -> None:
    agent = (await create(port, admin, subject="alice", name="agent", scopes=[STATUS, DASHBOARD])).json
    before = len((await port.ask("GET", "/api/tokens", token=admin)).json["tokens"])
    refused = await create(port, agent["access_token"], subject="alice", name="more", scopes=[ADMIN])
    assert refused.status == 403
    rotated = await port.ask("POST", f"/api/tokens/{agent['token_id']}/rotate", token=agent["access_token"])
    assert rotated.status == 403
    assert len((await port.ask("GET", "/api/tokens", token=admin)).json["tokens"]) == before
