"""How long a thread has waited for a core."""

import sys
from pathlib import Path

import pytest

from exai.runtime import core_wait
from exai.runtime.core_wait import core_wait_s


def test_a_thread_waits_longer_and_longer() -> None:
    before = core_wait_s()
    assert core_wait_s() >= before >= 0


@pytest.mark.parametrize("content", ["", "12", "12 x 3", None])
def test_a_system_that_does_not_say_counts_as_no_wait(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schedstat"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(core_wait, "_SCHEDULE", file)
    assert core_wait_s() == 0


def test_the_wait_is_the_second_number_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file := tmp_path / "schedstat").write_text("12 2500000000 7\n")
    monkeypatch.setattr(core_wait, "_SCHEDULE", file)
    monkeypatch.setattr(sys, "platform", "linux")
    assert core_wait_s() == 2.5
    monkeypatch.setattr(sys, "platform", "darwin")
    assert core_wait_s() == 0
