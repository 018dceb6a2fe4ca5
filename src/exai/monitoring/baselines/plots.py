"""Plots as SVG that stands within a page: no script, colours of the page, and a name for those who hear it."""

from collections.abc import Iterable, Sequence
from html import escape

import msgspec

__all__ = ["Bar", "bars", "columns", "whiskers"]

WIDTH = 760
LABEL = 220
ROW = 26
HATCH = (
    '<defs><pattern id="gap" width="8" height="8" patternUnits="userSpaceOnUse">'
    '<path class="hatch" d="M-2 2L2 -2M0 8L8 0M6 10L10 6"/></pattern></defs>'
)
PLOT = WIDTH - LABEL - 90


class Bar(msgspec.Struct, frozen=True):
    """A row of a plot: a value, between which bounds it lies, and further marks."""

    label: str
    value: float
    low: float | None
    high: float | None
    caption: str
    marks: tuple[tuple[str, float], ...] = ()


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Draw a horizontal bar with its interval for each row."""
    return _rows(title, rows, is_bar=True)


def whiskers(title: str, rows: Sequence[Bar]) -> str:
    """Draw the marks of each row on a line, and the interval of its value."""
    return _rows(title, rows, is_bar=False)


def columns(title: str, heights: Sequence[float | None], captions: Sequence[str], unit: str) -> str:
    """Draw a column for each height, in order; `None` is a gap, which is hatched."""
    top = max((each for each in heights if each), default=1.0) or 1.0
    step = (WIDTH - 60) / max(1, len(heights))
    drawn: list[str] = []
    for place, (height, caption) in enumerate(zip(heights, captions, strict=True)):
        x, width = 50 + place * step, max(1.0, step - 1)
        if height is None:
            drawn.append(_rectangle(x, 10, width, 120, "gap", f"{caption}: nothing"))
        else:
            tall = 120 * height / top
            drawn.append(_rectangle(x, 130 - tall, width, tall, "bar", f"{caption}: {height:,.0f} {unit}"))
    axis = (
        f'<text x="44" y="20" text-anchor="end">{top:,.0f}</text><text x="44" y="130" text-anchor="end">0</text>'
        f'<line class="axis" x1="50" x2="{WIDTH - 10}" y1="130" y2="130"/>'
    )
    return _svg(title, 140, [HATCH, axis, *drawn])


def _rows(title: str, rows: Sequence[Bar], *, is_bar: bool) -> str:
    ends = [value for row in rows for value in (row.value, row.high or 0, *(at for _, at in row.marks))]
    top = max(ends, default=1.0) or 1.0
    drawn: list[str] = []
    for place, row in enumerate(rows):
        middle = 16 + place * ROW
        drawn.append(
            f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(row.label)}</text>'
            f'<text x="{WIDTH - 84}" y="{middle + 4}">{escape(row.caption)}</text>'
        )
        if is_bar:
            drawn.append(_rectangle(LABEL, middle - 7, PLOT * row.value / top, 14, "bar", row.caption))
        drawn.extend(_marks(row, middle, top))
    return _svg(title, len(rows) * ROW + 10, drawn)


def _marks(row: Bar, middle: float, top: float) -> Iterable[str]:
    def x(value: float) -> float:
        return round(LABEL + PLOT * value / top, 1)

    if row.marks:
        places = [x(at) for _, at in row.marks]
        yield f'<line class="line" x1="{min(places)}" x2="{max(places)}" y1="{middle}" y2="{middle}"/>'
    if row.low is not None:
        end = row.high if row.high is not None else top
        yield f'<line class="interval" x1="{x(row.low)}" x2="{x(end)}" y1="{middle}" y2="{middle}"/>'
    for name, at in row.marks:
        yield f'<circle class="mark" cx="{x(at)}" cy="{middle}" r="4"><title>{escape(name)}</title></circle>'


def _rectangle(x: float, y: float, width: float, height: float, kind: str, caption: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}">'
        f"<title>{escape(caption)}</title></rect>"
    )


def _svg(title: str, height: float, parts: Iterable[str]) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {WIDTH} {height:.0f}">'
        f"{''.join(parts)}</svg>"
    )
