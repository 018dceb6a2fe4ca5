"""The hook that has each commit reviewed before it is made."""

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from exai.errors import StartFault
from exai.evidence.git.hooks import WorkTree
from exai.runtime.os_errors import reason_of

__all__ = ["install_hook", "uninstall_hook"]

NAME = "pre-commit"
MARK = "# Written by `exai review --install-hook`; `exai review --uninstall-hook` removes it."
_TEXT = """\
#!/bin/sh
{mark}
# `git commit --no-verify` commits without it.
if [ -x {python} ]; then
    exec {python} -m exai.cli {arguments}
fi
exec exai {arguments}
"""


def install_hook(folder: Path, options: Sequence[str]) -> Path:
    """Write the hook of the repository that a folder is in, and return where it is.

    Args:
        options: those of `exai review` that it is run with.

    Raises:
        NotARepository: the folder is in none.
        StartFault: there is a hook of somebody else, or it cannot be written.
    """
    place = _place(folder)
    arguments = shlex.join(("review", *options))
    text = _TEXT.format(mark=MARK, python=shlex.quote(sys.executable), arguments=arguments)
    if os.path.lexists(place) and not _is_ours(place):
        raise StartFault(
            f"{place} is there and is not overwritten. To have both, let it run this, and end as it ends: "
            f"exai {arguments}"
        )
    part = place.with_name(f".{NAME}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.chmod(0o755)
        part.replace(place)
    except OSError as error:
        raise StartFault(f"{place} cannot be written ({reason_of(error)}).") from None
    finally:
        with suppress(OSError):
            part.unlink()
    return place


def uninstall_hook(folder: Path) -> Path | None:
    """Remove the hook, and return where it was; `None` where there is none.

    Raises:
        NotARepository: the folder is in none.
        StartFault: what is there was not written by EXAI, or cannot be removed.
    """
    place = _place(folder)
    if not os.path.lexists(place):
        return None
    if not _is_ours(place):
        raise StartFault(f"{place} was not written by EXAI, and stays. Take `exai review` out of it by hand.")
    try:
        place.unlink()
    except OSError as error:
        raise StartFault(f"{place} cannot be removed ({reason_of(error)}).") from None
    return place


def _place(folder: Path) -> Path:
    with closing(WorkTree(folder)) as tree:
        return tree.hooks() / NAME


def _is_ours(place: Path) -> bool:
    try:
        return not place.is_symlink() and MARK in place.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
