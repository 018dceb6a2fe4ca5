"""What of a review is shown, and why the rest is not: each reason, in its order, and nothing is lost."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from exai.workflows.review.categories import CATEGORIES, CWE, SEVERITIES
from exai.workflows.review.findings import Candidate, Judged, Reported
from exai.workflows.review.noise import (
    REASONS,
    Change,
    Known,
    Rules,
    Sifted,
    Together,
    confidence_of,
    sift,
    together,
)

RULES = Rules(passes=2)


def found(
    *passes: str,
    citation: str = "verified",
    judged: Judged | None = None,
    lines: tuple[int, int] = (41, 44),
    **fields: Any,
) -> Candidate:
    told: dict[str, Any] = {
        "severity": "high",
        "category": "resource-leak",
        "path": "pool.py",
        "from": lines[0],
        "to": lines[1],
        "quote": "conn = self._open()",
        "message": "It is never closed",
    }
    reported = msgspec.convert({**told, **fields}, Reported)
    return Candidate(
        reported=reported, citation=citation, passes=passes or ("one",), symbol="Pool.get", judged=judged
    )


def sifted(*candidates: Candidate, rules: Rules = RULES) -> Sifted:
    return sift(together(candidates, rules), rules, "/repo")


@pytest.mark.parametrize(
    ("candidate", "passes", "confidence"),
    [
        (found("one", "two"), 2, 0.8),
        (found("one", "two", judged="confirmed"), 2, 1.0),
        (found("one", judged="confirmed"), 2, 0.8),
        (found("one", judged="unsure"), 2, 0.6),
        (found("one"), 2, 0.6),
        (found("one", judged="refuted"), 2, 0.4),
        (found("one", "two", judged="refuted"), 2, 0.6),
        (found("one", "two", citation="moved"), 2, 0.75),
        (found("one", judged="confirmed", citation="near"), 2, 0.75),
        (found("one"), 1, 0.6),
        (found("one", citation="wrong_file"), 1, 0.55),
        (found("one", "two", "bare"), 2, 0.8),
    ],
)
def test_confidence_is_of_votes_judgement_and_citation(
    candidate: Candidate, passes: int, confidence: float
) -> None:
    assert confidence_of(candidate, passes) == confidence


@pytest.mark.parametrize(
    ("candidate", "shown"),
    [
        (found("one", "two"), True),
        (found("one", "two", citation="moved"), True),
        (found("one", judged="confirmed"), True),
        (found("one", judged="unsure"), False),
        (found("one", "two", judged="refuted"), False),
    ],
)
def test_two_votes_or_one_that_was_confirmed_are_shown(candidate: Candidate, shown: bool) -> None:
    told = sifted(candidate)
    assert bool(told.shown) is shown
    assert told.counts == ({} if shown else {"unconfirmed": 1})


def test_a_single_pass_shows_what_nobody_confirmed_with_a_lower_bar() -> None:
    rules = Rules(passes=1, min_confidence=0.55)
    assert sifted(found(citation="moved"), rules=rules).shown[0].confidence == 0.55


@pytest.mark.parametrize("citation", ["unverified", "ambiguous", "unknown_file", "plausible"])
def test_what_is_not_quoted_from_what_was_shown_is_withheld(citation: str) -> None:
    assert sifted(found("one", "two", citation=citation)).counts == {"unverified": 1}


CHANGE = Change(
    {"pool.py": frozenset({48}), "other.py": frozenset({1})}, "conn = self._open()\nself.size += 1\n"
)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"lines": (45, 45)}, None),
        ({"lines": (44, 44)}, "outside"),
        ({"lines": (51, 60)}, None),
        ({"lines": (52, 60)}, "outside"),
        ({"lines": (1, 9), "caused_by": "self.size  +=  1"}, None),
        ({"lines": (1, 9), "caused_by": "self.size -= 1"}, "outside"),
        ({"lines": (1, 9), "caused_by": "size"}, "outside"),
        ({"path": "third.py"}, "outside"),
    ],
)
def test_what_stands_outside_the_change_needs_a_changed_line_that_causes_it(
    fields: dict[str, Any], reason: str | None
) -> None:
    told = sifted(found("one", "two", **fields), rules=Rules(passes=2, change=CHANGE))
    assert told.counts == ({} if reason is None else {reason: 1})


def test_style_is_left_to_the_projects_own_linter() -> None:
    style = found("one", "two", category="style")
    assert sifted(style).shown
    assert sifted(style, rules=Rules(passes=2, has_formatter=True)).counts == {"style": 1}


def test_what_several_passes_name_is_one_with_their_votes() -> None:
    told = sifted(
        found("one", severity="medium", citation="moved"),
        found("two", message="The connection `conn` of `_open` leaks", lines=(46, 46)),
    )
    (finding,) = told.shown
    assert (finding.votes, finding.severity, finding.citation, finding.first) == (2, "high", "verified", 46)
    assert told.counts == {"duplicate": 1}


def test_the_same_pass_has_one_vote_however_often_it_says_it() -> None:
    told = sifted(found("one"), found("one"))
    assert told.counts == {"duplicate": 1, "unconfirmed": 1}


@pytest.mark.parametrize(
    "other",
    [
        {"lines": (50, 51)},
        {"path": "other.py"},
        {"quote": "conn.ping(1)", "message": "Slow"},
        {"lines": (46, 46)},
    ],
)
def test_findings_that_are_far_apart_or_about_something_else_stay_two(other: dict[str, Any]) -> None:
    fields = {"category": "logic", **other}
    assert len(sifted(found("one", "two"), found("one", "two", **fields)).shown) == 2


def test_what_was_dismissed_stays_dismissed_where_lines_shift_or_more_is_quoted() -> None:
    before = found()
    known = Known(before.fingerprint, "resource-leak", "pool.py", "Pool.get", before.reported.quote)
    rules = Rules(passes=2, dismissed=(known,))
    same = found("one", "two", lines=(90, 93))
    longer = found("one", "two", quote="try:\n    conn = self._open()\n    conn.ping()")
    other = found("one", "two", category="logic")
    assert sifted(same, rules=rules).counts == {"dismissed": 1}
    assert sifted(longer, rules=rules).counts == {"dismissed": 1}
    assert sifted(other, rules=rules).shown


def test_severity_and_number_are_bounded_worst_first() -> None:
    rows = [
        found("one", "two", path=f"{number}.py", severity=severity)
        for number, severity in enumerate(("low", "medium", "critical", "high"))
    ]
    told = sifted(*rows, rules=Rules(passes=2, max_findings=2))
    assert [each.severity for each in told.shown] == ["critical", "high"]
    assert told.counts == {"low": 1, "beyond": 1}
    assert sifted(*rows, rules=Rules(passes=2, min_severity="low")).counts == {}


def candidates(draw: random.Random, count: int) -> Iterator[Candidate]:
    for _ in range(count):
        line = draw.randint(1, 60)
        yield found(
            *draw.sample(["one", "two", "bare"], draw.randint(1, 3)),
            citation=draw.choice(["verified", "moved", "unverified", "near"]),
            judged=draw.choice([None, "confirmed", "unsure", "refuted"]),
            severity=draw.choice(SEVERITIES),
            category=draw.choice(CATEGORIES),
            path=draw.choice(["pool.py", "other.py"]),
            quote=f"name_{draw.randint(1, 4)} = name_{draw.randint(1, 4)}(conn)",
            lines=(line, line),
        )


@pytest.mark.parametrize("seed", range(50))
def test_nothing_is_lost_and_each_has_one_reason(seed: int) -> None:
    draw = random.Random(seed)
    rows = list(candidates(draw, 40))
    rules = Rules(passes=2, change=CHANGE, has_formatter=True, max_findings=3)
    all_of: Together = together(rows, rules)
    told = sift(all_of, rules, "/repo")
    assert len(told.shown) + len(told.withheld) == len(rows)
    assert len(told.shown) <= 3
    assert sum(told.counts.values()) == len(told.withheld)
    assert list(told.counts) == [reason for reason in REASONS if reason in told.counts]
    assert all(each.confidence >= rules.min_confidence for each in told.shown)


def test_ids_are_of_the_repository_and_stay_the_same() -> None:
    one = sift(together([found("one", "two")], RULES), RULES, "/repo").shown[0]
    again = sift(together([found("two", "one", lines=(80, 81))], Rules(passes=1)), RULES, "/repo").shown
    other = sift(together([found("one", "two")], RULES), RULES, "/other").shown[0]
    assert one.id.startswith("f_")
    assert one.id == again[0].id != other.id
    assert one.fingerprint == other.fingerprint


def test_there_are_24_categories_and_each_security_one_has_its_weakness() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 24
    assert set(CWE) < set(CATEGORIES)
    assert found(cwe="see cwe-89").reported.weakness == "CWE-89"
    assert found(cwe="unknown").reported.weakness == "CWE-772"
    assert found(category="logic").reported.weakness == ""
