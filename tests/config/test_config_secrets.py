"""Secrets from the keyring and from files of their own: which wins, and what a wrong one is answered with."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from exai.config import secrets as config_secrets
from exai.config.secrets import AskKeyring, KeyringAnswer, ask_keyring
from exai.config.sources import Loaded, load
from exai.errors import StartFault
from support.daemons import EXAI, clean_environ

GLM, KIMI = "providers.glm.api_key", "providers.kimi.api_key"
CUSTOM = ["providers.custom.mine.base_url=http://h/v1", 'providers.custom.mine.models=[{"name": "m"}]']


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / ".config/exai/secrets"
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, key: str, text: str, mode: int = 0o600) -> Path:
    file = folder / key
    file.write_text(text)
    file.chmod(mode)
    return file


def loaded(
    home: Path, *, keyring: AskKeyring | None = None, overrides: Sequence[str] = (), **environ: str
) -> Loaded:
    return load(
        environ={"HOME": str(home), **environ},
        config_file=None,
        overrides=overrides,
        cwd=home,
        keyring=keyring,
    )


def keyring_of(**secrets: str) -> AskKeyring:
    return lambda keys: KeyringAnswer({key: secrets[key] for key in keys if key in secrets})


def test_keyring_then_file_then_environment_and_the_origin_says_which(tmp_path: Path, secrets: Path) -> None:
    environ = {"KIMI_API_KEY": "from-environment"}
    keyring = keyring_of(**{KIMI: "from-keyring"})

    def found(keyring: AskKeyring | None, overrides: Sequence[str] = ()) -> tuple[str, str]:
        tree = loaded(tmp_path, keyring=keyring, overrides=overrides, **environ)
        secret = tree.settings.providers.kimi.api_key
        assert secret is not None
        return secret.get_secret_value(), tree.origins[KIMI]

    assert found(None) == ("from-environment", "environment KIMI_API_KEY")
    file = put(secrets, KIMI, "from-file\n")
    assert found(None) == ("from-file", f"secret file {file}")
    assert found(keyring) == ("from-keyring", "keyring exai")
    assert found(keyring, [f"{KIMI}=from-line"]) == ("from-line", "command line")


def test_every_secret_may_lie_there_also_those_of_custom_providers(tmp_path: Path, secrets: Path) -> None:
    put(secrets, "providers.custom.mine.api_key", "one")
    put(secrets, "providers.custom.unused.api_key", "of nobody")
    put(secrets, "database.url", "sqlite:////tmp/x")
    settings = loaded(tmp_path, overrides=CUSTOM).settings
    key, url = settings.providers.custom["mine"].api_key, settings.database.url
    assert key is not None
    assert url is not None
    assert (key.get_secret_value(), url.get_secret_value()) == ("one", "sqlite:////tmp/x")
    assert list(settings.providers.custom) == ["mine"]


def test_the_keyring_is_asked_for_secrets_and_nothing_else(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(keys: Sequence[str]) -> KeyringAnswer:
        asked.extend(keys)
        return KeyringAnswer()

    loaded(tmp_path, keyring=ask, overrides=CUSTOM)
    mine = ["providers.custom.mine.api_key", "providers.custom.mine.headers"]
    bucket = ["files.s3.access_key_id", "files.s3.secret_access_key"]
    assert asked == [GLM, KIMI, *mine, *bucket, "database.url", "notify.secret", "auth.shared_secret"]


def test_a_list_of_secrets_is_spelt_as_in_the_environment(tmp_path: Path, secrets: Path) -> None:
    put(secrets, "providers.custom.mine.headers", '["X-One: a, b", "X-Two: c"]')
    headers = loaded(tmp_path, overrides=CUSTOM).settings.providers.custom["mine"].headers
    assert [header.get_secret_value() for header in headers] == ["X-One: a, b", "X-Two: c"]


def test_the_folder_can_be_named(tmp_path: Path) -> None:
    for named, folder in (
        ("~/a", tmp_path / "a"),
        ("b", tmp_path / "b"),
        (str(tmp_path / "c"), tmp_path / "c"),
    ):
        folder.mkdir()
        put(folder, KIMI, folder.name)
        key = loaded(tmp_path, EXAI_SECRETS=named).settings.providers.kimi.api_key
        assert key is not None
        assert key.get_secret_value() == folder.name


def test_a_secret_file_that_others_can_read_stops_the_start(tmp_path: Path, secrets: Path) -> None:
    file = put(secrets, KIMI, "canary", 0o644)
    with pytest.raises(StartFault, match=f"chmod 600 {file}") as caught:
        loaded(tmp_path, KIMI_API_KEY="good")
    assert "canary" not in str(caught.value)


def test_an_empty_file_is_a_fault_and_no_missing_key(tmp_path: Path, secrets: Path) -> None:
    put(secrets, KIMI, "\n")
    with pytest.raises(StartFault, match=r"secret file .* is set but empty"):
        loaded(tmp_path)


def test_a_configuration_file_with_a_secret_must_be_private_too(tmp_path: Path) -> None:
    file = tmp_path / "exai.toml"
    file.write_text("[server]\nport = 9\n")
    file.chmod(0o644)
    assert loaded(tmp_path).settings.server.port == 9
    file.write_text("[providers.kimi]\napi_key = 'canary'\n")
    with pytest.raises(StartFault, match=f"`{KIMI}`.*chmod 600 {file}") as caught:
        loaded(tmp_path)
    assert "canary" not in str(caught.value)
    file.chmod(0o600)
    assert loaded(tmp_path).origins[KIMI] == f"file {file}"


def test_variables_of_clients_are_no_settings(tmp_path: Path) -> None:
    loaded(tmp_path, EXAI_TOKEN="t", EXAI_CREDENTIALS="f", EXAI_SECRETS="")


def test_a_keyring_that_fails_is_reported_and_the_next_source_counts(tmp_path: Path) -> None:
    tree = loaded(tmp_path, keyring=lambda _: KeyringAnswer(trouble="It is locked."), KIMI_API_KEY="k")
    assert tree.keyring_trouble == "It is locked."
    assert tree.origins[KIMI] == "environment KIMI_API_KEY"


def test_a_real_keyring_is_read_by_the_command(tmp_path: Path) -> None:
    environ = {
        **clean_environ(tmp_path / "data"),
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
    }
    command = [sys.executable, "-m", "keyring", "set", "exai", KIMI]
    subprocess.run(command, env=environ, input=b"canary\n", check=True, capture_output=True)
    shown = subprocess.run([*EXAI, "config"], env=environ, check=True, capture_output=True, text=True).stdout
    line = next(line for line in shown.splitlines() if line.startswith(KIMI))
    assert line.endswith("keyring exai")
    assert "canary" not in shown


def test_without_the_package_no_keyring_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(config_secrets.BACKEND_VARIABLE)
    monkeypatch.setattr(config_secrets, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert ask_keyring([KIMI]) == KeyringAnswer()


def test_a_machine_without_a_keyring_has_no_trouble_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backends import fail

    monkeypatch.delenv(config_secrets.BACKEND_VARIABLE)
    monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())  # type: ignore[no-untyped-call]
    assert ask_keyring([KIMI]) == KeyringAnswer()


def test_a_keyring_package_that_is_broken_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(config_secrets.BACKEND_VARIABLE)
    monkeypatch.setitem(sys.modules, "keyring.errors", None)
    assert "ModuleNotFoundError" in (ask_keyring([KIMI]).trouble or "")


def test_a_keyring_that_raises_or_waits_for_its_user_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backends import null

    unlocked = threading.Event()

    class Locked(null.Keyring):
        def get_password(self, service: str, username: str | None) -> None:  # type: ignore[override]  # noqa: ARG002
            unlocked.wait()
            raise OSError("canary")

    monkeypatch.delenv(config_secrets.BACKEND_VARIABLE)
    monkeypatch.setattr(keyring.core, "_keyring_backend", Locked())  # type: ignore[no-untyped-call]
    monkeypatch.setattr(config_secrets, "ANSWER_S", 0.05)
    assert "within 0.05 s" in (ask_keyring([KIMI]).trouble or "")
    unlocked.set()
    monkeypatch.setattr(config_secrets, "ANSWER_S", 20.0)
    trouble = ask_keyring([KIMI]).trouble or ""
    assert "OSError" in trouble
    assert "canary" not in trouble
