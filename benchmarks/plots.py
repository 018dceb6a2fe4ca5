"""One HTML page of tables and drawings, in one file that needs no other."""

import html
import math
from collections.abc import Mapping, Sequence

__all__ = ["bars", "lines", "page", "table"]

COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8a5fbf", "#8d8741")
WIDTH, ROW, LABEL = 760, 26, 230
HEIGHT, LEFT, BOTTOM, TOP = 320, 70, 40, 20

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 800px; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem } figure { margin: 1rem 0 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
border-bottom: 1px solid #ddd; vertical-align: top } figcaption { font-weight: 600 }
svg text { font-size: 12px; fill: #222 }
"""


def page(title: str, about: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole document."""
    body = "".join(f"<h2>{html.escape(heading)}</h2>{content}" for heading, content in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>{body}"
        "</body></html>\n"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain cells."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    lines_ = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{lines_}</table>"


def bars(caption: str, values: Mapping[str, float], *, unit: str) -> str:
    """One horizontal bar for each value, from zero."""
    most = max(values.values())
    parts = []
    for number, (label, value) in enumerate(values.items()):
        y = number * ROW
        width = value / most * (WIDTH - LABEL - 110)
        parts.append(
            f'<text x="0" y="{y + 17}">{html.escape(label)}</text>'
            f'<rect x="{LABEL}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}" fill="{COLOURS[0]}"/>'
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 17}">{value:,.1f} {unit}</text>'
        )
    return _figure(caption, len(values) * ROW, "".join(parts))


def lines(caption: str, series: Mapping[str, Mapping[int, float]], *, unit: str) -> str:
    """One line for each series; both axes logarithmic."""
    xs = [math.log10(x) for points in series.values() for x in points]
    ys = [math.log10(y) for points in series.values() for y in points.values()]
    low_x, high_x, low_y, high_y = min(xs), max(xs), math.floor(min(ys)), math.ceil(max(ys))

    def place(x: float, y: float) -> tuple[float, float]:
        right, up = WIDTH - 180 - LEFT, HEIGHT - BOTTOM - TOP
        return (
            LEFT + (math.log10(x) - low_x) / ((high_x - low_x) or 1) * right,
            HEIGHT - BOTTOM - (math.log10(y) - low_y) / ((high_y - low_y) or 1) * up,
        )

    parts = []
    for power in range(low_y, high_y + 1):
        _, y = place(10**low_x, 10**power)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 180}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:,.0f}</text>'
        )
    for size in sorted({x for points in series.values() for x in points}):
        x, _ = place(size, 10**low_y)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{_short(size)}</text>')
    for number, (label, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(points.items())))
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<rect x="{WIDTH - 165}" y="{TOP + number * 22}" width="12" height="12" fill="{colour}"/>'
            f'<text x="{WIDTH - 148}" y="{TOP + number * 22 + 11}">{html.escape(label)}</text>'
        )
    parts.append(f'<text x="{LEFT}" y="12">{unit}</text>')
    return _figure(caption, HEIGHT, "".join(parts))


def _short(size: int) -> str:
    for unit, factor in (("MB", 10**6), ("KB", 10**3)):
        if size >= factor:
            return f"{size / factor:g} {unit}"
    return f"{size} B"


def _figure(caption: str, height: int, inside: str) -> str:
    return (
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">{inside}</svg></figure>'
    )
