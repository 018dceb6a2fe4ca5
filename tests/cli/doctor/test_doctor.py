"""`exai doctor` on set-ups that are well and on broken ones."""

import json
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web

from exai import config
from exai.cli.doctor.checks import run_checks
from exai.cli.doctor.findings import Finding, State, as_text, is_ok
from exai.cli.doctor.services import check_database, check_providers
from exai.config.secrets import KeyringAnswer
from exai.config.sources import Loaded, load
from exai.evidence.code import languages
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage.database import Database, inspect_schema
from support.daemons import EXAI, StartDaemon, clean_environ

FREE_PORTS = ["server.port=0", "server.operations_port=0", "server.errors_port=0"]


def loaded(home: Path, overrides: Sequence[str] = (), trouble: str | None = None, **environ: str) -> Loaded:
    return load(
        environ={"HOME": str(home), "EXAI_DATA_DIR": str(home / "data"), **environ},
        config_file=None,
        overrides=[*FREE_PORTS, *overrides],
        cwd=home,
        keyring=lambda _: KeyringAnswer(trouble=trouble),
    )


async def findings(tree: Loaded, check: str, *, offline: bool = True) -> list[Finding]:
    return [each for each in await run_checks(tree, SystemClock(), offline=offline) if each.check == check]


async def test_grammars_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [whole] = await findings(loaded(tmp_path), "languages")
    assert (whole.state, whole.message) == (
        State.OK,
        "the grammars of all that `analyze` knows are installed",
    )
    monkeypatch.setattr(
        languages, "is_missing", lambda row: row.module in {"tree_sitter_c", "tree_sitter_php"}
    )
    [lacking] = await findings(loaded(tmp_path), "languages")
    assert (lacking.state, lacking.message) == (
        State.OK,
        "`pip install 'exai[languages]'` adds the grammars of C, PHP, for `analyze`",
    )


async def test_a_good_set_up_is_well_from_keys_to_clock(
    tmp_path: Path, provider_environ: dict[str, str]
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    tree = loaded(tmp_path, **provider_environ)
    await (await Database.open(tree.settings.database, tree.settings.data_dir)).close()
    found = await run_checks(tree, SystemClock(), offline=False)
    assert {each.state for each in found} == {State.OK}, as_text(found)
    assert [each.check for each in found] == [
        "settings",
        "keys",
        "keys",
        "data folder",
        "file store",
        "database",
        "stored files",
        "secret scan",
        "languages",
        "ports",
        "ports",
        "ports",
        "tokens",
        "providers",
        "providers",
        "clock",
    ]


async def test_the_checks_create_nothing(tmp_path: Path) -> None:
    tree = loaded(tmp_path, KIMI_API_KEY="k")
    found = await run_checks(tree, SystemClock(), offline=True)
    assert is_ok(found), as_text(found)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test may wait a moment


async def test_no_key_is_a_problem_that_names_the_variables(tmp_path: Path) -> None:
    (found,) = await findings(loaded(tmp_path), "keys")
    assert found.state is State.PROBLEM
    assert found.fix is not None
    assert "GLM_API_KEY" in found.fix


async def test_keys_say_where_they_come_from(tmp_path: Path) -> None:
    (found,) = await findings(loaded(tmp_path, KIMI_API_KEY="canary"), "keys")
    assert found.message == "`providers.kimi.api_key` comes from environment KIMI_API_KEY"


async def test_a_keyring_in_trouble_and_a_misspelt_secret_are_warnings(tmp_path: Path) -> None:
    folder = tmp_path / ".config/exai/secrets"
    folder.mkdir(parents=True)
    (folder / "glm").touch()
    tree = loaded(tmp_path, trouble="It is locked.")
    (locked,) = await findings(tree, "keyring")
    (misspelt,) = await findings(tree, "secrets")
    assert (locked.state, locked.message) == (State.WARNING, "It is locked")
    assert str(folder / "glm") in misspelt.message


@pytest.mark.parametrize(
    ("mode", "state"), [(0o700, State.OK), (0o755, State.PROBLEM), (0o750, State.PROBLEM)]
)
async def test_the_data_folder_has_to_be_closed(tmp_path: Path, mode: int, state: State) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    (found,) = await findings(loaded(tmp_path), "data folder")
    assert found.state is state
    assert found.fix == (None if state is State.OK else f"Run `chmod 700 {folder}`.")


async def test_a_data_folder_that_cannot_be_one_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (found,) = await findings(loaded(tmp_path, [f"data_dir={tmp_path / 'file' / 'data'}"]), "data folder")
    assert found.state is State.PROBLEM
    assert "cannot be written" in found.message


async def test_a_signing_key_that_others_can_read_is_a_problem(tmp_path: Path) -> None:
    keys = tmp_path / "data" / "keys"
    keys.mkdir(parents=True)
    (tmp_path / "data").chmod(0o700)
    (keys / "one.pem").touch(0o600)
    (keys / "two.pem").touch()
    (keys / "two.pem").chmod(0o640)
    (found,) = await findings(loaded(tmp_path), "signing keys")
    assert str(keys / "two.pem") in found.message
    assert "exai keys rotate --now" in (found.fix or "")


async def test_a_folder_that_takes_no_signing_key_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "keys").touch()
    (found,) = await findings(loaded(tmp_path), "signing keys")
    assert (found.state, found.message) == (State.PROBLEM, f"{tmp_path / 'data' / 'keys'} cannot be written")


