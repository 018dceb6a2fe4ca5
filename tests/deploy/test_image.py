"""The image of a container: what its file says fits what EXAI reads. Building it is `scripts/image`."""

import re
from pathlib import Path

import pytest
from checks.release import image
from checks.release.image import DOCKERFILE, main

from exai.config.sources import load

TEXT = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text(encoding="utf-8"))


def _value(instruction: str) -> str:
    (value,) = re.findall(rf"^{instruction} (.*)$", TEXT, flags=re.MULTILINE)
    return str(value)


def test_its_variables_are_settings_and_let_others_in_with_tokens_alone(tmp_path: Path) -> None:
    environ = dict(pair.split("=", 1) for pair in _value("ENV").split())
    loaded = load(environ=environ, config_file=None, overrides=(), cwd=tmp_path)
    assert loaded.unread_variables == ()
    assert loaded.settings.server.host == "0.0.0.0"
    assert loaded.settings.auth.mode == "required"
    assert str(loaded.settings.data_dir) == _value("VOLUME") == environ["HOME"]
    server = loaded.settings.server
    assert [int(port) for port in _value("EXPOSE").split()] == [
        server.port,
        server.operations_port,
        server.errors_port,
    ]


def test_it_runs_as_nobody_and_is_asked_whether_it_is_ready() -> None:
    user, group = _value("USER").split(":")
    assert min(int(user), int(group)) >= 10_000
    assert "127.0.0.1:8080/readyz" in _value("HEALTHCHECK .*CMD")


def test_no_step_of_it_needs_a_network() -> None:
    installs = re.findall(r"pip install[^&]*", TEXT)
    assert installs
    assert all("--no-index" in install for install in installs)


def test_without_a_builder_it_is_said_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image, "BUILDERS", ("no-such-builder",))
    assert main([]) == 1
    assert "apt-get install buildah" in capsys.readouterr().err
