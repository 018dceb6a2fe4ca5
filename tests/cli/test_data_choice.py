"""Commands beside `exai serve --demo`: each is about the data that its user means."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.cli.command_group import SUMMARIES, load_command
from exai.cli.data_choice import choose_data
from exai.cli.running import Note, running_daemons
from exai.config.demo import demo_data_dir
from exai.errors import StartFault
from support.daemons import daemon, free_port
from support.documents import pdf_of

ORDINARY_PORT, DEMO_PORT = 18079, 18179


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), list(arguments)))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def owners(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [row["caller"] for row in json.loads(result.stdout)]


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The commands that do something, each with its full name."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for each in command.list_commands(None):
        yield from leaves(f"{name} {each}", command.get_command(None, each))


def test_every_command_with_settings_takes_the_option_but_those_that_have_no_data() -> None:
    lacking = {
        full
        for name in SUMMARIES
        for full, command in leaves(name, load_command(name))
        if {"overrides", "demo"} & {each.name for each in command.params} == {"overrides"}
    }
    assert lacking == {"connect", "models"}


async def check_copies_of_a_demonstration(folder: Path) -> None:
    """Use the commands about copies beside a demonstration that runs."""
    (folder / "report.pdf").write_bytes(pdf_of(["A heron."]))
    put = json.loads((await run("files", "put", str(folder / "report.pdf"), "--json")).stdout)
    file_id = put["files"][0]["id"]
    sent = json.loads((await run("files", "send", file_id, "--to", "kimi", "--json")).stdout)
    assert sent["provider"] == "kimi"
    again = await run("files", "send", f"exai://files/{file_id}", "--to", "kimi")
    assert again.stdout == f"{file_id}  is there: {sent['id']} at kimi\n"
    refused = await run("files", "send", file_id, "--to", "nobody")
    assert (refused.exit_code, "kimi" in refused.stderr) == (1, True), refused.stderr
    checked = await run("files", "check", "--json")
    assert checked.exit_code == 0, checked.output
    report = json.loads(checked.stdout)
    store = report["store"]
    assert (store["contents"], store["differences"], report["providers"]) == (3, 0, {}), (
        "two files, and a text"
    )
    assert "copies are not compared" in checked.stderr
    for arguments in (("check", "--copies"), ("import", "dump.csv")):
        fault = (await run("files", *arguments)).exception
        assert isinstance(fault, StartFault)
        assert f"files {arguments[0]}" in str(fault)
        assert "--no-demo" in str(fault)
    (folder / "report.pdf").unlink()


async def test_a_copy_of_a_demonstration_that_does_not_run_is_not_sent(data_dir: Path) -> None:
    fault = (await run("files", "send", "file_none", "--to", "kimi", "--demo")).exception
    assert isinstance(fault, StartFault)
    assert "`exai serve --demo`" in str(fault)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_another_host_than_loopback_needs_tokens(data_dir: Path, host: str) -> None:
    fault = (await run("serve", "--host", host)).exception
    assert isinstance(fault, StartFault)
    assert "auth.mode" in str(fault)


async def test_every_command_beside_a_demonstration_is_about_its_data(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAI_SERVER__PORT", str(free_port()))
    monkeypatch.setenv("EXAI_SERVER__OPERATIONS_PORT", str(free_port()))
    monkeypatch.setenv("EXAI_SERVER__ERRORS_PORT", "0")
    port = free_port()
    async with daemon(data_dir=data_dir, arguments=["--demo", "--port", str(port)]) as demo:
        assert urlsplit(demo.mcp_ws).port == port
        assert running_daemons(data_dir) == []
        assert f"EXAI at {demo.mcp_ws}" in (await run("status")).stdout
        asked = await run("chat", "--json", "Hello.")
        conversation = json.loads(asked.stdout)["continuation_id"]
        assert conversation in (await run("conversations", "list")).stdout
        assert conversation in (await run("conversations", "export", "--all")).stdout
        further = json.loads((await run("chat", "--json", "--continue", "And?")).stdout)
        assert further["continuation_id"] == conversation
        assert owners(await run("usage", "--json")) == ["local"]
        (data_dir / "note.txt").write_text("A heron.")
        assert (await run("files", "put", str(data_dir / "note.txt"))).exit_code == 0
        assert "note.txt" in (await run("files", "ls")).stdout
        assert "note.txt" in (await run("files", "ls", "--owner", "local")).stdout
        await check_copies_of_a_demonstration(data_dir)
        made = json.loads((await run("token", "create", "laptop", "--json")).stdout)
        assert made["token_id"] in (await run("token", "list")).stdout
        assert (await run("keys", "list")).stdout.strip()
        assert (await run("dashboard")).stdout.startswith(f"{demo.operations}/#ticket=")
        well = await run("doctor", "--offline")
        assert "emulator" in well.stdout
        assert str(demo_data_dir(data_dir)) in well.stdout
        assert "demonstration" in well.stderr
        assert "Deleted: 1." in (await run("conversations", "delete", "--yes", conversation)).stdout
        assert (await run("token", "revoke", made["token_id"])).exit_code == 0
        assert (await run("stop")).stdout == "Stopped.\n"
        assert await demo.ended() == 0
    assert names_in(data_dir) == {"demo", "stderr.log", "note.txt"}


async def test_the_ordinary_data_are_not_touched_and_no_call_is_counted_there(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAI_SERVER__PORT", "0")
    await run("token", "create", "before")
    before = (data_dir / "exai.sqlite").read_bytes()
    asked = await run("chat", "--demo", "--json", "Hello.")
    assert asked.exit_code == 0, asked.output
    assert (data_dir / "exai.sqlite").read_bytes() == before
    assert owners(await run("usage", "--json", "--no-demo")) == []
    assert owners(await run("usage", "--json", "--demo")) == ["local"]


def test_a_folder_that_the_demonstration_makes_is_closed_to_others(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.umask(os.umask(0o022))
    result = CliRunner().invoke(build_app(), ["token", "create", "--demo", "laptop"])
    assert result.exit_code == 0, result.output
    assert {each.stat().st_mode & 0o777 for each in (data_dir, demo_data_dir(data_dir))} == {0o700}


@pytest.fixture
def notes(data_dir: Path) -> Iterator[dict[str, Note]]:
    """Daemons of both kinds that can be said to run."""
    with ExitStack() as scopes:
        yield {
            "ordinary": scopes.enter_context(Note(data_dir)),
            "demo": scopes.enter_context(Note(demo_data_dir(data_dir))),
        }


def ordinary_runs(notes: dict[str, Note]) -> None:
    notes["ordinary"].write(f"ws://127.0.0.1:{ORDINARY_PORT}/mcp", "http://127.0.0.1:1", "")


def demo_runs(notes: dict[str, Note]) -> None:
    notes["demo"].write(f"ws://127.0.0.1:{DEMO_PORT}/mcp", "http://127.0.0.1:2", "")


def test_beside_both_the_ordinary_data_are_meant_unless_the_port_is_the_demonstrations(
    notes: dict[str, Note], data_dir: Path
) -> None:
    ordinary_runs(notes)
    demo_runs(notes)
    chosen = choose_data(None, None, None)
    assert (chosen.settings.data_dir, chosen.daemon and chosen.daemon.port) == (data_dir, ORDINARY_PORT)
    at_port = choose_data(None, [f"server.port={DEMO_PORT}"], None)
    assert (at_port.loaded.demo, at_port.daemon and at_port.daemon.port) == (True, DEMO_PORT)
    assert choose_data(None, None, True).settings.data_dir == demo_data_dir(data_dir)


def test_what_was_named_is_never_asked_of_the_other(notes: dict[str, Note], data_dir: Path) -> None:
    demo_runs(notes)
    assert choose_data(None, [f"server.port={DEMO_PORT}"], False).address is None
    assert choose_data(None, None, False).address == "ws://127.0.0.1:8079/mcp"
    assert choose_data(None, None, None).address == f"ws://127.0.0.1:{DEMO_PORT}/mcp"


def test_where_no_demonstration_runs_none_is_asked(
    notes: dict[str, Note], capsys: pytest.CaptureFixture[str]
) -> None:
    ordinary_runs(notes)
    assert choose_data(None, None, True).address is None
    result = CliRunner().invoke(build_app(), ["status", "--demo"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "exai serve --demo" in result.stderr


def test_a_database_that_others_use_is_meant_even_beside_a_demonstration(
    notes: dict[str, Note], data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo_runs(notes)
    url = ["database.url=postgresql+asyncpg://db/exai"]
    chosen = choose_data(None, url, None)
    assert (chosen.loaded.demo, chosen.settings.database.url is None) == (False, False)
    assert "--demo" in capsys.readouterr().err
    demo = choose_data(None, [*url, "jobs.file=/tmp/jobs", "files.store=s3://bucket/exai"], True).settings
    assert (demo.database.url, demo.jobs.file, demo.files.store) == (None, None, "folder")


def test_who_looks_where_nothing_is_yet_hears_where_the_data_are(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choose_data(None, None, None)
    assert capsys.readouterr().err == ""
    demo_data_dir(data_dir).mkdir(parents=True)
    (demo_data_dir(data_dir) / "exai.sqlite").touch()
    choose_data(None, None, None)
    assert "--demo" in capsys.readouterr().err
    choose_data(None, None, False)
    assert capsys.readouterr().err == ""


def test_of_both_kinds_the_one_to_stop_is_named(notes: dict[str, Note]) -> None:
    ordinary_runs(notes)
    demo_runs(notes)
    refused = CliRunner().invoke(build_app(), ["stop"])
    assert f"{DEMO_PORT} (the demonstration)" in str(refused.exception)
    assert "--port" in str(refused.exception)


def test_an_address_and_the_demonstration_are_not_named_together(data_dir: Path) -> None:
    for arguments in (["chat", "Hi.", "--url", "ws://127.0.0.1:1/mcp"], ["status", "ws://127.0.0.1:1/mcp"]):
        assert CliRunner().invoke(build_app(), [*arguments, "--demo"]).exit_code == 2


def test_the_settings_of_the_demonstration_can_be_looked_at(data_dir: Path) -> None:
    shown = json.loads(CliRunner().invoke(build_app(), ["config", "--json", "--demo"]).stdout)["settings"]
    assert shown["data_dir"] == {"value": str(demo_data_dir(data_dir)), "origin": "--demo"}
    migrated = CliRunner().invoke(build_app(), ["migrate", "--demo"])
    assert "nothing" in migrated.stdout
    assert (demo_data_dir(data_dir) / "exai.sqlite").exists()
