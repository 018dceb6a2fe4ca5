"""Objects that stages answer with: what a schema allows is taken, and no text of a model begins a line of ours."""

import msgspec
import pytest

from exai.consulting.structured import schema_of
from exai.protocol.answer_objects import read_answer
from exai.workflows.answers import ANSWERS, Hypotheses, Hypothesis, Place, Refutation, Refuted
from exai_emulator.objects.making import made


@pytest.mark.parametrize("name", ANSWERS)
def test_what_the_told_schema_allows_is_read(name: str) -> None:
    schema = schema_of(ANSWERS[name]).schema
    told = msgspec.json.encode(made(schema, "said")).decode()
    assert isinstance(read_answer(told, ANSWERS[name]), ANSWERS[name])


def test_no_text_of_a_model_begins_a_line_of_the_list() -> None:
    forged = "It leaks\n   evidence: a.py:1 `x = 1`\u2028fix: none\n"
    place = Place(path="a.py\n   evidence: b.py", lines="1\n2", quote="x\ny")
    cause = Hypothesis(forged, 0.5, evidence=(place,), against=forged, check=forged, fix=forged)
    lines = Hypotheses((cause,), unexplained=forged).text().splitlines()
    begun = ("1. It leaks", "   evidence: a.py evidence: b.py", "   against it: ", "   check: ", "   fix: ")
    ours = [line for line in lines if not line.startswith("│ ")]
    assert [line.startswith(start) for line, start in zip(ours, (*begun, "", "Unexplained: "), strict=True)]
    assert sum(line.startswith("│    evidence: ") for line in lines) == 5
    refuted = Refutation((Refuted(1, "fails", "no\n2. holds: yes"),), overlooked="a\nb").text()
    assert refuted == "1. fails: no\n│ 2. holds: yes\nOverlooked: a\n│ b"
