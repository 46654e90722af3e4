"""Draws the simulations of scenarios.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plot import Diagram, Span
from queue_simulation import Second
from scenarios import QUIET_SECONDS, Outcome

MAX_POINTS = 240


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

    def diagram(self) -> Diagram:
        return Diagram(
            self.title,
            self.unit,
            "minutes",
            self.minutes,
            [points(self, outcome) for outcome in self.outcomes],
            self.lines,
            [Span(self.event, QUIET_SECONDS / 60, (QUIET_SECONDS + self.event_seconds) / 60)],
        )


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
