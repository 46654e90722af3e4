"""What was measured, as rows, and the rows as one table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

Cell = float | None


@dataclass(frozen=True)
class Row:
    """One figure of each program, in the order of the table's columns, `None` for a program without it."""

    figure: str
    unit: str
    cells: Sequence[Cell]
    # How far two runs of the same program are apart, as a share; `None` if it is not a measurement of time.
    noise: float | None = None


@dataclass(frozen=True)
class Section:
    title: str
    rows: list[Row] = field(default_factory=list)


def median(values: Sequence[Cell]) -> Cell:
    """Of what was measured in each round; `None` if nothing was."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def noise(once: Sequence[Cell], again: Sequence[Cell]) -> float | None:
    """How far two runs of the same program in one round are apart: half of the rounds are closer, half are farther."""
    return median([abs(b / a - 1) for a, b in zip(once, again, strict=True) if a and b])


def number(value: Cell) -> str:
    """Three digits of a measurement, and all of a large number."""
    if value is None:
        return ""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def lines(columns: Sequence[str], sections: Sequence[Section]) -> list[list[str]]:
    """The cells of the table, its head first."""
    found = [["", "unit", *columns, "noise"]]
    for section in sections:
        found.append([section.title, *[""] * (len(columns) + 2)])
        for row in section.rows:
            # What only we have is in our column, which is the first.
            cells = [*map(number, row.cells), *[""] * (len(columns) - len(row.cells))]
            found.append([f"  {row.figure}", row.unit, *cells, share(row.noise)])
    return found


def text(columns: Sequence[str], sections: Sequence[Section]) -> str:
    """The table for a terminal."""
    found = lines(columns, sections)
    # A section's title may be as long as it likes.
    widths = [max(len(line[column]) for line in found if column or line[1]) for column in range(len(found[0]))]
    return "\n".join(_aligned(line, widths) for line in found)


def _aligned(line: list[str], widths: list[int]) -> str:
    left, right = line[:2], line[2:]
    cells = [cell.ljust(width) for cell, width in zip(left, widths, strict=False)]
    cells += [cell.rjust(width) for cell, width in zip(right, widths[2:], strict=True)]
    return "  ".join(cells).rstrip()


def markdown(columns: Sequence[str], sections: Sequence[Section]) -> str:
    """The table for a page."""
    head, *found = lines(columns, sections)
    rule = ["---", "---", *["--:"] * (len(head) - 2)]
    titles = {section.title for section in sections}
    body = [[f"**{line[0]}**", *line[1:]] if line[0] in titles else [line[0].strip(), *line[1:]] for line in found]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *body]) + "\n"
