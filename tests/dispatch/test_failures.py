"""What a failed call answers."""

import pytest

from exai.dispatch.failures import HEAD_CHARACTERS, TAIL_CHARACTERS, failure
from exai.errors import AnswerBroken, ContentFiltered, DeadlineExceeded, ToolFault
from exai.providers.wire.answer_text import MAX_ANSWER_CHARACTERS


@pytest.mark.parametrize("kind", [AnswerBroken, DeadlineExceeded, ContentFiltered])
def test_what_had_arrived_is_bounded_by_what_a_client_reads(kind: type[ToolFault]) -> None:
    fault = kind("It broke.")
    fault.partial = "begin" + "x" * MAX_ANSWER_CHARACTERS + "end"
    text = failure(fault, "call-1").text
    assert len(text) < HEAD_CHARACTERS + TAIL_CHARACTERS + 200
    assert "What had arrived:\nbegin" in text
    assert text.endswith("end")
    assert "characters left out]" in text


def test_a_part_that_a_client_reads_is_shown_whole() -> None:
    partial = "x" * (HEAD_CHARACTERS + TAIL_CHARACTERS)
    fault = AnswerBroken("It broke.", partial=partial)
    assert failure(fault, "call-1").text == f"It broke.\n\nWhat had arrived:\n{partial}"
    assert failure(AnswerBroken("It broke."), "call-1").text == "It broke."
