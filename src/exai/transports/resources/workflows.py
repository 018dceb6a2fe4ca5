"""Runs of workflows as resources: where a run stands, what it asked, and what that cost."""

from typing import Any

import mcp_types as types
import msgspec

from exai.storage.workflows.evidence import EvidenceRow
from exai.storage.workflows.runs import Run, Step, WorkflowTables
from exai.transports.resources.kind import id_in, unknown

__all__ = ["WorkflowResources"]

JSON = "application/json"
EVIDENCE = "/evidence"


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
    )

    def __init__(self, tables: WorkflowTables) -> None:
        self._tables = tables

    async def page(self, owner: str, most: int, after: str | None) -> list[types.Resource]:
        """List some of an owner's runs, the one that was begun last first."""
        return [self._described(each) for each in await self._tables.page(owner, most, after)]

    async def read(self, owner: str, uri: str) -> types.TextResourceContents:
        """Read how one of the owner's runs stands, or its evidence.

        Raises:
            UnknownResource: the owner has none at this address.
        """
        run = await self._tables.find(owner, id_in(uri.removesuffix(EVIDENCE), self.prefix))
        if run is None:
            raise unknown()
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
