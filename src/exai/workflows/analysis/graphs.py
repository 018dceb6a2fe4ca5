"""Graphs of calls as lists and as Mermaid drawings, and as prompts show them."""

from collections.abc import Iterable, Iterator

from exai.evidence.requests import Edge, Graph

__all__ = ["drawn", "graph_block"]

MOST_LISTED = 40
"""Calls in an answer."""
LABEL_CHARACTERS = 200


def graph_block(graph: Graph | None) -> str:
    """Frame the calls for a prompt; empty where there are none."""
    if graph is None or not graph.edges:
        return ""
    return f"<<<GRAPH>>>\n{_listed(_edges(graph))}<<<END GRAPH>>>\n"


def drawn(graph: Graph | None) -> str:
    """List the calls and draw them, for the end of an answer; one that is not sure is dotted."""
    if graph is None or not graph.edges:
        return ""
    edges = [f"- {edge}" for edge in list(_edges(graph))[:MOST_LISTED]]
    further = len(graph.edges) - len(edges)
    if further > 0:
        edges.append(f"- and {further} more, which the report has")
    return (
        f"\n\nCalls (`?`: several parts have the name):\n{_listed(edges)}\n```mermaid\n{_mermaid(graph)}```\n"
    )


def _edges(graph: Graph) -> Iterator[str]:
    for edge in graph.edges:
        caller, called = graph.nodes[edge.caller], graph.nodes[edge.called]
        doubt = "" if edge.is_sure else " ?"
        source = f"{_plain(caller.path)}:{edge.line} {_plain(caller.name)}"
        yield f"{source} -> {_plain(called.path)}:{called.first} {_plain(called.name)}{doubt}"


def _mermaid(graph: Graph) -> str:
    shown_edges = graph.edges[:MOST_LISTED]
    used = sorted({number for edge in shown_edges for number in (edge.caller, edge.called)})
    boxes = [f'  n{number}["{_label(graph, number)}"]' for number in used]
    arrows = [_arrow(edge) for edge in shown_edges]
    return _listed(["flowchart LR", *boxes, *arrows])


def _label(graph: Graph, number: int) -> str:
    node = graph.nodes[number]
    return f"{_plain(node.name)} {_plain(node.path)}:{node.first}"


def _plain(text: str) -> str:
    """Replace what could end a label or the block of a drawing."""
    return "".join(each if each.isalnum() or each in " ._:/-$#" else "_" for each in text[:LABEL_CHARACTERS])


def _arrow(edge: Edge) -> str:
    return f"  n{edge.caller} {'-->' if edge.is_sure else '-.->'} n{edge.called}"


def _listed(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
