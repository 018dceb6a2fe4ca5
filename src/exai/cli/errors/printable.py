"""Texts of others on a terminal."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """Escape what could control the terminal."""
    return (
        text
        if text.isprintable()
        else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    )
