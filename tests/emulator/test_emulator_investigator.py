"""The persona that looks for the cause of a fault: it quotes what it was shown, or errs as it is told to."""

import json
from typing import Any

import pytest

from exai_emulator.personas import Persona, Question, answer_of
from exai_emulator.reporting.investigating import Conduct

PROMPT = """{heading}

<<<0123456789abcdef e1 occurrence | occurrence occ_1 | own>>>
KeyError: 'x' in exai.rows:take
<<<0123456789abcdef end e1>>>

<<<0123456789abcdef e4 source | src/exai/rows.py:10-12 at 1a2b | own>>>
  10│def take(self):
  11│    item = self._rows[key]
<<<0123456789abcdef end e4>>>"""
FIRST, SECOND = "# Investigation of a fault", "# Second opinion on a fault"


def answered(conduct: Conduct, heading: str = FIRST, kind: Any = "investigator") -> str:
    texts = [("user", PROMPT.format(heading=heading))]
    question = Question("glm-5.3", texts, thinks=False, think_tokens=0, cap=10_000)
    return answer_of(Persona(kind, conduct=conduct), question).content.partition("] ")[2]


@pytest.mark.parametrize("kind", ["investigator", "auto"])
def test_it_cites_the_first_piece_and_lines_of_a_file_as_they_stand(kind: str) -> None:
    report = json.loads(answered("honest", kind=kind))["report"]
    cited = [step["citations"][0] for step in report["chain"]]
    assert [(each["evidence"], each["quote"], each["place"]) for each in cited] == [
        ("e1", "KeyError: 'x' in exai.rows:take", ""),
        ("e4", "def take(self):", "src/exai/rows.py:10"),
    ]


def test_it_errs_as_it_is_told() -> None:
    def first(conduct: Conduct) -> Any:
        return json.loads(answered(conduct))["report"]["chain"][0]["citations"][0]

    assert first("misquotes")["quote"] not in PROMPT
    assert first("misplaces")["place"] == "src/elsewhere.py:1"
    assert first("invents")["evidence"] == "e99"
    assert "{" not in answered("prose")
    assert json.loads(answered("insatiable"))["further"]


@pytest.mark.parametrize(("conduct", "verdict"), [("honest", "confirms"), ("refutes", "refutes")])
def test_as_a_second_opinion_it_says_what_it_cites(conduct: Conduct, verdict: str) -> None:
    opinion = json.loads(answered(conduct, SECOND))
    assert (opinion["verdict"], len(opinion["citations"])) == (verdict, 1)
