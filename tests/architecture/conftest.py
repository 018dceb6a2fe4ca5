"""What the tests of the scripts ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.checkouts import Checkout, make_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A fresh checkout, in a folder with a space in its name, without an environment and without uv."""
    made = make_checkout(tmp_path)
    yield made
    for process in made.started:
        if process.returncode is None:
            made.end(process)
