"""Tells the folders that may be read to the user whose process this is, and to nobody who is connected to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exai.callers import Caller, Door
from exai.files.paths.opening import OutsideRoots, shown

__all__ = ["roots_named_to"]

MOST_NAMED = 5


@contextmanager
def roots_named_to(caller: Caller, roots: Sequence[Path]) -> Iterator[None]:
    """Name the roots in the refusal of a path outside them, where the caller has started this process over stdio.

    Callers of other doors may be on other machines, and learn nothing of this one's folders.
    """
    try:
        yield
    except OutsideRoots as fault:
        if caller.door is not Door.STDIO or not roots:
            raise
        named = ", ".join(f"`{shown(str(root))}`" for root in roots[:MOST_NAMED])
        more = f" and {len(roots) - MOST_NAMED} more" if len(roots) > MOST_NAMED else ""
        raise fault.adding(f"What is below these may be read: {named}{more}.") from None
