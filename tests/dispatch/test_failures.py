"""What a failed call answers."""

from collections.abc import Iterator

import pytest
from checks.opening import unserved_registry

import exai.consulting.faults
import exai.dispatch.guards
import exai.evidence.faults
import exai.files.faults
import exai.workflows.faults  # noqa: F401 - so that all faults are known
from exai.dispatch.failures import LEAST_PARTIAL, MOST_CHARACTERS, failure
from exai.errors import AnswerBroken, BadArguments, ContentFiltered, DeadlineExceeded, ToolFault
from exai.providers.wire.answer_text import MAX_ANSWER_CHARACTERS
from exai.routing.ledger import Tried


def faults(kind: type[ToolFault] = ToolFault) -> Iterator[type[ToolFault]]:
    yield kind
    for below in kind.__subclasses__():
        yield from faults(below)


def of(kind: type[ToolFault], sentence: str) -> ToolFault:
    """A fault of that class, whatever its own constructor wants."""
    fault = kind.__new__(kind)
    ToolFault.__init__(fault, sentence)
    fault.__dict__.setdefault("begun", True)  # of `Stopping`
    return fault


TRIED = tuple(Tried(f"model-{number}", "glm", "provider_failed", 1) for number in range(10))


@pytest.mark.parametrize("kind", sorted(set(faults()), key=str))
def test_every_error_is_complete_within_what_each_client_shows(kind: type[ToolFault]) -> None:
    fault = of(kind, "It failed because " + "x" * 5_000 + ". Do that instead.")
    fault.partial = "begin" + "y" * 5_000 + "end"
    answer = failure(fault, "call-1", TRIED, advice="Or this.", partial_file="file_1")
    assert len(answer.text) <= MOST_CHARACTERS
    assert answer.text.startswith("It failed because")
    assert answer.text.endswith("end")
    assert "file_1" in answer.text
    assert len((answer.meta or {})["exai/error"]["message"]) <= MOST_CHARACTERS


@pytest.mark.parametrize("name", [entry.name for entry in unserved_registry().listing_of("compatible")])
def test_errors_of_wrong_arguments_are_shown_as_they_are(name: str) -> None:
    with pytest.raises(BadArguments) as caught:
        unserved_registry().find(name, {"no_such_argument": 1}).arguments()
    assert len(str(caught.value)) <= MOST_CHARACTERS
    assert failure(caught.value, "call-1").text == str(caught.value)


@pytest.mark.parametrize("kind", [AnswerBroken, DeadlineExceeded, ContentFiltered])
def test_of_what_had_arrived_both_ends_are_shown(kind: type[ToolFault]) -> None:
    fault = of(kind, "It broke.")
    fault.partial = "begin" + "x" * MAX_ANSWER_CHARACTERS + "end"
    text = failure(fault, "call-1").text
    assert len(text) <= MOST_CHARACTERS
    assert "What had arrived:\nbegin" in text
    assert text.endswith("end")
    assert "characters in all" in text


def test_a_short_part_is_shown_whole() -> None:
    partial = "x" * LEAST_PARTIAL
    fault = AnswerBroken("It broke.", partial=partial)
    assert failure(fault, "call-1").text == f"It broke.\n\nWhat had arrived:\n{partial}"
    assert failure(AnswerBroken("It broke."), "call-1").text == "It broke."
