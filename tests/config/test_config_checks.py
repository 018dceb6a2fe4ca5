"""Values that no daemon may start with."""

import base64
import random

import pytest
from pydantic import ValidationError

from exai.config import Settings
from exai.config.checks import check
from exai.config.values import is_loopback
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


def test_two_ports_differ_unless_both_are_0() -> None:
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


KNOWN_SECRETS = [
    "",
    " " * 40,
    "secret",
    "changeme",
    "password",
    "short-but-odd-9f3kq1",
    "your-256-bit-secret",
    "your-256-bit-secret-your-256-bit-secret",
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "my-test-key-but-now-longer-than-32-bytes",
    "my-super-secret-key-that-is-long-enough",
    "changeme-changeme-changeme-changeme",
    "please_change_this_before_production",
    "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME",
    "replace-this-with-thirty-two-bytes-or-more",
    "this-is-an-example-of-what-goes-in-here",
    "default_jwt_signing_phrase_of_the_vendor",
    "insecure-development-only-1234567890",
    "test-test-test-test-test-test-test-test",
    "0" * 64,
    "ab" * 32,
    "0123456789abcdef" * 4,
    "deadbeef" * 8,
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "12345678901234567890123456789012",
    "passwordpasswordpasswordpassword1234",
    "qwertyuiopasdfghjklzxcvbnm1234567890",
]


@pytest.mark.parametrize("secret", KNOWN_SECRETS)
@pytest.mark.parametrize("mode", ["local", "required"])
def test_a_shared_secret_that_can_be_guessed_is_refused_and_not_quoted(secret: str, mode: str) -> None:
    sentence = refusal(auth={"mode": mode, "shared_secret": secret})
    assert "auth.shared_secret" in sentence
    assert "openssl rand" in sentence
    assert secret == "secret" or not secret.strip() or secret not in sentence  # that word is the name


def test_random_secrets_pass_however_they_are_written() -> None:
    source = random.Random(7)
    for _ in range(500):
        content = source.randbytes(32)
        for text in (
            content.hex(),
            base64.b64encode(content).decode(),
            base64.urlsafe_b64encode(content).decode(),
        ):
            check(Settings.model_validate({"auth": {"shared_secret": text}}), {})


ISSUER = {"issuer": "https://i.example", "audience": "exai", "jwks_url": "https://i.example/keys"}


@pytest.mark.parametrize(
    ("name", "changed", "key"),
    [
        ("exai", {}, "auth.issuers.exai"),
        ("shared", {}, "auth.issuers.shared"),
        ("team", {"issuer": ""}, "issuer"),
        ("team", {"issuer": "exai"}, "issuer"),
        ("team", {"issuer": "shared"}, "issuer"),
        ("team", {"audience": " "}, "audience"),
        ("team", {"algorithms": []}, "algorithms"),
        ("team", {"jwks_url": "http://i.example/keys"}, "jwks_url"),
        ("team", {"jwks_url": "http://10.0.0.1/keys"}, "jwks_url"),
        ("team", {"jwks_url": "http://127.0.0.1.example/keys"}, "jwks_url"),
        ("team", {"jwks_url": "https://user:pass@i.example/keys"}, "jwks_url"),
        ("team", {"jwks_url": "https://i.example/keys#one"}, "jwks_url"),
    ],
)
def test_an_issuer_that_cannot_be_one_is_refused(name: str, changed: dict[str, object], key: str) -> None:
    assert key in refusal(auth={"issuers": {name: {**ISSUER, **changed}}})


def test_one_issuer_is_one_section_and_several_are_several() -> None:
    assert "auth.issuers.b" in refusal(auth={"issuers": {"a": ISSUER, "b": ISSUER}})
    other = {**ISSUER, "issuer": "https://other.example", "jwks_url": "http://[::1]:8000/keys"}
    check(Settings.model_validate({"auth": {"issuers": {"a": ISSUER, "b": other}}}), {})


def test_an_installation_has_a_name() -> None:
    assert "auth.audience" in refusal(auth={"audience": " "})


@pytest.mark.parametrize(
    "mode",
    [
        "optional",
        "optional-until",
        "optional-until ",
        "optional-until 2026-02-30",
        "optional-until 2026-13-01",
        "optional-until 20261201",
        "optional-until 2026-W01-1",
        "optional-until 2026-1-1",
        "optional-until 2026-12-01T00:00",
        "optional-until  2026-12-01",
        "optional-until 30 days",
        "optional-until tomorrow",
        "Required",
        "",
    ],
)
def test_a_mode_has_a_known_name_and_a_calendar_date(mode: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"auth": {"mode": mode}})


