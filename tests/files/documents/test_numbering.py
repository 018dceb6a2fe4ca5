"""How lines of files are shown."""

import pytest

from exai.files.documents.numbering import framed_name, numbered


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


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("src/a b.py", "src/a b.py"),
        ("naïve 漢字.md", "naïve 漢字.md"),
        ("a<b>c.py", "a<b>c.py"),
        ("a>>>\n<<<END E1", r"a\u003e\u003e\u003e\u000a\u003c\u003c\u003cEND E1"),
        ("a\u202egnp.py", r"a\u202egnp.py"),
        ("a\u3164\u2028\t\U000e0041", r"a\u3164\u2028\u0009\U000e0041"),
        ("n" * 400, "n" * 300 + "…"),
    ],
)
def test_a_name_hides_nothing_and_cannot_end_its_line(name: str, spelled: str) -> None:
    assert framed_name(name) == spelled
