"""`exai token` and `exai keys`: made on the database alone, believed by an authenticator on the same one."""

import asyncio
import errno
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exai import config
from exai.auth.authenticator import Authenticator
from exai.callers import Caller, Door
from exai.cli import build_app
from exai.errors import ExaiError, InvalidGrant, StartFault, Unauthenticated, UnknownToken
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables

pytestmark = pytest.mark.usefixtures("data_dir")


def exai(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), arguments)


def document(*arguments: str) -> Any:
    result = exai(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def judge(data_dir: Path, *tokens: str) -> list[Caller | None]:
    """The caller behind each token, as a daemon on the same folder sees it; `None` for a refused one."""

    async def judged() -> list[Caller | None]:
        database = await Database.open(config.Database(), data_dir)
        auth = config.Auth.model_validate({"mode": "required"})
        authenticator = await Authenticator.open(auth, IdentityTables(database), SystemClock())
        callers: list[Caller | None] = []
        for token in tokens:
            try:
                headers = [(b"authorization", b"Bearer " + token.encode())]
                callers.append(await authenticator.authenticate(headers, door=Door.HTTP, address="::1"))
            except Unauthenticated:
                callers.append(None)
        await database.close()
        return callers

    return asyncio.run(judged())


def test_each_kind_is_made_listed_replaced_and_ended(data_dir: Path) -> None:
    made = [
        document("token", "create", "laptop", "--subject", "alice", "--scope", "files", "--scope", "errors"),
        document("token", "create", "ci", "--lifetime", "12h"),
        document("token", "create", "script", "--key"),
    ]
    assert [entry["kind"] for entry in made] == ["renewable", "token", "key"]
    callers = judge(data_dir, *(entry["access_token"] for entry in made))
    assert [caller and caller.subject for caller in callers] == ["alice", "ci", "script"]
    assert callers[0] is not None
    assert callers[0].scopes == {"files", "errors"}

    listed = exai("token", "list").output
    assert all(entry["token_id"] in listed for entry in made)
    assert "eyJ" not in listed
    assert "ex" + "k_" not in listed

    replaced = document("token", "rotate", made[2]["token_id"])
    assert exai("token", "revoke", made[0]["token_id"]).exit_code == 0
    assert exai("token", "revoke", "--subject", "ci").exit_code == 0
    tokens = [*(entry["access_token"] for entry in made), replaced["access_token"]]
    assert [caller and caller.subject for caller in judge(data_dir, *tokens)] == [None, None, None, "script"]
    assert [entry["token_id"] for entry in document("token", "list")] == [replaced["token_id"]]
    assert len(document("token", "list", "--all")) == 4


def test_a_name_will_do_where_only_one_active_token_has_it(data_dir: Path) -> None:
    first = document("token", "create", "laptop")
    assert exai("token", "revoke", "laptop").output == f"laptop ({first['token_id']}) has ended.\n"
    second, third = document("token", "create", "laptop"), document("token", "create", "laptop", "--key")
    refused = exai("token", "revoke", "laptop")
    assert all(each["token_id"] in str(refused.exception) for each in (second, third))
    assert judge(data_dir, second["access_token"], third["access_token"]).count(None) == 0
    assert exai("token", "revoke", second["token_id"]).exit_code == 0
    replaced = document("token", "rotate", "laptop")
    assert [entry["token_id"] for entry in document("token", "list")] == [replaced["token_id"]]
    assert "exai token list" in str(exai("token", "revoke", "phone").exception)
    other = document("token", "create", replaced["token_id"])
    assert exai("token", "revoke", replaced["token_id"]).exit_code == 0
    assert [entry["token_id"] for entry in document("token", "list")] == [other["token_id"]]


def test_a_credentials_file_is_private_and_no_secret_is_printed(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    result = exai("token", "create", "laptop", "--save", str(file))
    assert result.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    assert kept.keys() == {"access_token", "refresh_token", "expires_at"}
    assert kept["access_token"] not in result.output
    assert kept["refresh_token"] not in result.output
    assert judge(data_dir, kept["access_token"]) != [None]

    exai("token", "create", "laptop", "--key", "--save", str(file))
    assert json.loads(file.read_text()).keys() == {"access_token"}


def test_a_rotated_key_still_verifies_unless_it_was_stolen(
    data_dir: Path,
) -> None:
    token = document("token", "create", "laptop")["access_token"]
    document("keys", "rotate", "--algorithm", "EdDSA")
    assert [(key["algorithm"], key["state"]) for key in document("keys", "list")] == [
        ("EdDSA", "signs"),
        ("ES256", "verifies"),
    ]
    assert judge(data_dir, token) != [None]
    document("keys", "rotate", "--now")
    assert [key["state"] for key in document("keys", "list")] == ["signs", "over", "over"]
    assert judge(data_dir, token) == [None]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["token", "revoke", "0123456789abcdef"], UnknownToken),
        (["token", "rotate", "0123456789abcdef"], UnknownToken),
        (["token", "create", "a", "--subject", "google:a"], ExaiError),
        (["token", "create", "a", "--scope", "everything"], ExaiError),
        (["token", "create", "a", "--lifetime", "999d"], ExaiError),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], fault: type[ExaiError]) -> None:
    result = exai(*arguments)
    assert isinstance(result.exception, fault)
    assert not isinstance(result.exception, InvalidGrant)
    assert "\n" not in str(result.exception)


def test_the_folder_of_a_credentials_file_is_created_private(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "config" / "exai" / "credentials.json"
    assert exai("token", "create", "laptop", "--save", str(file)).exit_code == 0
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]
    assert judge(data_dir, json.loads(file.read_text())["access_token"]) != [None]


def test_what_cannot_be_saved_is_not_made_and_ends_nothing(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    old = document("token", "create", "laptop")
    for place in ("file/below.json", "data"):
        for command in (("create", "another"), ("rotate", old["token_id"])):
            result = exai("token", *command, "--save", str(tmp_path / place))
            assert isinstance(result.exception, StartFault)
            assert "nothing was made" in str(result.exception)
    assert [entry["token_id"] for entry in document("token", "list", "--all")] == [old["token_id"]]
    assert judge(data_dir, old["access_token"]) != [None]


def test_secrets_whose_file_fails_at_the_last_moment_are_printed(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("exai.client.credentials_file.replace_private", full)
    result = exai("token", "create", "laptop", "--json", "--save", str(tmp_path / "credentials.json"))
    assert isinstance(result.exception, StartFault)
    assert "no space left" in str(result.exception)
    printed = json.loads(result.output)
    assert "saved" not in printed
    assert "refresh_token" in printed
    assert judge(data_dir, printed["access_token"]) != [None]


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "revoke"],
        ["token", "revoke", "id", "--subject", "alice"],
        ["token", "revoke", "id", "--issuer", "nobody"],
        ["token", "create", "a", "--lifetime", "3"],
        ["token", "create", "a", "--key", "--refresh"],
    ],
)
def test_what_makes_no_sense_is_refused_with_the_usage(arguments: list[str]) -> None:
    assert exai(*arguments).exit_code == 2
