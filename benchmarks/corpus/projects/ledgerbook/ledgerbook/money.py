"""Amounts are whole cents; text has a point and two digits."""


class MoneyError(ValueError):
    """A text that is no amount."""


def parse(text):
    """Return the cents of a text such as `-12.50` or `7`."""
    text = text.strip().replace(",", "")
    sign = -1 if text.startswith("-") else 1
    whole, _, part = text.lstrip("+-").partition(".")
    if not whole.isdigit() or (part and not part.isdigit()) or len(part) > 2:
        raise MoneyError(f"not an amount: {text!r}")
    return sign * (int(whole) * 100 + int(part.ljust(2, "0") or 0))


def text_of(cents):
    """Return an amount as text."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def split(cents, parts):
    """Divide an amount so that no cent is lost: the first parts get one more."""
    if parts < 1:
        raise MoneyError("an amount is split into at least one part")
    share, rest = divmod(cents, parts)
    return [share + (1 if place < rest else 0) for place in range(parts)]
