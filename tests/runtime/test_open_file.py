"""A file that is closed while it is read."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exai.runtime.open_file import OpenFile

OPEN = os.O_RDONLY | os.O_CLOEXEC


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


class GatedRead:
    """`os.pread`, which waits at a gate."""

    def __init__(self) -> None:
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self._read = os.pread

    def __call__(self, descriptor: int, size: int, at: int) -> bytes:
        self.begun.set()
        assert self.may_go_on.wait(30)
        return self._read(descriptor, size, at)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedRead]:
    gated = GatedRead()
    monkeypatch.setattr(os, "pread", gated)
    yield gated
    gated.may_go_on.set()


def test_a_close_waits_for_no_read_and_the_descriptor_goes_behind_it(tmp_path: Path, gate: GatedRead) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "other").write_text("other")
    descriptor = os.open(tmp_path / "mine", OPEN)
    file, got = OpenFile(descriptor), list[bytes]()
    reading = threading.Thread(target=lambda: got.append(file.read(0, 10)))
    reading.start()
    assert gate.begun.wait(30)
    file.close()
    file.close()
    other = os.open(tmp_path / "other", OPEN)
    assert other != descriptor
    gate.may_go_on.set()
    reading.join(30)
    os.close(other)
    assert got == [b"mine"]
    assert not is_open(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.read(0, 1)


def test_a_file_that_nobody_has_any_more_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    descriptor = os.open(tmp_path / "a", OPEN)
    OpenFile(descriptor)
    assert not is_open(descriptor)
