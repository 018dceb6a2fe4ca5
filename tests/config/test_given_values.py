"""What counts as a value that was given: neither an empty text nor a placeholder, and whose variables those are."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from exai.config import Settings
from exai.config.client import TOKEN_VARIABLE, credentials_variable, token_variable
from exai.config.secrets import KeyringAnswer
from exai.config.sources import Loaded, load
from exai.config.tree import NAME, rows
from exai.errors import StartFault

CANARY = "CANARY_77AE"

LoadWith = Callable[..., Loaded]


@pytest.fixture
def load_with(tmp_path: Path) -> LoadWith:
    def load_it(environ: Mapping[str, str] | None = None, *overrides: str, content: str = "") -> Loaded:
        file = tmp_path / "settings.toml"
        file.write_text(content)
        file.chmod(0o600)
        named = {"HOME": str(tmp_path), "EXAI_CONFIG": str(file)}
        return load(
            environ={**named, **(environ or {})}, config_file=None, overrides=overrides, cwd=tmp_path / "cwd"
        )

    return load_it


def refusal(load_with: LoadWith, *arguments: object, **named: object) -> str:
    with pytest.raises(StartFault) as caught:
        load_with(*arguments, **named)
    assert CANARY not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_an_empty_variable_is_not_given_whatever_its_setting(load_with: LoadWith, blank: str) -> None:
    own = {name for row in rows() if NAME not in row.key for name in row.environment}
    paths = {"EXAI_SECRETS", "EXAI_TOKEN", "EXAI_CREDENTIALS"}
    loaded = load_with(dict.fromkeys(own | paths, blank))
    assert loaded.settings == load_with().settings
    assert set(loaded.origins.values()) == {"default"}


def test_an_empty_text_is_not_given_in_the_file_or_on_the_command_line(
    load_with: LoadWith, tmp_path: Path
) -> None:
    loaded = load_with(None, "server.port=", "data_dir= ", content="data_dir = ''\nserver.host = ' '\n")
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.settings.data_dir == tmp_path / ".local/share/exai"


def test_an_empty_source_leaves_the_place_to_a_weaker_one(load_with: LoadWith) -> None:
    content = "server.port = 9001\nproviders.kimi.api_key = 'sk-file'\n"
    environ = {"EXAI_SERVER__PORT": "", "KIMI_API_KEY": "", "GLM_API_KEY": "", "ZAI_API_KEY": "id.secret"}
    loaded = load_with(environ, "server.port=", content=content)
    assert loaded.settings.server.port == 9001
    assert loaded.settings.providers.kimi.api_key == SecretStr("sk-file")
    assert loaded.origins["providers.glm.api_key"] == "environment ZAI_API_KEY"


def test_a_list_is_emptied_by_writing_an_empty_list(load_with: LoadWith) -> None:
    content = "files.roots = ['/srv']\n"
    assert load_with({"EXAI_FILES__ROOTS": ""}, content=content).settings.files.roots == (Path("/srv"),)
    assert load_with({"EXAI_FILES__ROOTS": "[]"}, content=content).settings.files.roots == ()


def test_an_empty_entry_of_the_keyring_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(StartFault, match=r"database\.url.* \(keyring exai\) is set but empty"):
        load(
            environ={"HOME": str(tmp_path)},
            config_file=None,
            overrides=(),
            cwd=tmp_path,
            keyring=lambda _: KeyringAnswer({"database.url": " "}),
        )


def test_white_space_around_a_value_is_no_part_of_it(load_with: LoadWith) -> None:
    environ = {"KIMI_API_KEY": "sk-one\r\n", "EXAI_LOGGING__LEVEL": "debug\r", "EXAI_SERVER__PORT": " 9000 "}
    settings = load_with(environ).settings
    assert settings.providers.kimi.api_key == SecretStr("sk-one")
    assert (settings.logging.level, settings.server.port) == ("debug", 9000)


REFERENCES = (
    f"${{{CANARY}}}",
    f"${{{CANARY}:-}}",
    f"${CANARY}",
    f"%{CANARY}%",
    f"{{{{ {CANARY} }}}}",
    f"$(cat {CANARY})",
)
QUOTED = (f'"{CANARY}"', f"'{CANARY}'", f"`{CANARY}`", f"“{CANARY}”")
EXAMPLES = (f"<{CANARY}>", f"<your {CANARY} key>")
TEXTS = (
    "KIMI_API_KEY",
    "GLM_API_KEY",
    "EXAI_DATA_DIR",
    "EXAI_DATABASE__URL",
    "EXAI_SERVER__HOST",
    "EXAI_SERVER__PORT",
    "EXAI_PRESET",
    "EXAI_FILES__ROOTS",
    "EXAI_MODELS__DEFAULT",
    "EXAI_AUTH__SHARED_SECRET",
    "EXAI_CONFIG",
    "EXAI_SECRETS",
)


@pytest.mark.parametrize("variable", TEXTS)
@pytest.mark.parametrize(
    ("texts", "says"), [(REFERENCES, "a reference"), (QUOTED, "in quotes"), (EXAMPLES, "an example")]
)
def test_a_placeholder_is_named_and_refused(
    load_with: LoadWith, variable: str, texts: tuple[str, ...], says: str
) -> None:
    for text in texts:
        sentence = refusal(load_with, {variable: text})
        assert variable in sentence
        assert says in sentence


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data_dir", f"'$HOME/{CANARY}'"),
        ("data_dir", f"'/srv/${{{CANARY}}}/exai'"),
        ("files.roots", f"['/srv', '$HOME/{CANARY}']"),
        ("database.url", f"'postgresql+asyncpg://exai:${CANARY}@db/exai'"),
        ("database.url", f"'postgresql+asyncpg://exai:<{CANARY}>@db/exai'"),
        ("providers.custom.x", f"{{ base_url = 'http://h', models = [{{ name = '${{{CANARY}}}' }}] }}"),
        (
            "providers.custom.x",
            f"{{ base_url = 'http://h', models = [], headers = ['A: Bearer ${{{CANARY}}}'] }}",
        ),
    ],
)
def test_a_placeholder_inside_a_value_is_found(load_with: LoadWith, key: str, value: str) -> None:
    assert f"`{key}" in refusal(load_with, content=f"{key} = {value}\n")


@pytest.mark.parametrize(
    "key",
    ["...", "sk-...", "sk-xxxxxxxx", "********", "your-api-key", "YOUR_KEY", "changeme", "undefined", '"sk'],
)
def test_an_example_of_a_key_is_no_key(load_with: LoadWith, key: str) -> None:
    assert "KIMI_API_KEY" in refusal(load_with, {"KIMI_API_KEY": key})


def test_a_client_s_token_is_held_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, f"${{{TOKEN_VARIABLE}}}")
    with pytest.raises(StartFault, match=r"EXAI_TOKEN.*reference"):
        token_variable()
    monkeypatch.setenv(TOKEN_VARIABLE, " ")
    assert token_variable() is None
    monkeypatch.setenv("EXAI_CREDENTIALS", f"${CANARY}/mine.json")
    with pytest.raises(StartFault, match="EXAI_CREDENTIALS"):
        credentials_variable()


@pytest.mark.parametrize(
    "override",
    [
        "database.url=postgresql+asyncpg://exai:pa$Word@db/exai",
        "database.url=postgresql+asyncpg://exai:a<b>c@db/exai",
        "data_dir=/srv/a$b/100%/it's",
        'providers.custom.x.headers=["If-None-Match: \\"e\\"", "From: Me <me@h>"]',
        "providers.custom.x.api_key=EMPTY",
        "providers.custom.x.api_key=none",
        "models.default=auto",
    ],
)
def test_odd_values_that_may_be_meant_pass(load_with: LoadWith, override: str) -> None:
    load_with(
        None, override, content="providers.custom.x = { base_url = 'http://h', models = [{ name = 'm' }] }\n"
    )


def test_a_placeholder_that_something_stronger_replaces_does_no_harm(load_with: LoadWith) -> None:
    assert load_with({"EXAI_SERVER__HOST": "${X}"}, "server.host=::1").settings.server.host == "::1"


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("logging.level", "INFO", "info"),
        ("logging.format", "JSON", "json"),
        ("preset", "Production", "production"),
        ("auth.algorithm", "eddsa", "EdDSA"),
        ("providers.glm.auth", "JWT", "jwt"),
        ("models.auto_by", "Price", "price"),
    ],
)
def test_a_choice_is_taken_in_any_case(load_with: LoadWith, key: str, value: str, meant: str) -> None:
    settings: object = load_with(None, f"{key}={value}").settings
    for name in key.split("."):
        settings = getattr(settings, name)
    assert settings == meant


def test_a_preset_in_another_case_has_its_values(load_with: LoadWith) -> None:
    assert load_with({"EXAI_PRESET": "TESTING"}).settings.server.drain_s == 0.5


def test_choices_in_lists_and_tables_are_taken_in_any_case() -> None:
    row = {"base_url": "http://h", "models": [{"name": "m", "efforts": ["None", "HIGH"]}]}
    settings = Settings.model_validate({"providers": {"custom": {"x": row}}})
    assert settings.providers.custom["x"].models[0].efforts == ("none", "high")


OF_OTHERS = {
    "EXAI_PORT": "tcp://10.0.0.1:8079",
    "EXAI_PORT_8079_TCP": "tcp://10.0.0.1:8079",
    "EXAI_PORT_8079_TCP_PROTO": "tcp",
    "EXAI_PORT_8079_TCP_PORT": "8079",
    "EXAI_PORT_8079_TCP_ADDR": "10.0.0.1",
    "EXAI_SERVICE_HOST": "10.0.0.1",
    "EXAI_SERVICE_PORT": "8079",
    "EXAI_SERVICE_PORT_MCP_WS": "8079",
    "EXAI_SERVER_PORT": "tcp://10.0.0.1:8079",
    "EXAI_SERVER_SERVICE_PORT": "8079",
    "EXAI_NAME": "/web/exai",
    "EXAI_ENV_GPG_KEY": "A035C8C19219BA821ECEA86B64E628F8D684696D",
}
"""What Kubernetes sets for a service, and Docker for a link, named `exai` or `exai-server`."""


def test_variables_of_an_orchestrator_are_passed_over(load_with: LoadWith) -> None:
    loaded = load_with(OF_OTHERS)
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.unread_variables == ()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("EXAI_PORT", "EXAI_SERVER__PORT"),
        ("EXAI_SERVER_PORT", "EXAI_SERVER__PORT"),
        ("EXAI_SERVER__PROT", "EXAI_SERVER__PORT"),
        ("EXAI_LOG_LEVEL", "EXAI_LOGGING__LEVEL"),
        ("EXAI_DATADIR", "EXAI_DATA_DIR"),
        ("EXAI_DATABASE_URL", "EXAI_DATABASE__URL"),
        ("EXAI_TIMEOUTS__ZZZ", "EXAI_TIMEOUTS__"),
    ],
)
def test_a_variable_near_a_setting_is_refused(load_with: LoadWith, variable: str, meant: str) -> None:
    sentence = refusal(load_with, {variable: CANARY})
    assert f"`{variable}`" in sentence
    assert f"`{meant}" in sentence


def test_a_variable_that_is_nobody_s_is_reported(load_with: LoadWith) -> None:
    others = {"EXAI_IMAGE": "x", "EXAI_VERSION": "1", "EXAI_GIT_SHA": "x", "EXAI_HOSTNAME": "x"}
    assert load_with({**others, **OF_OTHERS}).unread_variables == tuple(others)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("HOME", raising=False)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_paths_from_the_root_are_enough(tmp_path: Path) -> None:
    environ = {"EXAI_DATA_DIR": "/srv/exai", "GLM_API_KEY": "id.secret"}
    loaded = load(environ=environ, config_file=None, overrides=(), cwd=tmp_path)
    assert loaded.settings.data_dir == Path("/srv/exai")
    assert loaded.secrets_folder is None


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, "EXAI_DATA_DIR"),
        ({"EXAI_DATA_DIR": "~/exai"}, "`HOME`"),
        ({"EXAI_CONFIG": "~/exai.toml"}, "`HOME`"),
        ({"EXAI_SECRETS": "~/secrets"}, "`HOME`"),
        ({"EXAI_DATA_DIR": "/srv", "EXAI_FILES__ROOTS": "~/src"}, "`HOME`"),
    ],
)
def test_without_a_home_folder_a_path_in_it_is_refused_in_a_sentence(
    tmp_path: Path, environ: Mapping[str, str], names: str
) -> None:
    with pytest.raises(StartFault, match=names):
        load(environ=environ, config_file=None, overrides=(), cwd=tmp_path)
