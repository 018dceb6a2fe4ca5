"""What of a file of the terminal's machine is sent."""

from pathlib import Path

import pytest

from exai.cli.terminal.attached import AttachedFiles
from exai.errors import StartFault

TOKEN = "ghp_" + "a1B2" * 9
TEXT = f"# notes\ntoken = {TOKEN}\nbirds\n"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.txt"
    file.write_text(TEXT)
    return file


def test_a_secret_is_replaced_in_place_and_its_line_is_told(notes: Path) -> None:
    attached = AttachedFiles("redact")
    sent = attached.text(notes)
    assert TOKEN not in sent
    assert [line.split("«")[0] for line in sent.splitlines()] == ["# notes", "token = ", "birds"]
    (note,) = attached.notes
    assert "line 2" in note
    assert TOKEN not in note


def test_a_secret_is_refused_where_the_settings_say_so(notes: Path) -> None:
    with pytest.raises(StartFault, match="line 2") as refused:
        AttachedFiles("block").text(notes)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(("mode", "is_told"), [("warn", True), ("off", False)])
def test_a_secret_is_sent_where_the_person_wants_it(notes: Path, mode: str, is_told: bool) -> None:
    attached = AttachedFiles(mode)  # type: ignore[arg-type] # one of the setting's words
    assert attached.text(notes) == TEXT
    assert bool(attached.notes) is is_told


@pytest.mark.parametrize("name", [".env", "id_ed25519"])
def test_a_file_that_is_there_to_hold_secrets_is_not_sent(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(StartFault, match="--send-secrets"):
        AttachedFiles("redact").text(tmp_path / name)
    (tmp_path / "plain.txt").symlink_to(tmp_path / name)
    with pytest.raises(StartFault, match="--send-secrets"):
        AttachedFiles("redact").text(tmp_path / "plain.txt")
    assert AttachedFiles("off").text(tmp_path / name) == "x"


def test_a_picture_with_a_secret_in_its_bytes_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "shot.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + TOKEN.encode())
    with pytest.raises(StartFault, match="looks like a secret"):
        AttachedFiles("redact").picture(picture)
    assert AttachedFiles("off").picture(picture).startswith("data:image/png;base64,")
