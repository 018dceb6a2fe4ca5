"""Finds halves of surrogate pairs, which are no characters and have no UTF-8, and repairs JSON whose strings hold one.

JavaScript's `JSON.stringify` writes a text that was cut inside an emoji as `"\\ud83d"` (ECMA-262, well-formed
JSON.stringify). RFC 8259, section 8.2, leaves open what a reader makes of it, and msgspec refuses it. Python keeps
bytes of names and arguments that are no text as such halves (PEP 383).
"""

import re
from typing import overload

__all__ = ["is_text", "repaired"]

_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Both begin alike, for the sake of speed: then most of a text is passed over by searching for two characters.
_LONE = re.compile(
    rf"\\u[dD](?:[89abAB][0-9a-fA-F]{{2}}(?!{_LOW})|(?<!{_HIGH}\\u[dD])[c-fC-F][0-9a-fA-F]{{2}})"
)
_LONE_IN_BYTES = re.compile(_LONE.pattern.encode())


def is_text(text: str) -> bool:
    """Whether a text is without halves of pairs, and so can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@overload
def repaired(text: str) -> str: ...
@overload
def repaired(text: bytes) -> bytes: ...
@overload
def repaired(text: str | bytes) -> str | bytes: ...


def repaired(text: str | bytes) -> str | bytes:
    """Return JSON with U+FFFD in place of each escaped half of a pair, as Unicode decoders put it.

    Text that has none comes back as it is, and so does what is no JSON, as it holds NUL.
    """
    if isinstance(text, str):
        if ("\\ud" not in text and "\\uD" not in text) or "\0" in text:
            return text
        # An escaped backslash begins no escape; NUL, which JSON never holds, stands for it meanwhile.
        bare = text.replace("\\\\", "\0\0")
        return _LONE.sub(r"\\ufffd", bare).replace("\0\0", "\\\\")
    if (b"\\ud" not in text and b"\\uD" not in text) or b"\0" in text:
        return text
    bare_bytes = text.replace(b"\\\\", b"\0\0")
    return _LONE_IN_BYTES.sub(rb"\\ufffd", bare_bytes).replace(b"\0\0", b"\\\\")
