"""`exai stdio` where tokens are required: who starts it proves who they are, and it ends with that."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from exai import config
from exai.auth.authority import Authority
from exai.auth.scopes import MODELS, STATUS
from exai.client.credentials_file import Credentials, write_credentials
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from support.daemons import clean_environ
from support.stdio_client import ForkedClient, forked


def tool(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def started(tmp_path: Path, **environ: str) -> AbstractAsyncContextManager[ForkedClient]:
    env = clean_environ(tmp_path / "data", {"EXAI_AUTH__MODE": "required", **environ})
    return forked("exai.cli", "stdio", "--demo", env=env, cwd=tmp_path)


async def test_without_a_good_token_it_does_not_start_and_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    write_credentials(file, Credentials("canary-of-a-file"))
    cases: tuple[tuple[dict[str, str], str, str], ...] = (
        ({}, "EXAI_TOKEN", "exai token create"),
        ({"EXAI_TOKEN": "canary-of-a-token"}, "EXAI_TOKEN", "not accepted"),
        ({"EXAI_CREDENTIALS": str(file)}, str(file), "not accepted"),
    )
    for environ, place, word in cases:
        async with started(tmp_path, **environ) as client:
            assert await client.ended() == 2
            assert await client.stdout.read() == b""
            sentence = client.log.splitlines()[-1].decode()
            assert sentence.startswith("exai: ")
            assert place in sentence
            assert word in sentence
            assert b"canary" not in client.log
            assert b"Traceback" not in client.log


@pytest.mark.parametrize("place", ["variable", "file"])
async def test_it_serves_the_owner_of_its_token_and_ends_when_that_is_revoked(
    tmp_path: Path, place: str
) -> None:
    data_dir = tmp_path / "data" / "demo"
    data_dir.mkdir(parents=True)
    database = await Database.open(config.Database(), data_dir)
    try:
        authority = Authority(config.Auth(), IdentityTables(database), data_dir, SystemClock())
        key = await authority.create_key("alice", "stdio", [STATUS])
        file = tmp_path / "mine.json"
        write_credentials(file, Credentials(key.access_token))
        given = {"EXAI_TOKEN": key.access_token} if place == "variable" else {"EXAI_CREDENTIALS": str(file)}
        async with started(tmp_path, **given) as client:
            await client.shake_hands()
            assert not (await client.ask(tool(1, "status")))["result"]["isError"]
            refused = (await client.ask(tool(2, "chat", prompt="x")))["error"]
            assert (refused["code"], refused["data"]["scope"]) == (-32007, MODELS)
            await authority.revoke(key.token_id)
            assert await client.ended() == 0
            assert await client.stdout.read() == b""
            assert b"revoked" in client.log
            assert key.access_token.encode() not in client.log
    finally:
        await database.close()
