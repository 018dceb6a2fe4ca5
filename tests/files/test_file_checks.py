"""What may enter a prompt, by name and content."""

from pathlib import PurePosixPath

import pytest

from exai.auth.keys import generate, sign
from exai.auth.verifier import ACCESS_TOKEN
from exai.config.auth import OWN_ISSUER
from exai.config.tree import NAME, rows
from exai.files.checks import secret_kind, text_of

OWN = sign(generate("ES256"), "kid", ACCESS_TOKEN, {"iss": OWN_ISSUER, "sub": "alice"})
OF_OTHERS = sign(generate("EdDSA"), "kid", "JWT", {"iss": "https://issuer.example", "sub": "alice"})
PRIVATE_KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nabc\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        ("grün 模型".encode(), "grün 模型"),
        (b"\xef\xbb\xbfmarked", "marked"),
        ("sixteen".encode("utf-16"), "sixteen"),
        (b"\xfe\xff" + "big".encode("utf-16-be"), "big"),
        ("thirty-two".encode("utf-32"), "thirty-two"),
        (b"a\r\nb\ttab\x1b[0m", "a\r\nb\ttab\x1b[0m"),
    ],
)
def test_text_is_decoded(data: bytes, text: str) -> None:
    assert text_of(data) == text


@pytest.mark.parametrize(
    "data",
    [
        b"a\0b",
        b"\xff\xfe\x00",
        b"\xc3",
        b"latin \xe9",
        b"\xff\xfe" + "a\0b".encode("utf-16-le"),
        b"\x89PNG\r\n",
    ],
)
def test_what_is_no_text_is_known(data: bytes) -> None:
    assert text_of(data) is None


@pytest.mark.parametrize(
    "path",
    [
        "/p/.env",
        "/p/.ENV",
        "/p/.env.production",
        "/home/u/.ssh/config",
        "/home/u/.aws/credentials",
        "/p/id_rsa",
        "/p/id_ed25519",
        "/p/.netrc",
        "/p/.npmrc",
        "/p/store.p12",
        "/p/exai.toml",
        "/home/u/.config/exai/secrets/providers.glm.api_key",
        "/run/secrets/providers.custom.mine.api_key",
    ],
)
def test_files_that_exist_to_hold_secrets_are_known_by_name(path: str) -> None:
    assert secret_kind(PurePosixPath(path)) is not None


@pytest.mark.parametrize(
    "path",
    [
        "/p/.env.example",
        "/p/env.py",
        "/p/id_rsa.pub",
        "/p/ssh/config",
        "/p/.envrc",
        "/p/credentials.py",
        "/p/a.pem",
    ],
)
def test_ordinary_files_are_not(path: str) -> None:
    assert secret_kind(PurePosixPath(path), "text") is None


def test_a_private_key_is_known_by_its_content() -> None:
    assert secret_kind(PurePosixPath("/p/server.pem"), f"certificate\n{PRIVATE_KEY}") == "a private key"
    assert secret_kind(PurePosixPath("/p/notes"), f"\n{PRIVATE_KEY}") == "a private key"
    assert secret_kind(PurePosixPath("/p/test_tls.py"), f'KEY = """{PRIVATE_KEY}"""') is None
    assert secret_kind(PurePosixPath("/p/cert.pem"), "-----BEGIN CERTIFICATE-----") is None


@pytest.mark.parametrize(
    "text",
    [
        '{"access_token": "a.b.c"}',
        '\n{\n  "refresh_token" : "r"}',
        f"key = exk_{'0' * 16}_{'a' * 43}",
        f"exr_{'0123456789abcdef'}_{'-' * 43}\n",
        f'{{"token_id": "a", "kind": "token", "name": "n", "scopes": [], "access_token": "{OF_OTHERS}"}}',
        '{"expires_at": 1.5, "access_token": "a.b.c"}',
        '{"token_type": "Bearer", "refresh_token": "r"}',
        '\ufeff{"access_token": "a.b.c"}',
        '\ufeff{"expires_at": null, "refresh_token": "r"}',
        OWN,
        f"{OF_OTHERS}\n",
        f'{{"mcpServers": {{"exai": {{"headers": {{"Authorization": "Bearer {OWN}"}}}}}}}}',
        f"export EXAI_TOKEN='{OWN}'",
        f"eyJ.{OWN}",
    ],
)
def test_tokens_are_known_by_their_form(text: str) -> None:
    assert secret_kind(PurePosixPath("/p/mine.json"), text) == "a token"


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "x", "access_token": "documented"}',
        "exk_short",
        f"exk_{'g' * 16}_{'a' * 43}",
        "{}",
        '{"name": "n", "scopes": []}',
        '{"access_token"' + "[" * 100_000,
        "[" * 100_000,
        "{" + '"a":{' * 10_000,
        f"EXAMPLE = '{OF_OTHERS}'",
        f"eyJhbGciOiJub25lIn0.eyJpc3MiOiJleGFp.{'a' * 43}, and eyJ0.eyJ1.{'a' * 43}",
    ],
)
def test_talk_of_tokens_is_no_token(text: str) -> None:
    assert secret_kind(PurePosixPath("/p/mine.json"), text) is None


def test_a_file_with_the_name_of_a_secret_setting_is_a_secret_and_no_other() -> None:
    settings = {row.key.replace(NAME, "mine"): row.secret for row in rows()}
    found = {name for name in settings if secret_kind(PurePosixPath(name)) == "a secret of EXAI"}
    assert found == {name for name, is_secret in settings.items() if is_secret}
