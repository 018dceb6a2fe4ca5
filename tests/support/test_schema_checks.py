"""The check of results fails for what a schema does not say, however deep."""

from typing import Any

import jsonschema
import pytest

from support.schemas import check_result

ROW = {"type": "object", "properties": {"type": {"type": "string"}}}
TOOL: dict[str, Any] = {
    "outputSchema": {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": ROW},
            "best": {**ROW, "type": ["object", "null"]},
            "times": {"type": "object", "additionalProperties": {"type": "number"}},
        },
        "required": ["rows"],
    }
}


def result(**structured: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": "x"}], "isError": False, "structuredContent": structured}


def test_what_the_schema_says_passes() -> None:
    check_result(result(rows=[{"type": "a"}], best=None, times={"any_ms": 1.5}), TOOL)


@pytest.mark.parametrize(
    "structured",
    [
        {},
        {"rows": [], "more": 1},
        {"rows": [{"type": "a", "more": 1}]},
        {"rows": [], "best": {"more": 1}},
        {"rows": [{"type": 1}]},
        {"rows": [], "times": {"any_ms": "1"}},
    ],
)
def test_anything_else_fails(structured: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check_result(result(**structured), TOOL)


def test_an_error_has_facts_and_no_structure() -> None:
    failed = {"content": [{"type": "text", "text": "x"}], "isError": True, "_meta": {"exai/error": {}}}
    with pytest.raises(jsonschema.ValidationError):
        check_result(failed, TOOL)
    with pytest.raises(AssertionError):
        check_result({**failed, "structuredContent": {}}, TOOL)
