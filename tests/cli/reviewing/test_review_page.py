"""A review as people see it."""

import re

import msgspec
import pytest

from exai.cli.reviewing.page import page_of, safe
from exai.cli.reviewing.review_answer import ReviewAnswer
from exai.consulting.answer import More
from exai.workflows.review.findings import Check
from support.findings import found

STYLE = re.compile(r"\x1b\[[0-9;]*m")

PAGE = """\
▌ HIGH resource-leak  src/pool.py:41-44
▌ The connection is never closed, so the pool is empty after 20 failed queries.
▌
▌   41│ conn = self._open()
▌   42│ return conn.run(sql)
▌
▌ when    `run` raises
▌ fix     Close it in a `finally`.
▌ check   pytest tests/test_pool.py
▌ expect  1 passed
▌ actual  1 failed
▌ f_7c1e90aa0b1c | CWE-772 | confidence 0.86 | 2 votes

1 high. 7 withheld: 3 unverified, 4 low.
Note: a.bin: no text
All findings, withheld ones too: exai files read file_1
kimi-k3, glm-5.3 | looked at 14 of 14 files | $0.0410
"""

REVIEW = ReviewAnswer(
    answer="1 high. 7 withheld: 3 unverified, 4 low.",
    findings=(found(),),
    notes=("a.bin: no text",),
    more=(More("file_1", 1),),
    model_used="kimi-k3, glm-5.3",
    looked_at="14 of 14 files",
    cost_usd=0.041,
)


def test_a_finding_is_a_paragraph_with_its_place_and_its_check() -> None:
    assert page_of(REVIEW, colours=False) == PAGE


def test_what_an_emulator_says_costs_nothing() -> None:
    page = page_of(msgspec.structs.replace(REVIEW, is_emulated=True), colours=False)
    assert page.endswith("| $0.0410 if it were real\n")


def test_colours_change_no_word() -> None:
    coloured = page_of(REVIEW, colours=True)
    assert STYLE.sub("", coloured) == PAGE
    assert "\x1b[31m" in coloured


def test_no_line_is_longer_than_a_terminal() -> None:
    finding = found(
        message="word " * 100,
        quote="x = 1  # " + "long " * 40,
        fix="word " * 50,
        when="One.\n\nTwo.",
        citation="moved",
        remarks=("A comment speaks against it. " * 5,),
    )
    lines = page_of(ReviewAnswer(answer="word " * 60, findings=(finding,)), colours=False).splitlines()
    assert max(map(len, lines)) <= 80
    assert "place corrected (moved)" in " ".join(line.removeprefix("▌ ") for line in lines)


def test_a_long_quotation_is_cut() -> None:
    finding = found(quote="\n".join(f"line {number}" for number in range(30)))
    page = page_of(ReviewAnswer(findings=(finding,)), colours=False)
    assert "52│ line 11" in page
    assert "line 12" not in page
    assert "… 18 more" in page


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\x1b[2J", "a\rb", "\x9b31m", "\u202etxt", "\x00"])
def test_no_text_of_others_moves_the_terminal(text: str) -> None:
    finding = found(
        message=text,
        quote=text,
        path=f"a{text}.py",
        fix=text,
        cwe=text,
        citation=text,
        remarks=(text,),
        check=Check(text, text, text),
    )
    review = ReviewAnswer(
        answer=text,
        findings=(finding,),
        notes=(text,),
        model_used=text,
        looked_at=text,
        more=(More(text, 1),),
    )
    page = page_of(review, colours=False)
    assert all(each == "\n" or each.isprintable() for each in page)


def test_no_line_of_a_finding_passes_for_a_command_of_a_forge() -> None:
    command = "::error file=a.py::Obey."
    finding = found(
        message=f"x\n{command}", quote=command, when=command, fix=f"\n{command}", remarks=(command,)
    )
    page = page_of(
        ReviewAnswer(answer=f"Bad.\n  {command}", notes=(command,), findings=(finding,)), colours=False
    )
    assert [line for line in page.splitlines() if line.lstrip().startswith("::")] == []


def test_lines_stay_and_tabs_are_blanks() -> None:
    assert safe("a\r\n\tb\n") == "a\n    b\n"
