"""Findings of the doctor about tokens, issuers and a user's own credentials."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from exai.auth.keys import generate, public_pem, to_jwk
from exai.cli.authority import open_authority
from exai.cli.doctor.findings import State
from exai.cli.doctor.identity import check_credentials, check_issuers, check_tokens
from exai.client.credentials_file import Credentials, write_credentials
from exai.config.sources import Loaded, load
from exai.runtime.clock import ManualClock, SystemClock

DAY = datetime(2030, 6, 1, tzinfo=UTC).timestamp()


def loaded(home: Path, mode: str, *overrides: str) -> Loaded:
    return load(
        environ={"HOME": str(home), "EXAI_DATA_DIR": str(home / "data"), "EXAI_AUTH__MODE": mode},
        config_file=None,
        overrides=overrides,
        cwd=home,
    )


async def test_local_mode_names_the_local_user(tmp_path: Path) -> None:
    (found,) = await check_tokens(loaded(tmp_path, "local"), SystemClock())
    assert found.state is State.OK
    assert "one local user" in found.message


@pytest.mark.parametrize(
    ("mode", "nobody", "somebody", "message"),
    [
        ("required", State.PROBLEM, State.OK, "no caller is accepted without a token"),
        ("optional-until 2030-06-01", State.PROBLEM, State.OK, "no caller is accepted without a token"),
        ("optional-until 2030-06-02", State.WARNING, State.WARNING, "accepted until 2030-06-02"),
    ],
)
async def test_whether_anybody_can_be_authenticated(
    tmp_path: Path, mode: str, nobody: State, somebody: State, message: str
) -> None:
    tree, clock = loaded(tmp_path, mode), ManualClock(wall=DAY)
    (empty,) = await check_tokens(tree, clock)
    assert empty.state is nobody
    assert message in empty.message
    assert "exai token create" in (empty.fix or "")
    async with open_authority(tree.settings) as authority:
        await authority.create_key("ann", "laptop")
        gone = await authority.create_key("ann", "gone")
        await authority.revoke(gone.token_id)
    (found,) = await check_tokens(tree, clock)
    assert found.state is somebody
    assert "1 of EXAI's own are active" in found.message


async def test_a_shared_secret_lets_somebody_in_and_is_not_shown(tmp_path: Path) -> None:
    secret = "c4naryc4nary5f1d2e3b4a59687f0e1d2c3b4a5968770f1e"
    (found,) = await check_tokens(loaded(tmp_path, "required", f"auth.shared_secret={secret}"), SystemClock())
    assert found.state is State.OK
    assert "the shared secret" in found.message
    assert secret not in str(found)


@pytest.fixture
async def published() -> AsyncIterator[str]:
    key = generate("ES256")
    jwk = to_jwk("one", public_pem(key))

    async def keys(_: web.Request) -> web.Response:
        return web.json_response({"keys": [jwk]})

    app = web.Application()
    app.router.add_get("/keys", keys)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_keys_of_an_issuer_that_cannot_be_fetched_are_a_problem(tmp_path: Path, published: str) -> None:
    def issuer(name: str, path: str) -> tuple[str, ...]:
        section = f"auth.issuers.{name}"
        return (f"{section}.issuer={name}", f"{section}.audience=a", f"{section}.jwks_url={published}{path}")

    tree = loaded(tmp_path, "required", *issuer("good", "/keys"), *issuer("bad", "/nothing"))
    good, bad = sorted(
        await check_issuers(tree, SystemClock()), key=lambda each: each.message, reverse=False
    )[::-1]
    by_state = {good.state: good, bad.state: bad}
    assert "good publishes 1 keys" in by_state[State.OK].message
    assert "the keys of bad cannot be fetched: the answer has status 404" in by_state[State.PROBLEM].message
    assert "`auth.issuers.bad.jwks_url`" in (by_state[State.PROBLEM].fix or "")


async def test_a_users_own_credentials(tmp_path: Path) -> None:
    clock = ManualClock(wall=DAY)
    file = tmp_path / "c.json"
    assert await check_credentials(None, clock) == []
    (missing,) = await check_credentials(file, clock)
    assert missing.state is State.PROBLEM
    assert "does not exist" in missing.message
    for credentials, state in (
        (Credentials("exk_a"), State.OK),
        (Credentials("a", "r", DAY - 1), State.OK),
        (Credentials("a", None, DAY + 1), State.OK),
        (Credentials("a", None, DAY - 1), State.PROBLEM),
    ):
        write_credentials(file, credentials)
        (found,) = await check_credentials(file, clock)
        assert found.state is state, found
