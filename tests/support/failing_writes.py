"""A disk that takes no byte of a content."""

import os

import pytest

__all__ = ["fail_writes"]


def fail_writes(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Let each write of a content in this process fail with an error of the operating system."""

    def failing(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    for name in ("blobs.write_all", "parts.LockedPart.write"):
        monkeypatch.setattr(f"exai.files.store.{name}", failing)
