"""How lines of a file are shown: each behind its number, with what could hide or reorder text made visible.

A line of content cannot begin a line of ours, as every one of its lines begins with a number; and no name can end the
line that it stands in. The same content is spelled by the same bytes, on which the prefix caches of providers depend.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Numbered", "framed_name", "numbered"]

LONGEST_NAME = 300

_HIDDEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"  # controls; a tab is shown as it is
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # of no width, and what changes the direction
    "\u115f\u1160\u3164\uffa0"  # blank letters
    "\ud800-\udfff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f\U000e0100-\U000e01ef]"  # tags and selectors, in which a text can be hidden
)

_BRACKETS = re.compile(r"[<>]{2,}")
"""What begins and ends our own lines."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """Lines as they are shown."""

    text: str
    """Ends with a line feed, unless there are no lines."""
    hidden: int
    """How many characters stand as `\\u202e`, because they cannot be seen."""


def numbered(first: int, lines: Sequence[str]) -> Numbered:
    """Spell lines of which the first one has the number `first`."""
    hidden = 0
    spelled = []
    for number, line in enumerate(lines, start=first):
        shown, count = _HIDDEN.subn(_escaped, line)
        hidden += count
        spelled.append(f"{number:>4}│{shown}\n")
    return Numbered("".join(spelled), hidden)


def framed_name(name: str) -> str:
    """Spell a name for the line that begins a file: nothing in it is hidden, and it cannot end that line.

    The same name is spelled the same way; one that is longer than a line should be is cut.
    """
    visible = "".join(each if each.isprintable() else _code(each) for each in name)
    spelled = _BRACKETS.sub(lambda found: "".join(map(_code, found[0])), _HIDDEN.sub(_escaped, visible))
    return spelled if len(spelled) <= LONGEST_NAME else f"{spelled[:LONGEST_NAME]}…"


def _escaped(found: re.Match[str]) -> str:
    return _code(found[0])


def _code(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
