"""What `analyze` makes of `kind=refactor`: opportunities, each with its place compared with what was shown, the callers
that a change of it reaches, and a patch where that applies."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from exai.consulting.structured import as_entry
from exai.errors import BadArguments, FileRefused
from exai.evidence.packing import Packed
from exai.evidence.pieces import CHANGE, Bounds
from exai.evidence.requests import Graph, Symbol
from exai.evidence.workspace import Workspace
from exai.workflows.answers import CheckedPlace, Place
from exai.workflows.citations import ShownFile, check

__all__ = ["Opportunities", "Opportunity", "described_opportunities"]

MOST_OPPORTUNITIES = 10
MOST_CALLERS = 12
"""Named of one opportunity."""


class Opportunity(msgspec.Struct, frozen=True):
    """Something that is worth restructuring."""

    title: str
    place: Place
    problem: Annotated[str, msgspec.Meta(description="What it costs, and whom")]
    change: Annotated[str, msgspec.Meta(description="What to do instead, in steps")]
    patch: Annotated[
        str, msgspec.Meta(description="A unified diff, only if it is short and sure; else empty")
    ] = ""


class Opportunities(msgspec.Struct, frozen=True):
    """What is worth restructuring, the most worthwhile first."""

    opportunities: tuple[Opportunity, ...]
    leave: Annotated[str, msgspec.Meta(description="What looks odd and is better left as it is")] = ""


async def described_opportunities(found: Opportunities, packed: Packed, workspace: Workspace) -> str:
    """Write opportunities for a reader, with what the workspace says of each."""
    shown = list(_shown(packed))
    parts = []
    for number, each in enumerate(found.opportunities[:MOST_OPPORTUNITIES], start=1):
        place = CheckedPlace.of(each.place, check(each.place.citation(each.problem), shown))
        lines = [f"{number}. {as_entry(each.title)}", f"   place: {place.text()}"]
        lines += [f"   problem: {as_entry(each.problem)}", f"   change: {as_entry(each.change)}"]
        lines += [f"   reaches: {await _reach(place, workspace)}"]
        if each.patch.strip():
            lines.append(await _patch(each.patch, workspace))
        parts.append("\n".join(lines))
    if not parts:
        parts = ["Nothing that was shown is worth restructuring."]
    if found.leave:
        parts.append(f"Better left as it is: {as_entry(found.leave)}")
    return "\n\n".join(parts)


def _shown(packed: Packed) -> Iterator[ShownFile]:
    for number, piece in enumerate(packed.shown, start=1):
        if piece.path and piece.total and piece.source != CHANGE:
            lines = piece.text.removesuffix("\n").split("\n")
            yield ShownFile([f"E{number}"], piece.path, list(enumerate(lines, piece.first)))


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
