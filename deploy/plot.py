"""Draws values over time as an SVG that is readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, PANEL_HEIGHT, TOP, LEFT, RIGHT = 860, 200, 128, 74, 24
# Of a panel with its title and the labels of its axis.
PANEL_PITCH = PANEL_HEIGHT + 92

STYLE = """
  .page { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, -apple-system, "Segoe UI", sans-serif }
  .title { font-weight: 600 } .small { fill: #59636e; font-size: 12px } .grid { stroke: #d1d9e0; stroke-width: 1 }
  .axis { stroke: #59636e; stroke-width: 1 } .event { fill: #818b98; opacity: 0.16 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .line0 { stroke: #0969da } .line1 { stroke: #bc4c00; stroke-dasharray: 7 3 }
  .line2 { stroke: #1a7f37; stroke-dasharray: 3 3 } .line3 { stroke: #8250df; stroke-dasharray: 10 3 2 3 }
  .line4 { stroke: #cf222e; stroke-dasharray: 14 4 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #f0f6fc } .small { fill: #9198a1 } .grid { stroke: #3d444d } .axis { stroke: #9198a1 }
    .event { fill: #9198a1; opacity: 0.22 } .line0 { stroke: #58a6ff } .line1 { stroke: #f0883e }
    .line2 { stroke: #3fb950 } .line3 { stroke: #bc8cff } .line4 { stroke: #ff7b72 }
  }
"""


@dataclass(frozen=True)
class Span:
    """A time in which something happened that explains the lines."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True)
class Diagram:
    """Some lines over one axis of time, which begins at 0."""

    title: str
    unit: str
    time_unit: str
    end: float
    series: Sequence[Sequence[tuple[float, float]]]
    # Which line of the legend each has.
    lines: Sequence[int]
    spans: Sequence[Span] = ()


def svg(diagrams: Sequence[Diagram], legend: Sequence[str], description: str) -> str:
    height = TOP + PANEL_PITCH * len(diagrams)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(legend_title(diagrams))}</title>",
        f"<desc>{escape(description)}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
    ]
    for number, name in enumerate(legend):
        x, y = LEFT + (number % 2) * 390, 26 + (number // 2) * 24
        parts.append(f'<line class="line line{number}" x1="{x}" y1="{y - 4}" x2="{x + 40}" y2="{y - 4}"/>')
        parts.append(f'<text x="{x + 50}" y="{y}">{escape(name)}</text>')
    for number, diagram in enumerate(diagrams):
        parts += drawn(diagram, TOP + PANEL_PITCH * number)
    return "\n".join([*parts, "</svg>"]) + "\n"


def legend_title(diagrams: Sequence[Diagram]) -> str:
    return "; ".join(diagram.title for diagram in diagrams)


def drawn(diagram: Diagram, top: float) -> list[str]:
    largest = max((value for each in diagram.series for _, value in each), default=0) or 1
    step = nice_step(largest / 4)
    most = step * (int(largest / step) + 1)
    right, bottom = WIDTH - RIGHT, top + PANEL_HEIGHT

    def x(time: float) -> float:
        return LEFT + (right - LEFT) * time / diagram.end

    def y(value: float) -> float:
        return bottom - PANEL_HEIGHT * value / most

    parts = [f'<text class="title" x="{LEFT}" y="{top - 12}">{escape(diagram.title)}</text>']
    for span in diagram.spans:
        begin, end = x(span.begin), x(min(span.end, diagram.end))
        parts.append(
            f'<rect class="event" x="{begin:.1f}" y="{top}" width="{end - begin:.1f}" height="{PANEL_HEIGHT}"/>'
            f'<text class="small" x="{begin + 6:.1f}" y="{top + 16}">{escape(span.name)}</text>'
        )
    value = 0.0
    while value <= most:
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y(value):.1f}" x2="{right}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="small" text-anchor="end" x="{LEFT - 8}" y="{y(value) + 4:.1f}">{value:,.0f}</text>')
        value += step
    time = 0
    while time <= diagram.end:
        parts.append(f'<line class="axis" x1="{x(time):.1f}" y1="{bottom}" x2="{x(time):.1f}" y2="{bottom + 5}"/>')
        parts.append(f'<text class="small" text-anchor="middle" x="{x(time):.1f}" y="{bottom + 20}">{time}</text>')
        time += int(nice_step(max(diagram.end / 8, 1)))
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>')
    parts.append(f'<text class="small" text-anchor="middle" x="{(LEFT + right) / 2}" y="{bottom + 40}">{escape(diagram.time_unit)}</text>')
    middle = top + PANEL_HEIGHT / 2
    parts.append(
        f'<text class="small" text-anchor="middle" transform="translate(16 {middle}) rotate(-90)">{escape(diagram.unit)}</text>'
    )
    for line, each in zip(diagram.lines, diagram.series, strict=True):
        coordinates = " ".join(f"{x(time):.1f},{y(value):.1f}" for time, value in each)
        parts.append(f'<polyline class="line line{line}" points="{coordinates}"/>')
    return parts


def nice_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, not below `rough`."""
    power = 1.0
    while power * 10 <= rough:
        power *= 10
    return next(power * factor for factor in [1, 2, 5, 10] if power * factor >= rough)
