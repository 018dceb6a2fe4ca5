"""Names of stored files, as they can be shown, listed and put into a header."""

import unicodedata

__all__ = ["storable_name"]

LONGEST_BYTES = 255
UNNAMED = "unnamed"
_REPLACED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that hide, reorder or break what stands around them, or cannot be encoded."""


def storable_name(name: str) -> str:
    """Return the name in NFC, without folders, with `_` for what cannot be shown safely, at most 255 bytes long."""
    composed = unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2])
    shown = "".join("_" if unicodedata.category(each) in _REPLACED else each for each in composed).strip()
    if shown in {"", ".", ".."}:
        return UNNAMED
    return _shortened(shown)


def _shortened(name: str) -> str:
    """Cut the name before its suffix, between characters."""
    if len(name.encode()) <= LONGEST_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > 20:
        stem, dot, suffix = name, "", ""
    most = LONGEST_BYTES - len((dot + suffix).encode())
    return stem.encode()[:most].decode(errors="ignore") + dot + suffix
