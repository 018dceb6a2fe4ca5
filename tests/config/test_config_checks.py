"""Values that no daemon may start with."""

import pytest

from exai.config import Settings
from exai.config_checks import check, is_loopback
from exai.errors import StartFault

CANARY = "canary-91ab"


def refusal(**sections: object) -> str:
    with pytest.raises(StartFault) as caught:
        check(Settings.model_validate(sections), {})
    return str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "::1"])
def test_loopback_is_loopback(host: str) -> None:
    assert is_loopback(host)
    check(Settings.model_validate({"server": {"host": host}}), {})


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.0.1", "localhost.example", "127.0.0.1.example"]
)
def test_anything_else_is_refused_without_authentication(host: str) -> None:
    sentence = refusal(server={"host": host})
    assert "server.host" in sentence
    assert "auth.mode" in sentence


@pytest.mark.parametrize("mode", ["local", "optional-until 2999-01-01", "optional-until 2001-01-01"])
@pytest.mark.parametrize(
    "server",
    [
        {"host": "0.0.0.0"},
        {"public_url": "https://exai.example.org"},
        {"public_url": "https://[2001:db8::1]/"},
    ],
)
def test_who_can_be_reached_from_elsewhere_asks_everybody_for_a_token(
    mode: str, server: dict[str, str]
) -> None:
    (key,) = server
    sentence = refusal(server=server, auth={"mode": mode})
    assert f"server.{key}" in sentence
    assert mode in sentence
    assert "`required`" in sentence
    check(Settings.model_validate({"server": server, "auth": {"mode": "required"}}), {})


def test_a_proxy_on_this_machine_is_no_elsewhere() -> None:
    for url in ("http://localhost:9000", "http://[::1]:9000/exai"):
        check(Settings.model_validate({"server": {"public_url": url}}), {})


def test_two_doors_cannot_share_a_port_unless_it_is_any_free_one() -> None:
    assert "9000" in refusal(server={"port": 9000, "operations_port": 9000})
    check(Settings.model_validate({"server": {"port": 0, "operations_port": 0}}), {})


@pytest.mark.parametrize("key", ["", "  ", f"{CANARY} x", f"{CANARY}\n", f"{CANARY}\x00", f"{CANARY}ü"])
@pytest.mark.parametrize("provider", ["glm", "kimi", "custom"])
def test_what_cannot_be_a_key_is_refused_and_not_quoted(key: str, provider: str) -> None:
    section: dict[str, object] = {"api_key": key}
    if provider == "custom":
        section = {"mine": {"base_url": "http://h/v1", "models": [], **section}}
    sentence = refusal(providers={provider: section})
    assert f"providers.{provider}" in sentence
    assert CANARY not in sentence


@pytest.mark.parametrize("key", [CANARY, f".{CANARY}", f"{CANARY}.", f"{CANARY}.b.c"])
def test_a_glm_key_has_two_parts(key: str) -> None:
    sentence = refusal(providers={"glm": {"api_key": key}})
    assert "`id.secret`" in sentence
    assert CANARY not in sentence


def test_good_keys_pass() -> None:
    providers = {"glm": {"api_key": "0123abcd.Secret"}, "kimi": {"api_key": "sk-abc"}}
    check(Settings.model_validate({"providers": providers}), {})
