"""`exai errors dsn`: addresses to which programs report, made, listed, replaced and revoked."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.cli.running import Note
from exai.errors import StartFault


def dsn(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["errors", "dsn", *arguments])


def refused(*arguments: str) -> str:
    error = dsn(*arguments).exception
    assert isinstance(error, StartFault), error
    return str(error)


def test_an_address_is_shown_once_replaced_and_revoked(data_dir: Path) -> None:
    made = dsn("create", "shop").output.strip()
    key, at, place = made.removeprefix("http://").partition("@")
    assert (len(bytes.fromhex(key)), at, place) == (16, "@", "127.0.0.1:8081/2")
    replaced = json.loads(dsn("rotate", "shop", "--json").output)
    assert (replaced["project"], replaced["number"]) == ("shop", 2)
    assert key not in replaced["dsn"]
    dsn("create", "--private", "till")
    listed = dsn("list", "--json").output
    assert [(each["project"], each["trust"], each["reports"]) for each in json.loads(listed)] == [
        ("shop", "public", True),
        ("till", "private", True),
    ]
    assert dsn("revoke", "shop").output == "Revoked.\n"
    listed += dsn("list").output + dsn("list", "--json").output
    assert [each["reports"] for each in json.loads(dsn("list", "--json").output)] == [False, True]
    new_key = replaced["dsn"].removeprefix("http://").partition("@")[0]
    assert key not in listed
    assert new_key not in listed
    kept = b"".join(file.read_bytes() for file in data_dir.rglob("*") if file.is_file())
    assert key.encode() not in kept
    assert new_key.encode() not in kept


def test_it_leads_to_the_daemon_that_runs_on_these_data(data_dir: Path) -> None:
    with Note(data_dir) as note:
        note.write("ws://127.0.0.1:18079/mcp", "http://127.0.0.1:18080", "http://127.0.0.1:18081")
        assert dsn("create", "shop").output.strip().endswith("@127.0.0.1:18081/2")
    assert dsn("rotate", "shop").output.strip().endswith("@127.0.0.1:8081/2")


@pytest.mark.usefixtures("data_dir")
def test_names_that_are_taken_or_unknown_are_refused_with_what_to_do() -> None:
    assert dsn("list").output == "There are none. `exai errors dsn create NAME` makes one.\n"
    dsn("create", "shop")
    assert refused("create", "shop") == (
        "There is a project shop already. `exai errors dsn rotate` gives it a new key."
    )
    for name in ("", "  ", "shop\nto do", "\x1b[2J", "\udcff", "x" * 101):
        result = CliRunner().invoke(build_app(), ["errors", "dsn", "create", name])
        assert (result.exit_code, "one line of 1 to 100 characters" in result.stderr) == (2, True), name
    for command in ("rotate", "revoke"):
        assert refused(command, "nobody") == ("No project nobody reports. `exai errors dsn list` has them.")
