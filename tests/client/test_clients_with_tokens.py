"""`exai connect` and `exai.client` before a daemon that wants tokens: refreshed, resumed, refused, mended."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from client.test_bridge import HANDSHAKE, bridge
from exai.auth.authority import Authority, IssuedTokens
from exai.cli.authority import open_authority
from exai.client import CallFailed, Unauthenticated, connect
from exai.client.credentials_file import Credentials, read_credentials, write_credentials
from exai.config import Settings
from exai_emulator import Emulator, EmulatorOptions, Fault, Persona, running
from support.daemons import Daemon, daemon
from support.emulated import provider_environment
from support.tcp_proxy import TcpProxy, tcp_proxy
from support.waiting import wait_until

UNAUTHENTICATED = -32006
SOON_S = 30
LIFE = timedelta(seconds=3)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Services:
    """A daemon that wants tokens, who makes them, and the providers it asks."""

    daemon: Daemon
    authority: Authority
    emulator: Emulator
    glm: TcpProxy
    """Between the daemon and the emulated GLM."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    data_dir = tmp_path_factory.mktemp("services") / "data"
    async with running(EmulatorOptions()) as emulator, tcp_proxy(emulator.addresses.glm) as (glm, glm_url):
        environ = {
            **provider_environment(emulator),
            "EXAI_PROVIDERS__GLM__BASE_URL": glm_url,
            "EXAI_AUTH__MODE": "required",
        }
        async with (
            daemon(data_dir=data_dir, environ=environ) as started,
            open_authority(Settings.model_validate({"data_dir": data_dir})) as authority,
        ):
            yield Services(started, authority, emulator, glm)


@pytest.fixture(autouse=True)
def _as_at_first(services: Services) -> None:
    services.emulator.persona = Persona()
    services.emulator.faults.clear()
    services.emulator.log.clear()


def save(file: Path, issued: IssuedTokens) -> Path:
    write_credentials(file, Credentials(issued.access_token, issued.refresh_token, issued.expires_at))
    return file


async def test_a_call_outlives_its_tokens_and_is_answered_once(services: Services, tmp_path: Path) -> None:
    daemon, authority, emulator = services.daemon, services.authority, services.emulator
    emulator.persona = Persona(kind="long", tokens=100)
    file = save(tmp_path / "c.json", await authority.create("ann", "laptop", lifetime=LIFE, renewable=True))
    first = read_credentials(file)
    # By this date the token would last: that it is over, only the daemon's 4401 says.
    assert first.expires_at is not None
    write_credentials(file, replace(first, expires_at=first.expires_at + 3600))
    async with bridge(daemon.mcp_ws, "--credentials", str(file)) as editor:
        await editor.initialize()
        services.glm.answers_flow.clear()
        call = asyncio.ensure_future(editor.call(1, "chat", {"prompt": "A story.", "model": "glm-5.3"}))
        tokens = {first.access_token}

        def three_tokens_seen() -> bool:
            tokens.add(read_credentials(file).access_token)
            return len(tokens) == 3

        await wait_until(three_tokens_seen, within=60, what="the token is refreshed twice")
        assert not call.done()
        services.glm.answers_flow.set()
        answer = await call
        pieces = [
            each["params"]["_meta"]["exai/delta"]
            for each in editor.notifications
            if each["params"]["_meta"]["exai/kind"] == "text"
        ]
        assert "".join(pieces) == answer["result"]["structuredContent"]["answer"]
    assert len(emulator.log.of("glm")) == 1
    assert read_credentials(file).access_token != first.access_token
    assert first.access_token not in daemon.log


