"""Treatments by the names that definitions use."""

from collections.abc import Mapping

from exai.workflows.analysis.reporting import report_analysis
from exai.workflows.review.joining import join, unjudged
from exai.workflows.review.reporting import report
from exai.workflows.treatments.treated import Treatment

__all__ = ["TREATMENTS"]

TREATMENTS: Mapping[str, Treatment] = {
    "join_findings": join,
    "findings_to_judge": unjudged,
    "report_findings": report,
    "report_analysis": report_analysis,
}