async def test_the_schema_is_compared_and_not_changed(
    tmp_path: Path, empty_database_settings: config.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = empty_database_settings
    assert settings.url is not None
    url = settings.url.get_secret_value()
    is_elsewhere = url.startswith("postgresql")
    tree = loaded(tmp_path, EXAI_DATABASE__URL=url)
    (empty,) = await findings(tree, "database")
    assert (empty.state, "empty" in empty.message) == (State.OK, True)
    assert (await inspect_schema(settings, tmp_path)).version is None
    await (await Database.open(settings, tmp_path)).close()
    (well,) = await findings(tree, "database")
    assert well.state is State.OK
    for head, message, fix in (("9999", "needs 9999", "exai migrate"), ("0000", "newer", "another database")):
        monkeypatch.setattr("exai.storage.migrate.head", lambda head=head: head)
        (found,) = await findings(tree, "database")
        assert found.state is State.PROBLEM
        assert message in found.message
        assert fix in (found.fix or "")
    for off_s, state in ((0, State.OK), (-90, State.PROBLEM)):
        clock = ManualClock(wall=SystemClock.wall() + off_s)
        clocks = [each for each in await check_database(tree, clock) if each.check == "clock"]
        assert [each.state for each in clocks] == ([state] if is_elsewhere else [])
        assert all("the database" in each.message for each in clocks)


async def test_a_database_out_of_reach_is_a_problem_without_its_password(tmp_path: Path) -> None:
    tree = loaded(tmp_path, EXAI_DATABASE__URL="postgresql+asyncpg://u:canary@127.0.0.1:9/x")
    (found,) = await findings(tree, "database")
    assert found.state is State.PROBLEM
    assert "canary" not in str(found)


async def test_a_port_of_another_program_is_a_problem_and_of_a_running_exai_is_not(
    tmp_path: Path, start_daemon: StartDaemon
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = await findings(loaded(tmp_path, [f"server.port={port}", "server.errors_port=0"]), "ports")
    assert [each.state for each in found] == [State.PROBLEM, State.OK, State.OK]
    assert f"{port} on 127.0.0.1 cannot be opened (address already in use)" in found[0].message
    assert "`server.port`" in (found[0].fix or "")
    async with start_daemon() as daemon:
        mcp, operations = (
            url.rpartition(":")[2].partition("/")[0] for url in (daemon.mcp_ws, daemon.operations)
        )
        errors = daemon.errors.rpartition(":")[2]
        ports = [f"server.port={mcp}", f"server.operations_port={operations}", f"server.errors_port={errors}"]
        found = await findings(loaded(tmp_path, ports), "ports")
        assert [each.message.partition("in use, and ")[2] for each in found] == ["EXAI answers there"] * 3


async def test_a_daemon_that_is_not_ready_is_distinguished_from_one_that_is(tmp_path: Path) -> None:
    verdicts = {"database": "the database is out of reach", "admitting": "ok"}

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({"status": "unready", "checks": verdicts}, status=503)

    app = web.Application()
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    (found,) = await findings(loaded(tmp_path, [f"server.operations_port={port}"]), "daemon")
    await runner.cleanup()
    assert found.state is State.PROBLEM
    assert found.message == "it runs and is not ready: database: the database is out of reach"


@pytest.mark.parametrize(
    ("more", "warned"),
    [([], True), (["server.public_url=http://h"], True), (["server.public_url=https://h"], False)],
)
async def test_an_open_address_without_tls_is_warned_of(
    tmp_path: Path, more: list[str], warned: bool
) -> None:
    tree = loaded(tmp_path, ["server.host=0.0.0.0", "auth.mode=required", *more])
    warnings = [each for each in await findings(tree, "ports") if each.state is State.WARNING]
    assert ["travel unencrypted" in each.message for each in warnings] == [True] * warned


async def test_a_refused_key_and_a_provider_out_of_reach_are_distinguished(
    tmp_path: Path, provider_environ: dict[str, str]
) -> None:
    environ = {**provider_environ, "GLM_API_KEY": "wrong.canary"}
    environ["EXAI_PROVIDERS__KIMI__BASE_URL"] = "http://127.0.0.1:9/v1"
    tree = loaded(tmp_path, **environ)
    glm, kimi, clock = await check_providers(tree, SystemClock())
    assert (glm.state, kimi.state, clock.state) == (State.PROBLEM, State.PROBLEM, State.WARNING)
    assert "does not accept the key" in glm.message
    assert "GLM_API_KEY" in (glm.fix or "")
    assert "cannot be reached" in kimi.message
    assert "canary" not in str((glm, kimi))


async def test_an_endpoint_without_a_list_is_reached_all_the_same(
    tmp_path: Path, provider_environ: dict[str, str]
) -> None:
    environ = {**provider_environ}
    environ["EXAI_PROVIDERS__GLM__BASE_URL"] += "/nowhere"
    found = await check_providers(loaded(tmp_path, **environ), SystemClock())
    assert found[0].state is State.OK
    assert "untried" in found[0].message


@pytest.mark.parametrize(("off_s", "state"), [(0, State.OK), (30, State.WARNING), (-3600, State.PROBLEM)])
async def test_a_clock_that_is_wrong_is_noticed_by_the_providers(
    tmp_path: Path, provider_environ: dict[str, str], off_s: float, state: State
) -> None:
    clock = ManualClock(wall=SystemClock.wall() + off_s)
    found = (await check_providers(loaded(tmp_path, **provider_environ), clock))[-1]
    assert (found.check, found.state) == ("clock", state)
    if off_s:
        assert ("ahead" if off_s > 0 else "behind") in found.message


async def test_a_check_that_fails_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Loaded) -> list[Finding]:
        raise RuntimeError("canary")

    monkeypatch.setattr("exai.cli.doctor.checks.check_keys", broken)
    found = await run_checks(loaded(tmp_path), SystemClock(), offline=True)
    (keys,) = (each for each in found if each.check == "keys")
    assert "RuntimeError" in keys.message
    assert "canary" not in str(found)
    assert any(each.check == "ports" for each in found)


def test_the_command_answers_by_its_exit_code_and_in_json(tmp_path: Path) -> None:
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*EXAI, "doctor", "--offline", *arguments],
            env=clean_environ(tmp_path / "data", environ),
            capture_output=True,
            text=True,
            check=False,
        )

    good = run("--json", KIMI_API_KEY="k")
    document = json.loads(good.stdout)
    assert (good.returncode, document["ok"]) == (0, True)
    assert {"check", "state", "message", "fix"} == set(document["findings"][0])
    bad = run(EXAI_SERVER__PROT="1")
    assert bad.returncode == 1
    assert "problem  settings  The environment variable `EXAI_SERVER__PROT` is no setting" in bad.stdout
    assert "problem: 1, warning: 0, ok: 0" in bad.stdout


