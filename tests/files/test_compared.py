"""Files that are compared with their digests, and not again for a while."""

import os
from pathlib import Path

import pytest

from exai.files import compared
from exai.files.compared import ComparedFiles
from exai.runtime.open_file import OpenFile
from support.shelves import sha256_of

CONTENT = b"content"
DIGEST = sha256_of(CONTENT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (path := tmp_path / "a").write_bytes(CONTENT)
    return path


def is_right(known: ComparedFiles, file: Path, digest: str = DIGEST) -> bool:
    opened = OpenFile(os.open(file, os.O_RDONLY))
    try:
        return known.is_right(opened, digest)
    finally:
        opened.close()


def rot(file: Path) -> None:
    """Change a byte as a disk does, which writes no time."""
    status = file.stat()
    file.write_bytes(b"Content")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_file_is_compared_once_until_it_changes(file: Path) -> None:
    known = ComparedFiles(60.0)
    assert is_right(known, file)
    rot(file)
    assert is_right(known, file)
    os.utime(file, ns=(1, 1))
    assert not is_right(known, file)


def test_a_comparison_counts_for_some_time(file: Path) -> None:
    known = ComparedFiles(0.0)
    assert is_right(known, file)
    rot(file)
    assert not is_right(known, file)


def test_a_file_that_was_compared_elsewhere_is_noted_and_forgotten(file: Path) -> None:
    known = ComparedFiles(60.0)
    known.note(file, DIGEST)
    rot(file)
    assert is_right(known, file)
    known.forget(DIGEST)
    assert not is_right(known, file)


def test_the_oldest_comparison_is_forgotten_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared, "MOST_KNOWN", 1)
    known = ComparedFiles(60.0)
    assert is_right(known, file)
    known.note(file, "0" * 64)
    rot(file)
    assert not is_right(known, file)