def test_a_day_of_the_calendar_passes_whether_it_is_over_or_not() -> None:
    for day in ("2020-02-29", "2026-12-01", "2099-01-01"):
        check(Settings.model_validate({"auth": {"mode": f"optional-until {day}"}}), {})


CUSTOM = {"base_url": "http://h/v1", "models": [{"name": "m"}]}


@pytest.mark.parametrize("provider", ["glm", "kimi", "custom"])
@pytest.mark.parametrize(
    "url",
    [
        "http://a..b/v1",
        f"http://{'a' * 64}.example/v1",
        "http://.example/v1",
        "https://h/v1/chat/completions",
        "https://h/v1?a=b",
        "https://h/v1#a",
    ],
)
def test_an_address_that_no_request_can_be_sent_to_is_refused(provider: str, url: str) -> None:
    section: dict[str, object] = {"base_url": url}
    if provider == "custom":
        section = {"x": {**CUSTOM, **section}}
    assert f"`providers.{provider}" in refusal(providers={provider: section})


@pytest.mark.parametrize("provider", ["glm", "kimi"])
@pytest.mark.parametrize("user", [CANARY, f"u:{CANARY}"])
def test_a_user_in_the_address_of_a_provider_with_a_key_is_refused(provider: str, user: str) -> None:
    sentence = refusal(providers={provider: {"base_url": f"https://{user}@h/v1"}})
    assert f"`providers.{provider}.base_url`" in sentence
    assert CANARY not in sentence


@pytest.mark.parametrize("header", ["Content-Length: 5", "transfer-encoding: chunked", "Connection: close"])
def test_a_header_that_follows_from_the_request_is_refused(header: str) -> None:
    assert "headers" in refusal(providers={"custom": {"x": {**CUSTOM, "headers": [header]}}})


@pytest.mark.parametrize("url", ["https://u:p@h", "https://h/?a=b", "https://h/#a"])
def test_a_public_address_has_no_more_than_a_path(url: str) -> None:
    assert "server.public_url" in refusal(server={"public_url": url}, auth={"mode": "required"})


def test_a_lease_that_one_late_beat_ends_is_refused() -> None:
    assert "at least 8" in refusal(fleet={"beat_s": 2, "lease_s": 7})


@pytest.mark.parametrize(
    "place", ["", "s3://", "s3://UPPER", "s3://bucket/", "s3://b/../c", "https://b", "s3:bucket"]
)
def test_a_place_of_files_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"files": {"store": place}})


def test_half_a_key_of_a_bucket_is_refused_without_quoting_it() -> None:
    sentence = refusal(files={"store": "s3://bucket", "s3": {"secret_access_key": CANARY}})
    assert "`files.s3.access_key_id`" in sentence
    assert CANARY not in sentence


def test_an_address_of_a_bucket_has_no_user_and_no_query() -> None:
    for url in (f"https://user:{CANARY}@s3.example.org", "https://s3.example.org/?x=1"):
        sentence = refusal(files={"store": "s3://bucket", "s3": {"endpoint": url}})
        assert "files.s3.endpoint" in sentence
        assert CANARY not in sentence


def test_webhooks_that_cannot_be_told_anything_or_by_mistake_are_refused() -> None:
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    public: dict[str, object] = {"url": "https://hooks.example.org/x"}
    wrong: list[tuple[str, list[dict[str, object]], str | None]] = [
        ("needs `notify.secret`", [public], None),
        ("`exai notify secret` makes one", [public], "canary-91ab"),
        ("no `https` address", [{"url": "http://hooks.example.org/x"}], secret),
        ("is on this machine", [{"url": "https://localhost/x"}], secret),
        ("user, password or fragment", [{"url": "https://me:canary-91ab@hooks.example.org/x"}], secret),
        ("an address twice", [public, public], secret),
        ("without `kinds`", [{**public, "kinds": []}], secret),
    ]
    for words, webhooks, given in wrong:
        sentence = refusal(notify={"webhooks": webhooks, "secret": given})
        assert words in sentence
        assert CANARY not in sentence
    here: dict[str, object] = {"url": "http://127.0.0.1:9/x", "private": True}
    check(Settings.model_validate({"notify": {"webhooks": [here, public], "secret": secret}}), {})
    check(Settings.model_validate({"notify": {"webhooks": [{**public, "format": "text"}]}}), {})
