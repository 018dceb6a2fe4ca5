"""Which source wins, where each value says it came from, and what a wrong one is answered with."""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from exai.config.secrets import KeyringAnswer
from exai.config.sources import Loaded, Overrides, load
from exai.config.tree import as_toml, find, secret_values, values
from exai.errors import StartFault

CANARY = "canary-5f1d"

LoadWith = Callable[..., Loaded]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def load_with(home: Path, cwd: Path) -> LoadWith:
    def load_it(
        environ: Mapping[str, str] | None = None,
        *,
        file: Path | None = None,
        overrides: Overrides = (),
        trust_cwd: bool = True,
    ) -> Loaded:
        return load(
            environ={"HOME": str(home), **(environ or {})},
            config_file=file,
            overrides=overrides,
            cwd=cwd,
            trust_cwd=trust_cwd,
        )

    return load_it


def refusal(load_with: LoadWith, *arguments: object, **named: object) -> str:
    with pytest.raises(StartFault) as caught:
        load_with(*arguments, **named)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_without_settings_every_value_is_the_default(load_with: LoadWith, home: Path) -> None:
    loaded = load_with()
    assert loaded.settings.server.port == 8079
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.config_file is None
    assert loaded.settings.data_dir == home / ".local/share/exai"


def test_each_source_is_stronger_than_the_one_before(load_with: LoadWith, cwd: Path) -> None:
    file = cwd / "exai.toml"
    file.write_text("[server]\nport = 1001\noperations_port = 1002\ndrain_s = 3\n")
    environ = {"EXAI_SERVER__OPERATIONS_PORT": "2002", "EXAI_SERVER__DRAIN_S": "2.5"}
    loaded = load_with(environ, overrides=["server.drain_s=9"])
    server = loaded.settings.server
    assert (server.host, server.port, server.operations_port, server.drain_s) == (
        "127.0.0.1",
        1001,
        2002,
        9.0,
    )
    assert loaded.origins["server.host"] == "default"
    assert loaded.origins["server.port"] == f"file {file}"
    assert loaded.origins["server.operations_port"] == "environment EXAI_SERVER__OPERATIONS_PORT"
    assert loaded.origins["server.drain_s"] == "command line"


def test_overrides_may_be_typed_values(load_with: LoadWith) -> None:
    loaded = load_with(overrides={"server.port": 0, "files.roots": (Path("/srv"),)})
    assert loaded.settings.server.port == 0
    assert loaded.settings.files.roots == (Path("/srv"),)


def test_of_two_overrides_of_one_key_the_last_counts(load_with: LoadWith) -> None:
    assert load_with(overrides=["server.port=1", ("server.port", 2)]).settings.server.port == 2


@pytest.mark.parametrize("name", ["GLM_API_KEY", "ZAI_API_KEY", "Z_AI_API_KEY", "ZHIPUAI_API_KEY"])
def test_a_glm_key_is_found_under_each_usual_name(load_with: LoadWith, name: str) -> None:
    loaded = load_with({name: "id.secret"})
    assert loaded.settings.providers.glm.api_key == SecretStr("id.secret")
    assert loaded.origins["providers.glm.api_key"] == f"environment {name}"


@pytest.mark.parametrize("name", ["KIMI_API_KEY", "MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY"])
def test_a_kimi_key_is_found_under_each_usual_name(load_with: LoadWith, name: str) -> None:
    loaded = load_with({name: "sk-one"})
    assert loaded.settings.providers.kimi.api_key == SecretStr("sk-one")
    assert loaded.origins["providers.kimi.api_key"] == f"environment {name}"


def test_a_keys_own_variable_has_precedence_over_usual_names(load_with: LoadWith) -> None:
    environ = {"ZAI_API_KEY": "b.b", "EXAI_PROVIDERS__GLM__API_KEY": "a.a", "GLM_API_KEY": "c.c"}
    loaded = load_with(environ)
    assert loaded.settings.providers.glm.api_key == SecretStr("a.a")
    del environ["EXAI_PROVIDERS__GLM__API_KEY"]
    assert load_with(environ).origins["providers.glm.api_key"] == "environment GLM_API_KEY"


