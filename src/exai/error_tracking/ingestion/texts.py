"""Texts of reporters, as they may be stored and shown."""

import re

__all__ = ["storable", "storable_file"]

LONGEST_FILE = 500

_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
"""But tab and line ends: they move the cursor, hide text, or turn its direction."""


def storable(given: object, most: int) -> str:
    """Return a text of at most so many characters; nothing for what is no text or number.

    What has no UTF-8, and characters that control a terminal or the direction of writing, are replaced.
    """
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return ""
    text = str(given)[:most]
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub("\ufffd", text.encode("utf-8", "replace").decode())


def storable_file(given: object) -> str:
    """Return the name of a file; of an address without query and fragment, which may be anybody's and are no place."""
    file = storable(given, LONGEST_FILE)
    return re.split(r"[?#]", file, maxsplit=1)[0] if "://" in file else file
