"""`exai init`: shows, asks, writes; and loses nothing of what stood there."""

import asyncio
import json
import stat
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.errors import StartFault
from support.daemons import StartDaemon, free_port

Init = Callable[..., Result]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Init:
    for name in ("EXAI_CONFIG", "GLM_API_KEY", "KIMI_API_KEY", "CODEX_HOME", "CLINE_MCP_SETTINGS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EXAI_SERVER__OPERATIONS_PORT", str(free_port()))
    monkeypatch.setenv("EXAI_SERVER__ERRORS_PORT", "0")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(build_app(), ["init", *arguments], input=answer)

    return run


def read(file: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(file.read_text())
    return settings


def test_yes_writes_the_files_of_three_clients(init: Init, tmp_path: Path) -> None:
    result = init("--yes")
    assert result.exit_code == 0
    claude, cursor, vscode = (
        read(tmp_path / name) for name in (".mcp.json", ".cursor/mcp.json", ".vscode/mcp.json")
    )
    assert cursor["mcpServers"] == vscode["servers"]
    assert cursor["mcpServers"]["exai"]["args"] == ["stdio"]
    entry = claude["mcpServers"]["exai"]
    assert entry == {**cursor["mcpServers"]["exai"], "timeout": 900_000}
    assert Path(entry["command"]).is_absolute()
    assert Path(entry["command"]).name == "exai"


def test_what_will_be_written_is_shown_before_anything_is(init: Init, tmp_path: Path) -> None:
    result = init(answer="n\n")
    assert result.exit_code == 1
    assert '"mcpServers"' in result.output
    assert str(tmp_path / ".vscode/mcp.json") in result.output
    assert "Nothing was written" in result.output
    assert list(tmp_path.iterdir()) == []


def test_nobody_at_the_keyboard_is_a_no(init: Init, tmp_path: Path) -> None:
    assert init(answer="").exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_yes_at_the_keyboard_writes(init: Init, tmp_path: Path) -> None:
    assert init("--client", "cursor", answer="y\n").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [".cursor"]


def test_http_leads_to_the_configured_door(init: Init, tmp_path: Path) -> None:
    arguments = ("--yes", "--client", "vscode", "--transport", "http")
    assert init(*arguments).exit_code == 0
    assert read(tmp_path / ".vscode/mcp.json")["servers"]["exai"]["url"] == "http://127.0.0.1:8079/mcp"
    assert init(*arguments, "--set", "server.port=9001", "--set", "server.host=::1").exit_code == 0
    assert read(tmp_path / ".vscode/mcp.json")["servers"]["exai"]["url"] == "http://[::1]:9001/mcp"
    assert isinstance(init(*arguments, "--set", "server.port=0").exception, StartFault)


def test_the_options_go_along_with_stdio(init: Init, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    assert init("--yes", "--config", "mine.toml", "--set", "logging.level=debug").exit_code == 0
    expected = ["stdio", "--config", str(tmp_path / "mine.toml"), "--set", "logging.level=debug"]
    assert read(tmp_path / ".mcp.json")["mcpServers"]["exai"]["args"] == expected


def test_each_client_gets_a_reference_to_the_token(init: Init, tmp_path: Path) -> None:
    required = ("--yes", "--set", "auth.mode=required")
    result = init(*required)
    assert "exai token create NAME --key" in result.output
    claude, cursor = (
        read(tmp_path / name)["mcpServers"]["exai"] for name in (".mcp.json", ".cursor/mcp.json")
    )
    assert claude["env"] == {"EXAI_TOKEN": "${EXAI_TOKEN}"}
    assert cursor["env"] == {"EXAI_TOKEN": "${env:EXAI_TOKEN}"}
    init(*required, "--transport", "http")
    vscode = read(tmp_path / ".vscode/mcp.json")
    assert vscode["servers"]["exai"]["headers"] == {"Authorization": "Bearer ${input:exai-token}"}
    assert [each["id"] for each in vscode["inputs"]] == ["exai-token"]


def test_connect_names_the_credentials_file_and_needs_no_variable(init: Init, tmp_path: Path) -> None:
    arguments = (
        "--yes",
        "--client",
        "claude-code",
        "--set",
        "auth.mode=required",
        "--credentials",
        "mine.json",
    )
    result = init(*arguments, "--transport", "connect")
    entry = read(tmp_path / ".mcp.json")["mcpServers"]["exai"]
    expected = ["connect", "--set", "auth.mode=required", "--credentials", str(tmp_path / "mine.json")]
    assert entry["args"] == expected
    assert "env" not in entry
    assert "exai token create" not in result.output
    assert isinstance(init(*arguments, "--transport", "stdio").exception, StartFault)
    assert "nothing to write" in init(*arguments).output


def test_in_local_mode_no_token_is_spoken_of(init: Init, tmp_path: Path) -> None:
    for transport in ("stdio", "connect", "http"):
        result = init("--yes", "--transport", transport)
        assert "EXAI_TOKEN" not in result.output
        assert "EXAI_TOKEN" not in (tmp_path / ".mcp.json").read_text()
        assert "inputs" not in read(tmp_path / ".vscode/mcp.json")


def test_a_secret_never_goes_into_a_projects_file(init: Init, tmp_path: Path) -> None:
    result = init("--yes", "--set", "providers.kimi.api_key=canary")
    assert isinstance(result.exception, StartFault)
    assert "canary" not in str(result.exception) + result.output
    assert list(tmp_path.iterdir()) == []


def test_other_servers_stay_and_the_old_file_is_kept(init: Init, tmp_path: Path) -> None:
    file = tmp_path / ".mcp.json"
    before = '{"mcpServers": {"other": {"command": "grün"}}}'
    file.write_text(before)
    file.chmod(0o600)
    assert init("--yes", "--client", "claude-code").exit_code == 0
    assert read(file)["mcpServers"]["other"] == {"command": "grün"}
    assert "exai" in read(file)["mcpServers"]
    assert (tmp_path / ".mcp.json.bak").read_text() == before
    assert {path.name for path in tmp_path.iterdir()} == {".mcp.json", ".mcp.json.bak"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_time_there_is_nothing_to_write(init: Init, tmp_path: Path) -> None:
    init("--yes")
    (tmp_path / ".mcp.json").chmod(0o400)
    result = init()
    assert result.exit_code == 0
    assert "nothing to write" in result.output
    assert not (tmp_path / ".mcp.json.bak").exists()


def test_one_file_with_comments_stops_everything_before_the_first_write(init: Init, tmp_path: Path) -> None:
    (tmp_path / ".vscode").mkdir()
    (tmp_path / ".vscode/mcp.json").write_text('{ // mine\n "servers": {} }')
    result = init("--yes")
    assert isinstance(result.exception, StartFault)
    assert "comments" in str(result.exception)
    assert "--client" in str(result.exception)
    assert {path.name for path in tmp_path.iterdir()} == {".vscode"}
    assert init("--yes", "--client", "cursor").exit_code == 0


def test_a_link_to_the_real_file_stays_a_link(init: Init, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles/mcp.json").write_text("{}")
    (tmp_path / ".mcp.json").symlink_to("dotfiles/mcp.json")
    assert init("--yes", "--client", "claude-code").exit_code == 0
    assert (tmp_path / ".mcp.json").is_symlink()
    assert "exai" in read(tmp_path / "dotfiles/mcp.json")["mcpServers"]


def test_a_place_that_cannot_be_written_is_a_sentence(init: Init, tmp_path: Path) -> None:
    (tmp_path / ".cursor").write_text("in the way")
    result = init("--yes", "--client", "cursor")
    assert isinstance(result.exception, StartFault)
    assert ".cursor/mcp.json" in str(result.exception)


def test_the_entry_point_is_the_one_that_init_writes() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["exai"] == "exai.cli:main"


def test_an_entry_that_stands_keeps_what_is_its_users(init: Init, tmp_path: Path) -> None:
    file = tmp_path / ".mcp.json"
    mine = {"command": "old", "args": ["old"], "env": {"HTTPS_PROXY": "canary"}, "alwaysAllow": ["chat"]}
    file.write_text(json.dumps({"mcpServers": {"exai": mine}}, indent=4))
    result = init("--yes", "--client", "claude-code")
    entry = read(file)["mcpServers"]["exai"]
    assert entry["env"] == mine["env"]
    assert entry["alwaysAllow"] == ["chat"]
    assert entry["args"] == ["stdio"]
    assert '-       "command": "old"' in result.output
    assert f'+       "command": "{entry["command"]}"' in result.output
    assert "canary" not in result.output
    assert '\n    "mcpServers"' in file.read_text()
    assert f"Changes {file}" in result.output


def test_each_backup_stays(init: Init, tmp_path: Path) -> None:
    file = tmp_path / ".mcp.json"
    file.write_text("{}")
    init("--yes", "--client", "claude-code")
    first = file.read_text()
    init("--yes", "--client", "claude-code", "--demo")
    assert (tmp_path / ".mcp.json.bak").read_text() == "{}"
    assert (tmp_path / ".mcp.json.bak2").read_text() == first


def test_a_running_daemon_is_connected_to(init: Init, tmp_path: Path, start_daemon: StartDaemon) -> None:
    async def beside_a_daemon() -> Result:
        async with start_daemon() as daemon:
            port = daemon.operations.rpartition(":")[2]
            return await asyncio.to_thread(
                init, "--yes", "--client", "claude-code", "--set", f"server.operations_port={port}"
            )

    assert "A daemon answers here" in asyncio.run(beside_a_daemon()).output
    assert read(tmp_path / ".mcp.json")["mcpServers"]["exai"]["args"][0] == "connect"


def test_without_a_key_the_demonstration_is_offered(init: Init, tmp_path: Path) -> None:
    assert "exai init --demo" in init("--yes", "--client", "cursor").output
    result = init("--yes", "--client", "cursor", "--demo")
    assert "No provider has a key" not in result.output
    assert read(tmp_path / ".cursor/mcp.json")["mcpServers"]["exai"]["args"] == ["stdio", "--demo"]


def test_a_key_of_this_shell_is_referred_to_and_its_user_warned(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAI_API_KEY", "canary.secret")
    result = init("--yes")
    assert "ZAI_API_KEY: set in this shell only" in result.output
    claude, cursor = (
        read(tmp_path / name)["mcpServers"]["exai"] for name in (".mcp.json", ".cursor/mcp.json")
    )
    assert claude["env"] == {"ZAI_API_KEY": "${ZAI_API_KEY:-}"}
    assert cursor["env"] == {"ZAI_API_KEY": "${env:ZAI_API_KEY}"}
    assert "canary" not in result.output + (tmp_path / ".mcp.json").read_text()


@pytest.mark.parametrize("arguments", [("--client", "claude-desktop"), ("--client", "cursor", "--save-keys")])
def test_where_no_variable_is_expanded_the_key_gets_a_file_of_its_own(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("KIMI_API_KEY", "canary")
    result = init("--yes", *arguments)
    kept = tmp_path / ".config/exai/secrets/providers.kimi.api_key"
    assert kept.read_text() == "canary\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert f"Wrote {kept}" in result.output
    assert "canary" not in result.output
    assert "nothing to write" in init("--yes", *arguments).output


def test_no_key_is_saved_against_its_users_will(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIMI_API_KEY", "canary")
    result = init("--yes", "--client", "cline", "--no-save-keys")
    assert "Cline hands no variables on" in result.output
    assert not (tmp_path / ".config/exai").exists()


def test_settings_of_this_shell_are_named(init: Init, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAI_LOGGING__LEVEL", "debug")
    assert "EXAI_LOGGING__LEVEL" in init("--yes").output


def test_the_configuration_file_of_this_shell_goes_along(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text("")
    monkeypatch.setenv("EXAI_CONFIG", "mine.toml")
    init("--yes", "--client", "cursor", "--root", "src")
    entry = read(tmp_path / ".cursor/mcp.json")["mcpServers"]["exai"]
    assert entry["args"] == [
        "stdio",
        "--config",
        str(tmp_path / "mine.toml"),
        "--root",
        str(tmp_path / "src"),
    ]


def test_other_clients_are_configured_where_they_are_used(init: Init, tmp_path: Path) -> None:
    for trace in (".codex", ".gemini", ".config/Claude", ".codeium/windsurf"):
        (tmp_path / trace).mkdir(parents=True)
    result = init("--yes")
    assert tomllib.loads((tmp_path / ".codex/config.toml").read_text())["mcp_servers"]["exai"]["args"] == [
        "stdio"
    ]
    for name in (
        ".gemini/settings.json",
        ".config/Claude/claude_desktop_config.json",
        ".codeium/windsurf/mcp_config.json",
    ):
        assert read(tmp_path / name)["mcpServers"]["exai"]["args"] == ["stdio"]
    assert not (tmp_path / "opencode.json").exists()
    for title in ("Codex", "Gemini CLI", "Claude Desktop", "Windsurf"):
        assert f"Next, {title}: " in result.output


def test_a_client_that_can_refer_to_no_token_is_not_written_without(init: Init, tmp_path: Path) -> None:
    result = init("--yes", "--client", "claude-desktop", "--set", "auth.mode=required")
    assert isinstance(result.exception, StartFault)
    assert "--credentials" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
