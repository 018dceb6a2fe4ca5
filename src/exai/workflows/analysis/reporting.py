"""The end of an analysis: what was explained with the calls that were found, or what is worth restructuring."""

import msgspec

from exai.workflows.analysis.graphs import drawn
from exai.workflows.analysis.opportunities import described_opportunities
from exai.workflows.answers import CheckedOpportunities
from exai.workflows.stage_output import StageOutput
from exai.workflows.treatments.treated import Treated

__all__ = ["report_analysis"]


async def report_analysis(work: Treated) -> StageOutput:
    """Put what was found without a model behind what the stages `of` answered; its value is the graph.

    Raises:
        ToolFault: the workspace cannot be read any more.
    """
    graph = work.graph
    value = None if graph is None else msgspec.to_builtins(msgspec.structs.replace(graph, pieces=()))
    answered = [name for name in work.of if name in work.outputs]
    parts = []
    for name in answered:
        found = work.value_of(name, CheckedOpportunities)
        if found is None:
            parts.append(f"{work.outputs[name].text}{drawn(graph)}")
            continue
        async with work.ports.workspaces.open(work.owner, work.request.workspace) as workspace:
            parts.append(await described_opportunities(found, workspace))
    return StageOutput("", "\n\n".join(parts), value)