def test_a_file_that_lies_in_the_folder_is_sent_no_key(tmp_path: Path) -> None:
    folder = tmp_path / "somebody-elses"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        theirs.settimeout(0)
        address = f"http://127.0.0.1:{theirs.getsockname()[1]}/v4"
        (folder / "exai.toml").write_text(f"providers.glm.base_url = '{address}'\n")
        result = subprocess.run(
            [*EXAI, "doctor"],
            env=clean_environ(tmp_path / "data", {"GLM_API_KEY": "id.canary"}),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        with pytest.raises(BlockingIOError):
            theirs.accept()
    assert result.returncode == 1
    assert "problem  settings  `providers.glm.base_url`" in result.stdout
    assert "canary" not in result.stdout + result.stderr


async def test_a_variable_that_is_no_setting_is_a_warning(tmp_path: Path) -> None:
    named = [
        each
        for each in await findings(loaded(tmp_path, EXAI_IMAGE="x"), "settings")
        if "EXAI_IMAGE" in each.message
    ]
    assert [each.state for each in named] == [State.WARNING]


async def test_without_a_home_folder_the_rest_is_still_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("exai.config.sources.home_folder", lambda _: None)
    tree = load(
        environ={"EXAI_DATA_DIR": str(tmp_path)}, config_file=None, overrides=FREE_PORTS, cwd=tmp_path
    )
    assert [each.state for each in await findings(tree, "settings")] == [State.OK]
