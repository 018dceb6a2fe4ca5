"""Runs of workflows as resources: where a run stands, what it asked and what that cost; a review as SARIF too."""

from contextlib import suppress
from typing import Any

import mcp_types as types
import msgspec

from exai.storage.workflows.evidence import EvidenceRow
from exai.storage.workflows.runs import Run, Step, WorkflowTables
from exai.transports.resources.kind import id_in, unknown
from exai.workflows.outcomes import Outcome
from exai.workflows.review.reporting import ReviewResult
from exai.workflows.review.sarif import sarif_of

__all__ = ["WorkflowResources"]

JSON = "application/json"
EVIDENCE = "/evidence"
SARIF = "/sarif"
OF_SARIF = "application/sarif+json"
REVIEW = "review"


class WorkflowResources:
    """Runs of workflows."""

    prefix = "exai://workflows/"
    templates = (
        types.ResourceTemplate(
            uri_template=f"{prefix}{{id}}",
            name="workflow",
            title="A run of a workflow",
            description="State, stages and cost, and the answer where there is one.",
            mime_type=JSON,
        ),
        types.ResourceTemplate(
            uri_template=f"{prefix}{{id}}{EVIDENCE}",
            name="evidence",
            title="The evidence of a run",
            description="What a model was shown, with its reason, and what was left out.",
            mime_type=JSON,
        ),
        types.ResourceTemplate(
            uri_template=f"{prefix}{{id}}{SARIF}",
            name="sarif",
            title="A review as SARIF 2.1.0",
            description="Its findings; those that are withheld are suppressed.",
            mime_type=OF_SARIF,
        ),
    )

    def __init__(self, tables: WorkflowTables) -> None:
        self._tables = tables

    async def page(self, owner: str, most: int, after: str | None) -> list[types.Resource]:
        """List some of an owner's runs, the one that was begun last first."""
        return [self._described(each) for each in await self._tables.page(owner, most, after)]

    async def read(self, owner: str, uri: str) -> types.TextResourceContents:
        """Read how one of the owner's runs stands, its evidence, or what a review found.

        Raises:
            UnknownResource: the owner has none at this address.
        """
        run = await self._tables.find(
            owner, id_in(uri.removesuffix(EVIDENCE).removesuffix(SARIF), self.prefix)
        )
        if run is None:
            raise unknown()
        if uri.endswith(SARIF):
            return types.TextResourceContents(uri=uri, mime_type=OF_SARIF, text=_sarif(run))
        shown: Any
        if uri.endswith(EVIDENCE):
            shown = [_shown_evidence(row) for row in await self._tables.evidence(run)]
        else:
            shown = _shown(run, await self._state(run), await self._tables.steps(run))
        text = msgspec.json.format(msgspec.json.encode(shown)).decode()
        return types.TextResourceContents(uri=uri, mime_type=JSON, text=text)

    async def ids(self, owner: str, begin: str, most: int) -> list[str]:
        """List the latest of the owner's runs whose ids begin so."""
        rows = await self._tables.page(owner, most)
        return [row.workflow_id for row in rows if row.workflow_id.startswith(begin)]

    async def _state(self, run: Run) -> str:
        """Return the state of a run; the row of one whose process died says that it is at work."""
        is_left = run.state == "working" and await self._tables.is_over(run.process)
        return "interrupted" if is_left else run.state

    def _described(self, run: Run) -> types.Resource:
        return types.Resource(
            uri=f"{self.prefix}{run.workflow_id}",
            name=f"{run.tool} {run.created_at:%Y-%m-%d %H:%M}",
            description=f"A run of {run.tool}.",
            mime_type=JSON,
            annotations=types.Annotations(last_modified=run.updated_at.isoformat(timespec="seconds")),
        )


def _sarif(run: Run) -> str:
    """Write the answer of a review.

    Raises:
        UnknownResource: it is none, or has no answer yet.
    """
    outcome = None if run.answer is None else msgspec.json.decode(run.answer, type=Outcome)
    if run.tool != REVIEW or outcome is None:
        raise unknown()
    for value in outcome.values.values():
        with suppress(msgspec.ValidationError):
            found = msgspec.convert(value, ReviewResult)
            if found.looked_at:
                notes = [outcome.answer, *outcome.notes, *found.notes]
                return sarif_of(found.findings, withheld=found.withheld_findings, notes=notes).decode()
    raise unknown()


def _shown(run: Run, state: str, steps: list[Step]) -> dict[str, Any]:
    costs = [step.usd for step in steps if step.kind == "request" and step.state == "ended"]
    known = [cost for cost in costs if cost is not None]
    kept = {} if run.answer is None else msgspec.json.decode(run.answer)
    return {
        "workflow_id": run.workflow_id,
        "tool": run.tool,
        "version": run.version,
        "form": run.form,
        "state": state,
        "stage": run.stage,
        "cost_usd": round(sum(known), 9) if len(known) == len(costs) else None,
        "conversation": f"exai://conversations/{run.conversation_id}",
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "stages": [_shown_step(step) for step in steps],
        "answer": kept.get("answer"),
    }


def _shown_step(step: Step) -> dict[str, Any]:
    return {
        "stage": step.step,
        "kind": step.kind,
        "state": step.state,
        "model": step.model,
        "asked": step.asked,
        "cost_usd": step.usd,
        "seconds": step.seconds,
        "began_at": step.began_at,
        "ended_at": step.ended_at,
        "call_id": step.call_id,
    }


def _shown_evidence(row: EvidenceRow) -> dict[str, Any]:
    """Return a piece of evidence; the text of one that no model was shown is left out, as it was of the prompt."""
    shown = {"id": f"E{row.number}", **msgspec.structs.asdict(row)}
    del shown["number"]
    if row.left_out is not None:
        del shown["text"]
    return shown
