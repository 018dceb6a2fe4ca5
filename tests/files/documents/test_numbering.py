"""How lines of files are shown."""

import pytest

from exai.files.documents.numbering import numbered


def test_each_line_carries_its_number() -> None:
    assert numbered(9, ["def load():", "\treturn 1", ""]).text == "   9│def load():\n  10│\treturn 1\n  11│\n"
    assert numbered(1, []).text == ""
    assert numbered(123_456, ["x"]).text == "123456│x\n"


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\u202e", "\\u202e"),
        ("\u200b", "\\u200b"),
        ("\x1b", "\\u001b"),
        ("\x00", "\\u0000"),
        ("\r", "\\u000d"),
        ("\u2028", "\\u2028"),
        ("\ufeff", "\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\u3164", "\\u3164"),
        ("\xad", "\\u00ad"),
    ],
)
def test_what_cannot_be_seen_is_shown_and_counted(character: str, shown: str) -> None:
    spelled = numbered(1, [f"a{character}b{character}"])
    assert (spelled.text, spelled.hidden) == (f"   1│a{shown}b{shown}\n", 2)


def test_letters_of_all_scripts_stay() -> None:
    line = "naïve 漢字 עברית العربية हिन्दी ❤️ 🎉 a\tb"
    assert numbered(1, [line]).text == f"   1│{line}\n"
    assert numbered(1, [line]).hidden == 0