def test_the_file_is_the_first_of_the_usual_places(load_with: LoadWith, home: Path, cwd: Path) -> None:
    def write(path: Path, port: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"server.port = {port}\n")
        return path

    write(home / ".config/exai/exai.toml", 1)
    assert load_with().settings.server.port == 1
    write(cwd / "exai.toml", 2)
    assert load_with().settings.server.port == 2
    assert load_with(trust_cwd=False).settings.server.port == 1
    named = write(home / "named.toml", 3)
    assert load_with({"EXAI_CONFIG": "~/named.toml"}).settings.server.port == 3
    explicit = write(cwd / "explicit.toml", 4)
    loaded = load_with({"EXAI_CONFIG": str(named)}, file=Path("explicit.toml"))
    assert loaded.settings.server.port == 4
    assert loaded.config_file == explicit


ELSEWHERE = {
    "providers.glm.base_url = 'https://evil.example/v4'": {"GLM_API_KEY": f"id.{CANARY}"},
    "providers.glm.base_url = 'http://api.z.ai/api/paas/v4'": {"GLM_API_KEY": f"id.{CANARY}"},
    "providers.kimi.base_url = 'https://evil.example/v1'": {"EXAI_PROVIDERS__KIMI__API_KEY": CANARY},
    "providers.custom.mine.base_url = 'https://api.z.ai/v1'\nproviders.custom.mine.models = [{ name = 'm' }]": {
        "EXAI_PROVIDERS__CUSTOM__MINE__HEADERS": f"X-Key: {CANARY}"
    },
}


@pytest.mark.parametrize(("content", "environ"), ELSEWHERE.items())
def test_a_file_that_was_only_found_gets_no_key_from_elsewhere(
    load_with: LoadWith, cwd: Path, home: Path, content: str, environ: Mapping[str, str]
) -> None:
    file = cwd / "exai.toml"
    file.write_text(content)
    sentence = refusal(load_with, environ)
    assert f"(file {file})" in sentence
    assert f"`--config {file}`" in sentence
    key = content.partition(".base_url")[0]
    assert f"`{key}." in sentence
    # Named, it is the user's own; so is the file of the user's folder, from wherever it is reached.
    assert load_with(environ, file=Path("exai.toml")).config_file == file
    assert load_with({**environ, "EXAI_CONFIG": str(file)}).config_file == file
    mine = home / ".config/exai"
    mine.mkdir(parents=True)
    file.rename(mine / "exai.toml")
    assert load_with(environ).config_file == mine / "exai.toml"
    file.symlink_to(mine / "exai.toml")
    assert load_with(environ).config_file == file


def test_a_secret_file_and_a_keyring_are_kept_from_it_too(home: Path, cwd: Path) -> None:
    (cwd / "exai.toml").write_text("providers.kimi.base_url = 'https://evil.example/v1'\n")
    folder = home / ".config/exai/secrets"
    folder.mkdir(parents=True)

    def refused(answer: KeyringAnswer) -> str:
        with pytest.raises(StartFault) as caught:
            load(
                environ={"HOME": str(home)},
                config_file=None,
                overrides=(),
                cwd=cwd,
                keyring=lambda _: answer,
            )
        return str(caught.value)

    assert "keyring exai" in refused(KeyringAnswer({"providers.kimi.api_key": CANARY}))
    (folder / "providers.kimi.api_key").write_text(CANARY)
    (folder / "providers.kimi.api_key").chmod(0o600)
    assert "secret file" in refused(KeyringAnswer())


def test_a_found_file_may_name_platforms_and_use_its_own_keys(load_with: LoadWith, cwd: Path) -> None:
    file = cwd / "exai.toml"
    file.write_text(
        f"""
        providers.glm.base_url = "https://open.bigmodel.cn/api/paas/v4"
        providers.kimi = {{ base_url = "https://proxy.example/v1", api_key = "{CANARY}" }}
        providers.custom.local = {{ base_url = "http://127.0.0.1:11434/v1", models = [{{ name = "m" }}] }}
        """
    )
    file.chmod(0o600)
    loaded = load_with({"GLM_API_KEY": "id.secret"})
    assert loaded.config_file == file
    assert loaded.settings.providers.glm.base_url.host == "open.bigmodel.cn"


