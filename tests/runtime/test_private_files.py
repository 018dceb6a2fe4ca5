"""Files with secrets: whose they are, and how they are replaced."""

import os
import stat
import threading
from pathlib import Path

import pytest

from exai.errors import StartFault
from exai.runtime.private_files import exposure, read_private, replace_private


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text("\ufeffkey\n", encoding="utf-8")
    file.chmod(mode)
    assert read_private(file) == "key\n"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o640, 0o620, 0o666])
def test_a_file_that_others_can_open_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text("canary")
    file.chmod(mode)
    with pytest.raises(StartFault, match=f"mode {mode:03o}.*chmod 600 {file}") as caught:
        read_private(file)
    assert "canary" not in str(caught.value)


def status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))


def test_the_group_may_read_a_mounted_secret_of_another_owner_and_not_write_it() -> None:
    stranger = os.geteuid() + 1
    assert exposure(status(0o440, stranger)) is None
    assert "group" in (exposure(status(0o460, stranger)) or "")
    assert "every user" in (exposure(status(0o444, stranger)) or "")
    assert "group" in (exposure(status(0o440, os.geteuid())) or "")


def test_what_can_hold_no_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(0o600)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StartFault, match="UTF-8"):
        read_private(file)
    file.write_bytes(b"a" * (2**20 + 1))
    with pytest.raises(StartFault, match="too large"):
        read_private(file)


def test_a_replaced_file_is_private_from_its_first_byte_and_links_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    replace_private(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_who_reads_while_it_is_replaced_gets_one_whole_content(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    contents = {letter * 100_000 for letter in "ab"}
    replace_private(file, "a" * 100_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                replace_private(file, content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {read_private(file) for _ in range(200)}
    finally:
        stop.set()
        writer.join()
    assert seen <= contents


def test_a_failed_replacement_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.mkdir()
    (file / "inside").write_text("old")
    with pytest.raises(OSError, match="directory"):
        replace_private(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
