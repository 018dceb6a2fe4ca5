"""Checks of what a tool really returned against what its entry in the list says."""

from typing import Any

import jsonschema
import msgspec

from exai.consulting.answer import AnswerReport
from exai.dispatch.failures import ERROR_KEY, ErrorFacts
from exai.protocol.schemas import output_schema
from exai.tools.envelope import REPORT_KEY, CallFacts
from exai.tools.models import ModelsReport
from exai.tools.search import SearchReport
from exai.tools.status_report import StatusDetails

__all__ = ["check_result", "closed"]


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every object that lists its fields closed to any other."""
    strict = dict(schema)
    if "properties" in schema:
        strict["properties"] = {name: closed(field) for name, field in schema["properties"].items()}
        strict["additionalProperties"] = False
    if "items" in schema:
        strict["items"] = closed(schema["items"])
    return strict


REPORTS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "chat": (AnswerReport, CallFacts),
    "search": (SearchReport, CallFacts),
    "models": (ModelsReport,),
    "status": (StatusDetails,),
}


def check_result(result: dict[str, Any], tool: dict[str, Any]) -> None:
    """Fail unless a result of `tools/call` says what `tool`, its entry in `tools/list`, and no more.

    Of EXAI's own tools the report in `_meta` is held to its type as well.
    """
    (text,) = result["content"]
    assert text["type"] == "text"
    assert text["text"]
    if result["isError"]:
        assert "structuredContent" not in result
        jsonschema.validate(result["_meta"][ERROR_KEY], closed(output_schema(ErrorFacts)))
    else:
        jsonschema.validate(result["structuredContent"], closed(tool["outputSchema"]))
        if tool.get("name") in REPORTS:
            report = output_schema(*REPORTS[tool["name"]], depth=9, nulls=True)
            jsonschema.validate(result["_meta"][REPORT_KEY], closed(report))
