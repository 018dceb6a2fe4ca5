"""An error of the operating system is told by its reason alone."""

import errno
import os

import pytest

from exai.runtime.os_errors import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/home/u/secret"), "permission denied"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no space left on device"),
        (TimeoutError(), "timeouterror"),
        (ConnectionResetError("text of a peer"), "connectionreseterror"),
    ],
)
def test_the_reason_names_no_place(error: OSError, reason: str) -> None:
    assert reason_of(error) == reason