def test_a_named_file_that_is_missing_is_refused(load_with: LoadWith, cwd: Path) -> None:
    assert "does not exist" in refusal(load_with, file=cwd / "none.toml")
    assert "does not exist" in refusal(load_with, {"EXAI_CONFIG": "/none.toml"})


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"[server\n", "line 1"), (b"\xff\xfe\x00", "UTF-8"), (b"a = 1\na = 2\n", "line 2")],
)
def test_a_file_that_is_no_toml_is_refused(load_with: LoadWith, cwd: Path, content: bytes, says: str) -> None:
    file = cwd / "exai.toml"
    file.write_bytes(content)
    sentence = refusal(load_with)
    assert str(file) in sentence
    assert says in sentence


def test_a_folder_in_the_place_of_the_file_is_refused(load_with: LoadWith, cwd: Path) -> None:
    (cwd / "exai.toml").mkdir()
    assert "cannot be read" in refusal(load_with)


@pytest.mark.parametrize(
    ("content", "key", "nearest"),
    [
        ("[server]\nprot = 1", "server.prot", "server.port"),
        ("[sever]\nport = 1", "sever.port", "server.port"),
        ("port = 1", "port", "server.port"),
        ("[providers.glm]\nkey = 'x'", "providers.glm.key", "providers.glm.api_key"),
        ("[providers.custom.mine]\nurl = 'x'", "providers.custom.mine.url", "providers.custom.NAME.base_url"),
        ("[nothing]", "nothing", ""),
    ],
)
def test_an_unknown_key_of_the_file_names_its_place_and_the_nearest(
    load_with: LoadWith, cwd: Path, content: str, key: str, nearest: str
) -> None:
    file = cwd / "exai.toml"
    file.write_text(content)
    sentence = refusal(load_with)
    assert f"`{key}`" in sentence
    assert f"file {file}" in sentence
    assert f"nearest one is `{nearest}" in sentence


def test_an_unknown_variable_names_the_nearest_one(load_with: LoadWith) -> None:
    sentence = refusal(load_with, {"EXAI_SERVER__PROT": "1"})
    assert "`EXAI_SERVER__PROT`" in sentence
    assert "`EXAI_SERVER__PORT`" in sentence
    assert "`server.port`" in sentence


def test_other_variables_are_nobodys_business(load_with: LoadWith) -> None:
    assert set(load_with({"EXAIR": "1", "PATH": "/bin"}).origins.values()) == {"default"}


def test_an_unknown_override_names_the_nearest_one(load_with: LoadWith) -> None:
    sentence = refusal(load_with, overrides=["loging.level=debug"])
    assert "`loging.level` (command line)" in sentence
    assert "`logging.level`" in sentence


def test_an_override_without_a_value_is_refused_without_quoting_it(load_with: LoadWith) -> None:
    assert CANARY not in refusal(load_with, overrides=[CANARY])


@pytest.mark.parametrize(
    ("override", "must_be"),
    [
        (f"server.port={CANARY}", "a whole number, at least 0, at most 65535"),
        ("server.port=70000", "a whole number, at least 0, at most 65535"),
        ("timeouts.call_s=0", "a number of seconds, above 0, at most 86400"),
        (f"logging.level={CANARY}", "one of `debug`, `info`, `warning`, `error`"),
        (f"providers.glm.base_url={CANARY}", "an http or https URL"),
        (f"files.roots=[{CANARY}", "a list of paths"),
        (f'server.trusted_proxies=["{CANARY}"]', "a list of networks such as `10.1.2.0/24` or addresses"),
        ('server.trusted_proxies=["0.0.0.0/0"]', "a list of networks such as `10.1.2.0/24` or addresses"),
        ('server.trusted_proxies=["10.1.2.3/8"]', "a list of networks such as `10.1.2.0/24` or addresses"),
        ("conversations.history_share=1", "a number, above 0, at most 0.9"),
    ],
)
def test_the_error_for_a_wrong_value_has_its_type_and_origin(
    load_with: LoadWith, override: str, must_be: str
) -> None:
    key = override.partition("=")[0]
    sentence = refusal(load_with, overrides=[override])
    assert f"`{key}` (command line) must be {must_be}" in sentence
    assert CANARY not in sentence


def test_a_wrong_type_in_the_file_names_the_file_and_not_the_value(load_with: LoadWith, cwd: Path) -> None:
    (cwd / "exai.toml").touch(0o600)
    (cwd / "exai.toml").write_text(f"[providers.glm]\napi_key = ['{CANARY}']\n")
    sentence = refusal(load_with)
    assert "`providers.glm.api_key` (file " in sentence
    assert CANARY not in sentence


