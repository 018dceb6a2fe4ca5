"""The file of a client's credentials."""

import stat
from pathlib import Path

import pytest

from exai.client.credentials_file import Credentials, as_token, read_credentials, write_credentials
from exai.errors import StartFault


@pytest.mark.parametrize(
    "credentials",
    [Credentials("exk_key"), Credentials("a", "r", 1_800_000_000.5), Credentials("a", None, 1_800_000_000.0)],
)
def test_what_is_written_is_read_and_is_its_owners_alone(tmp_path: Path, credentials: Credentials) -> None:
    file = tmp_path / "credentials.json"
    write_credentials(file, credentials)
    assert read_credentials(file) == credentials
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "exk_key" not in repr(credentials)


def test_an_exposed_file_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    write_credentials(file, Credentials("canary"))
    file.chmod(0o644)
    with pytest.raises(StartFault, match=f"chmod 600 {file}") as caught:
        read_credentials(file)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "canary",
        "[]",
        "{}",
        '{"access_token": 1}',
        '{"access_token": "a", "refresh_token": 1}',
        '{"access_token": "a", "expires_at": "canary"}',
        '{"access_token": "a", "expires_at": true}',
        '{"access_token": "ca nary"}',
        '{"access_token": ""}',
    ],
)
def test_the_error_for_a_malformed_credentials_file_says_how_to_create_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "credentials.json"
    file.touch(0o600)
    file.write_text(text)
    with pytest.raises(StartFault, match=str(file)) as caught:
        read_credentials(file)
    assert "canary" not in str(caught.value)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(StartFault, match=f"exai token create NAME --save {tmp_path / 'no.json'}"):
        read_credentials(tmp_path / "no.json")


@pytest.mark.parametrize("text", ["", " ", "a b", "a\nb", "grün", "a" * 8193])
def test_what_cannot_be_a_token_is_refused_unquoted(text: str) -> None:
    with pytest.raises(StartFault, match="`EXAI_TOKEN`") as caught:
        as_token(text, "`EXAI_TOKEN`")
    assert not text.strip() or text.strip() not in str(caught.value)


def test_white_space_around_a_token_is_nobodys_intention() -> None:
    assert as_token(" exk_one\n", "there") == "exk_one"
