"""`exai config`: every setting, its value and its origin, and no secret."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.config.tree import KEY_ALIASES, MASK, rows

Config = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    for name in ("EXAI_CONFIG", *(alias for aliases in KEY_ALIASES.values() for alias in aliases)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(build_app(), ["config", *arguments])


def test_every_setting_is_a_line_with_its_value_and_origin(config: Config, tmp_path: Path) -> None:
    (tmp_path / "exai.toml").write_text("[server]\ndrain_s = 3\n")
    result = config("--set", "server.port=9000")
    assert result.exit_code == 0
    lines = {line.split()[0]: line.split(maxsplit=2) for line in result.output.splitlines()[1:]}
    assert set(lines) == {row.key for row in rows() if ".NAME." not in row.key}
    assert lines["server.port"][1:] == ["9000", "command line"]
    assert lines["server.drain_s"][1:] == ["3.0", f"file {tmp_path / 'exai.toml'}"]
    assert lines["server.host"][1:] == ['"127.0.0.1"', "default"]


def test_json_says_the_same(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXAI_FILES__ROOTS", "/srv")
    document = json.loads(config("--json").output)
    assert document["config_file"] is None
    assert document["settings"]["files.roots"] == {
        "value": ["/srv"],
        "origin": "environment EXAI_FILES__ROOTS",
    }
    assert document["settings"]["data_dir"]["value"] == str(tmp_path / ".local/share/exai")
    assert document["settings"]["database.url"] == {"value": None, "origin": "default"}


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_secrets_are_masked(
    config: Config, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ZAI_API_KEY", "id.canary")
    monkeypatch.setenv("EXAI_DATABASE__URL", "postgresql+asyncpg://user:canary@host/name")
    custom = ("providers.custom.x.base_url=http://u:canary@h/v1", "providers.custom.x.models=[]")
    result = config(*arguments, *(part for line in custom for part in ("--set", line)))
    assert result.exit_code == 0
    assert "canary" not in result.output
    assert result.output.count(MASK) == 3
    assert "environment ZAI_API_KEY" in result.output