def test_a_value_in_the_place_of_a_section_is_refused(load_with: LoadWith, cwd: Path) -> None:
    (cwd / "exai.toml").write_text("server = 5\n")
    assert "`server`" in refusal(load_with)
    assert "is no setting" in refusal(load_with, {"EXAI_CONFIG": "/dev/null", "EXAI_SERVER": "5"})


def test_lists_are_written_with_commas_or_as_json(load_with: LoadWith, home: Path, cwd: Path) -> None:
    loaded = load_with(
        {"EXAI_FILES__ROOTS": "~/a, sub,/srv", "EXAI_MODELS__PREFERRED": '["glm-5.3"]'},
        overrides=["server.allowed_hosts="],
    )
    assert loaded.settings.files.roots == (home / "a", cwd / "sub", Path("/srv"))
    assert loaded.settings.models.preferred == ("glm-5.3",)
    assert loaded.settings.server.allowed_hosts == ()


def test_relative_paths_of_a_file_begin_at_its_folder(load_with: LoadWith, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "e.toml").write_text("data_dir = 'data'\nfiles.roots = ['~', 'src']\n")
    loaded = load_with(file=elsewhere / "e.toml")
    assert loaded.settings.data_dir == elsewhere / "data"
    assert loaded.settings.files.roots == (tmp_path / "home", elsewhere / "src")


def test_a_custom_provider_may_come_from_several_sources(load_with: LoadWith, cwd: Path) -> None:
    file = cwd / "exai.toml"
    file.write_text(
        "[providers.custom.mine]\nbase_url = 'http://h/v1'\nmodels = [{ name = 'm', images = true }]\n"
    )
    loaded = load_with({"EXAI_PROVIDERS__CUSTOM__MINE__API_KEY": "k"}, file=file)
    mine = loaded.settings.providers.custom["mine"]
    assert (mine.models[0].name, mine.models[0].images, mine.api_key) == ("m", True, SecretStr("k"))
    assert (
        loaded.origins["providers.custom.mine.api_key"] == "environment EXAI_PROVIDERS__CUSTOM__MINE__API_KEY"
    )
    assert loaded.origins["providers.custom.mine.stream_usage"] == "default"


def test_a_custom_provider_from_one_line_has_its_models_as_json(load_with: LoadWith) -> None:
    loaded = load_with(
        overrides=["providers.custom.x.base_url=http://h/v1", 'providers.custom.x.models=[{"name": "m"}]']
    )
    assert loaded.settings.providers.custom["x"].models[0].name == "m"
    sentence = refusal(
        load_with, overrides=["providers.custom.x.base_url=http://h/v1", "providers.custom.x.models=m"]
    )
    assert "JSON" in sentence


def test_what_a_custom_provider_lacks_is_named(load_with: LoadWith) -> None:
    sentence = refusal(load_with, overrides=["providers.custom.x.base_url=http://h/v1"])
    assert "`providers.custom.x.models` is missing" in sentence


def test_a_custom_provider_needs_a_plain_name(load_with: LoadWith, cwd: Path) -> None:
    (cwd / "exai.toml").write_text("[providers.custom.'Not This']\nbase_url = 'http://h/v1'\nmodels = []\n")
    assert "`providers.custom.Not This`" in refusal(load_with)


def test_the_masked_key_is_in_no_repr_of_what_was_loaded(load_with: LoadWith) -> None:
    assert CANARY not in repr(load_with({"GLM_API_KEY": f"id.{CANARY}"}))


def test_the_headers_of_a_custom_provider_are_secrets(load_with: LoadWith, cwd: Path) -> None:
    (cwd / "exai.toml").touch(0o600)
    (cwd / "exai.toml").write_text(
        "[providers.custom.mine]\nbase_url = 'http://h/v1'\nmodels = [{ name = 'm' }]\n"
        "headers = ['X-One: canary-one', 'X-Two:canary-two']\n"
    )
    settings = load_with().settings
    assert {"canary-one", "canary-two"} <= set(secret_values(settings))
    shown = as_toml(dict(values(settings))["providers.custom.mine.headers"])
    assert "canary" not in shown
    assert "canary" not in repr(settings)
    setting = find("providers.custom.mine.headers")
    assert setting is not None
    assert setting.secret
