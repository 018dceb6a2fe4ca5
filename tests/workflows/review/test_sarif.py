"""SARIF: valid by the schema, and read as what it is."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from exai.workflows.review.categories import CATEGORIES, SEVERITIES, Category, Severity
from exai.workflows.review.findings import Check
from exai.workflows.review.noise import Withheld
from exai.workflows.review.sarif import sarif_of
from support.findings import found

SCHEMA = Path(__file__).with_name("sarif-2.1.0.json")
"""The schema of SARIF 2.1.0 by OASIS, as the npm package @microsoft/sarif-multitool-linux 5.7.0 (MIT) has it."""

validator = Draft202012Validator(
    json.loads(SCHEMA.read_text(encoding="utf-8")), format_checker=FormatChecker()
)


def run_of(*arguments: Any, **named: Any) -> dict[str, Any]:
    """The run of a valid log."""
    log = json.loads(sarif_of(*arguments, **named))
    validator.validate(log)
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_a_finding_is_a_result_with_its_place() -> None:
    run = run_of([found(path="src/a pool:ü.py")])
    (result,) = run["results"]
    assert (result["ruleId"], result["level"], result["rank"]) == ("resource-leak", "error", 86.0)
    assert result["partialFingerprints"] == {"exai/v1": "ab" * 16}
    assert result["properties"]["security-severity"] == "8.0"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "src/a%20pool%3A%C3%BC.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {
        "startLine": 41,
        "endLine": 44,
        "snippet": {"text": "conn = self._open()\nreturn conn.run(sql)"},
    }
    for part in ("never closed", "When: `run` raises", "Fix: Close it", "Check: pytest tests/test_pool.py"):
        assert part in result["message"]["text"]


def test_what_is_withheld_is_a_suppressed_result() -> None:
    run = run_of([found()], withheld=[Withheld(found(category="logic", path="b\n.py"), "unconfirmed")])
    shown, withheld = run["results"]
    assert "suppressions" not in shown
    assert withheld["suppressions"] == [{"kind": "external", "justification": "Withheld as unconfirmed"}]
    assert run["tool"]["driver"]["rules"][withheld["ruleIndex"]]["id"] == "logic"


def test_there_is_one_rule_for_a_category_as_severe_as_its_worst_finding() -> None:
    run = run_of(
        [
            found(severity="medium"),
            found(category="logic", cwe="", severity="low"),
            found(severity="critical", cwe="CWE-404"),
        ]
    )
    leak, logic = run["tool"]["driver"]["rules"]
    assert [result["ruleIndex"] for result in run["results"]] == [0, 1, 0]
    assert (leak["id"], leak["name"]) == ("resource-leak", "ResourceLeak")
    assert leak["properties"]["security-severity"] == "9.5"
    assert leak["properties"]["tags"] == ["security", "external/cwe/cwe-404", "external/cwe/cwe-772"]
    assert logic["properties"] == {"tags": ["quality"], "precision": "medium"}
    assert "security-severity" not in run["results"][1]["properties"]


def test_reviews_of_several_kinds_are_kept_apart() -> None:
    assert run_of([], kind="security")["automationDetails"]["id"] == "exai/review/security/"


def test_a_review_without_findings_has_results_all_the_same() -> None:
    run = run_of([], notes=["a.bin: no text"])
    assert run["results"] == []
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is True
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "a.bin: no text"


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_has_a_rule_with_a_name_of_its_own(category: Category) -> None:
    (rule,) = run_of([found(category=category)])["tool"]["driver"]["rules"]
    assert rule["id"] == category
    assert rule.get("name", "").lower() != category


@given(
    severity=st.sampled_from(SEVERITIES),
    category=st.sampled_from(get_args(Category)),
    text=st.text(),
    path=st.text(min_size=1),
    first=st.integers(1, 10**6),
    confidence=st.floats(0, 1),
)
def test_whatever_a_model_says_the_log_is_valid(
    severity: Severity, category: Category, text: str, path: str, first: int, confidence: float
) -> None:
    finding = found(
        severity=severity,
        category=category,
        path=path,
        first=first,
        last=max(1, first - 1),
        confidence=confidence,
        message=text or "x",
        quote=text,
        cwe="",
        remarks=(text,),
        check=Check(text, text, text),
    )
    (result,) = run_of([finding], notes=[text or "x"])["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["endLine"] >= first
