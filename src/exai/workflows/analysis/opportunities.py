"""What is worth restructuring, each with the callers that a change of it reaches, and a patch where that applies."""

from collections.abc import Sequence

from exai.consulting.structured import as_entry
from exai.errors import BadArguments, FileRefused
from exai.evidence.pieces import Bounds
from exai.evidence.requests import Graph, Symbol
from exai.evidence.workspace import Workspace
from exai.workflows.answers import CheckedOpportunities, CheckedPlace

__all__ = ["described_opportunities"]

MOST_CALLERS = 12
"""Named of one opportunity."""


async def described_opportunities(found: CheckedOpportunities, workspace: Workspace) -> str:
    """Write opportunities for a reader, with what the workspace says of each."""
    parts = []
    for number, each in enumerate(found.opportunities, start=1):
        lines = [*each.lines(number), f"   reaches: {await _reach(each.place, workspace)}"]
        if each.patch.strip():
            lines.append(await _patch(each.patch, workspace))
        parts.append("\n".join(lines))
    if not parts:
        return found.text()
    if found.leave:
        parts.append(f"Better left as it is: {as_entry(found.leave)}")
    return "\n\n".join(parts)


async def _reach(place: CheckedPlace, workspace: Workspace) -> str:
    """Say who calls the part that a place is in."""
    first = place.citation("").first
    if first is None or place.state in {"unverified", "unknown_file", "ambiguous"}:
        return "not looked up, as the place was not found"
    try:
        outline = await workspace.outline(place.path)
        symbol = _enclosing(outline.symbols, first)
        if symbol is None:
            return "not looked up, as the place is in no named part"
        target = f"{place.path}:{symbol.qualified}"
        graph = await workspace.trace(target, "dependencies", Bounds())
    except (BadArguments, FileRefused) as fault:
        return f"not looked up ({fault})"
    return _callers(symbol, graph)


def _enclosing(symbols: Sequence[Symbol], line: int) -> Symbol | None:
    around = [each for each in symbols if each.first <= line <= each.last and each.kind != "heading"]
    return around[-1] if around else None


def _callers(symbol: Symbol, graph: Graph) -> str:
    edges = [edge for edge in graph.edges if edge.called < graph.starts]
    names = {}
    for edge in edges:
        node = graph.nodes[edge.caller]
        names[f"{node.path}:{edge.line} {node.name}{'' if edge.is_sure else ' ?'}"] = node.path
    if not names:
        return f"no caller of `{symbol.qualified}` was found by its name"
    listed = ", ".join(list(names)[:MOST_CALLERS])
    more = f", and {len(names) - MOST_CALLERS} more" if len(names) > MOST_CALLERS else ""
    count = f"{len(names)} caller{'s' if len(names) > 1 else ''} of `{symbol.qualified}`"
    files = len(set(names.values()))
    return f"{count} in {files} file{'s' if files > 1 else ''}: {listed}{more}"


async def _patch(patch: str, workspace: Workspace) -> str:
    checked = await workspace.check_patch(patch)
    if checked.problems:
        return f"   patch: left out, as it does not apply. {checked.problems[0].text()}"
    return f"   patch, which applies to the workspace as it is now:\n\n```diff\n{checked.patch}```"