async def test_several_clients_share_a_file_through_many_refreshes(
    services: Services, tmp_path: Path
) -> None:
    daemon, authority = services.daemon, services.authority
    issued = await authority.create("ann", "laptop", lifetime=LIFE, renewable=True)
    file = save(tmp_path / "c.json", issued)
    async with (
        bridge(daemon.mcp_ws, "--credentials", str(file)) as one,
        bridge(daemon.mcp_ws, "--credentials", str(file)) as other,
        connect(daemon.mcp_ws, credentials=file) as session,
    ):
        await asyncio.gather(one.initialize(), other.initialize())
        numbers = itertools.count(1)
        seen: set[str] = set()

        async def three_tokens_are_used() -> bool:
            number = next(numbers)
            answers = await asyncio.gather(one.call(number, "models"), other.call(number, "models"))
            assert all("result" in answer for answer in answers), answers
            assert not (await session.call("models")).is_error
            seen.add(read_credentials(file).access_token)
            return len(seen) == 3

        await wait_until(three_tokens_are_used, within=60, what="three tokens are used")
    states = {each.token_id: each.state for each in await authority.listing()}
    assert states[issued.token_id] == "active"


async def test_a_bridge_reports_a_revoked_token_and_recovers_with_a_new_file(
    services: Services, tmp_path: Path
) -> None:
    daemon, authority, emulator = services.daemon, services.authority, services.emulator
    emulator.faults.add("glm", Fault(before_first_byte_ms=60_000))
    issued = await authority.create("ann", "laptop")
    file = save(tmp_path / "c.json", issued)
    async with bridge(daemon.mcp_ws, "--credentials", str(file), "--patience", "3") as editor:
        await editor.initialize()
        await editor.begin(1, "chat", {"prompt": "Wait.", "model": "glm-5.3"})
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        await authority.revoke(issued.token_id)
        async with asyncio.timeout(SOON_S):
            await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
        async with asyncio.timeout(SOON_S):
            lost = await editor.answer()
            refused = await editor.call(2, "models")
        assert lost["error"]["code"] == -32005
        assert refused["error"]["code"] == UNAUTHENTICATED
        assert refused["error"]["data"]["code"] == "unauthenticated"
        for sentence in (lost["error"]["message"], refused["error"]["message"]):
            assert "does not take the token it was given, which was revoked" in sentence
            assert f"exai token create NAME --save {file}" in sentence
            assert issued.access_token not in sentence
        save(file, await authority.create("ann", "laptop again"))

        async def is_in_again() -> bool:
            return "result" in await editor.call(3, "models")

        await wait_until(is_in_again, what="the bridge is let in again")


async def test_the_error_for_a_missing_or_wrong_token_says_what_to_do(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, authority = services.daemon, services.authority
    key = (await authority.create_key("ann", "ci")).access_token
    gone = save(tmp_path / "gone.json", await authority.create("ann", "gone"))
    gone.unlink()
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        (
            {},
            "wants a token, and none was given. Make one where EXAI runs, `exai token create NAME --save FILE`",
        ),
        (
            {"token": "exk_wrong"},
            "does not take the token it was given. Make another one where EXAI runs",
        ),
        ({"credentials": gone}, f"{gone} does not exist; make one where EXAI runs"),
    )
    for given, says in cases:
        async with connect(daemon.mcp_ws, **given) as session, asyncio.timeout(SOON_S):
            for _ in range(2):
                with pytest.raises(Unauthenticated, match=says.replace(".", r"\.")) as caught:
                    await session.call("models")
                assert caught.value.code == UNAUTHENTICATED
    async with bridge(daemon.mcp_ws) as editor, asyncio.timeout(SOON_S):
        await editor.send({"id": 0, "method": "initialize", "params": HANDSHAKE})
        assert "`--credentials FILE`" in (await editor.answer())["error"]["message"]
    async with connect(daemon.mcp_ws, token=key) as session:
        assert not (await session.call("models")).is_error
        with pytest.raises(CallFailed) as lacking:
            await session.call("search", {"query": "herons"})
        assert lacking.value.code == -32007
    monkeypatch.setenv("EXAI_TOKEN", key)
    async with connect(daemon.mcp_ws) as session:
        assert not (await session.call("models")).is_error
    file = tmp_path / "key.json"
    file.touch(0o600)
    file.write_text(json.dumps({"access_token": key}))
    monkeypatch.delenv("EXAI_TOKEN")
    monkeypatch.setenv("EXAI_CREDENTIALS", str(file))
    async with connect(daemon.mcp_ws) as session:
        assert not (await session.call("models")).is_error
