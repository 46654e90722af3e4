"""Draws the simulations of scenarios.py as an SVG that is readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from queue_simulation import Second
from scenarios import QUIET_SECONDS, Outcome

WIDTH, PANEL_HEIGHT, TOP, LEFT, RIGHT = 860, 200, 128, 74, 24
# Of a panel with its title and the labels of its axis.
PANEL_PITCH = PANEL_HEIGHT + 92
MAX_POINTS = 240

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
class Panel:
    """One diagram: a value of each outcome's seconds over minutes."""

    title: str
    unit: str
    outcomes: Sequence[Outcome]
    value: Callable[[Outcome, Second], float]
    minutes: int
    event_seconds: int
    event: str
    # Which line of the legend each outcome has.
    lines: Sequence[int]


def svg(panels: Sequence[Panel], legend: Sequence[str], description: str) -> str:
    height = TOP + PANEL_PITCH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(legend_title(panels))}</title>",
        f"<desc>{escape(description)}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
    ]
    for number, name in enumerate(legend):
        x, y = LEFT + (number % 2) * 390, 26 + (number // 2) * 24
        parts.append(f'<line class="line line{number}" x1="{x}" y1="{y - 4}" x2="{x + 40}" y2="{y - 4}"/>')
        parts.append(f'<text x="{x + 50}" y="{y}">{escape(name)}</text>')
    for number, panel in enumerate(panels):
        parts += drawn(panel, TOP + PANEL_PITCH * number)
    return "\n".join([*parts, "</svg>"]) + "\n"


def legend_title(panels: Sequence[Panel]) -> str:
    return "; ".join(panel.title for panel in panels)


def drawn(panel: Panel, top: float) -> list[str]:
    series = [points(panel, outcome) for outcome in panel.outcomes]
    step = nice_step(max(value for each in series for _, value in each) / 4)
    most = step * (int(max(value for each in series for _, value in each) / step) + 1)
    right, bottom = WIDTH - RIGHT, top + PANEL_HEIGHT

    def x(minute: float) -> float:
        return LEFT + (right - LEFT) * minute / panel.minutes

    def y(value: float) -> float:
        return bottom - PANEL_HEIGHT * value / most

    parts = [f'<text class="title" x="{LEFT}" y="{top - 12}">{escape(panel.title)}</text>']
    begin, end = QUIET_SECONDS / 60, (QUIET_SECONDS + panel.event_seconds) / 60
    parts.append(
        f'<rect class="event" x="{x(begin):.1f}" y="{top}" width="{x(end) - x(begin):.1f}" height="{PANEL_HEIGHT}"/>'
        f'<text class="small" x="{x(begin) + 6:.1f}" y="{top + 16}">{escape(panel.event)}</text>'
    )
    value = 0.0
    while value <= most:
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y(value):.1f}" x2="{right}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="small" text-anchor="end" x="{LEFT - 8}" y="{y(value) + 4:.1f}">{value:,.0f}</text>')
        value += step
    minute = 0
    while minute <= panel.minutes:
        parts.append(f'<line class="axis" x1="{x(minute):.1f}" y1="{bottom}" x2="{x(minute):.1f}" y2="{bottom + 5}"/>')
        parts.append(f'<text class="small" text-anchor="middle" x="{x(minute):.1f}" y="{bottom + 20}">{minute}</text>')
        minute += int(nice_step(panel.minutes / 8))
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>')
    parts.append(f'<text class="small" text-anchor="middle" x="{(LEFT + right) / 2}" y="{bottom + 40}">minutes</text>')
    middle = top + PANEL_HEIGHT / 2
    parts.append(
        f'<text class="small" text-anchor="middle" transform="translate(16 {middle}) rotate(-90)">{escape(panel.unit)}</text>'
    )
    for line, each in zip(panel.lines, series, strict=True):
        coordinates = " ".join(f"{x(minute):.1f},{y(value):.1f}" for minute, value in each)
        parts.append(f'<polyline class="line line{line}" points="{coordinates}"/>')
    return parts


def points(panel: Panel, outcome: Outcome) -> list[tuple[float, float]]:
    """Minutes and values, with the largest of each step, so that no peak is lost."""
    seconds = outcome.run.seconds[: panel.minutes * 60]
    step = max(1, len(seconds) // MAX_POINTS)
    found = []
    for first in range(0, len(seconds), step):
        part = range(first, min(first + step, len(seconds)))
        values = {number: panel.value(outcome, seconds[number]) for number in part}
        number = max(part, key=lambda each: values[each])
        found.append((number / 60, values[number]))
    return found


def nice_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, not below `rough`."""
    power = 1.0
    while power * 10 <= rough:
        power *= 10
    return next(power * factor for factor in [1, 2, 5, 10] if power * factor >= rough)
