"""Checks of what a tool really returned against what its entry in the list says."""

from typing import Any

import jsonschema
import msgspec

from exai.consulting.answer import AnswerReport, ModelAnswer
from exai.dispatch.failures import ERROR_KEY, ErrorFacts
from exai.protocol.schemas import output_schema
from exai.tools.challenge import Judged
from exai.tools.envelope import REPORT_KEY, CallFacts
from exai.tools.files import FilesResult
from exai.tools.models import ModelsListed, ModelsReport
from exai.tools.search import SearchReport
from exai.tools.status_report import StatusDetails, StatusReport
from exai.tools.voting.outcome import Consensus, ConsensusReport
from exai.tools.workflows.analyze import AnalysisReport
from exai.tools.workflows.answers import WorkflowAnswer
from exai.tools.workflows.plan import ShownPlan
from exai.tools.workflows.review import ReviewAnswer
from exai.tools.writing.write import Written

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


RESULTS: dict[str, type[msgspec.Struct]] = {
    "analyze": WorkflowAnswer,
    "chat": ModelAnswer,
    "challenge": Judged,
    "consensus": Consensus,
    "files": FilesResult,
    "models": ModelsListed,
    "status": StatusReport,
    "think": WorkflowAnswer,
    "debug": WorkflowAnswer,
    "plan": ShownPlan,
    "write": Written,
    "review": ReviewAnswer,
}
"""Of tools whose results have more fields than the list describes."""

REPORTS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "analyze": (AnalysisReport, CallFacts),
    "chat": (AnswerReport, CallFacts),
    "challenge": (AnswerReport, CallFacts),
    "consensus": (ConsensusReport, CallFacts),
    "search": (SearchReport, CallFacts),
    "models": (ModelsReport,),
    "status": (StatusDetails,),
}


def check_result(result: dict[str, Any], tool: dict[str, Any]) -> None:
    """Fail unless a result of `tools/call` says what `tool`, its entry in `tools/list`, and no more.

    Of EXAI's own tools the report in `_meta` is held to its type as well.
    """
    text, *links = result["content"]
    assert all(link["type"] == "resource_link" for link in links)
    assert text["type"] == "text"
    assert text["text"]
    if result["isError"]:
        assert "structuredContent" not in result
        jsonschema.validate(result["_meta"][ERROR_KEY], closed(output_schema(ErrorFacts)))
    else:
        name, structured = tool.get("name", ""), result["structuredContent"]
        if name in RESULTS:
            jsonschema.validate(structured, tool["outputSchema"])
            jsonschema.validate(structured, closed(output_schema(RESULTS[name], depth=9)))
        else:
            jsonschema.validate(structured, closed(tool["outputSchema"]))
        if name in REPORTS:
            report = result["_meta"][REPORT_KEY]
            asked_nobody = name == "challenge" and report.keys() <= set(CallFacts.__struct_fields__)
            kinds = (CallFacts,) if asked_nobody else REPORTS[name]
            jsonschema.validate(report, closed(output_schema(*kinds, depth=9, nulls=True)))
