"""The report of a run: tables as text, and a plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from balance import OUTCOMES, Attempt
from plot import Diagram, Span, svg
from run import Run

COLUMNS = [
    "requests", "accepted", "send again", "unanswered", "forged", "refused", "deliveries", "durable, answer lost", *OUTCOMES, "dead letters",
]  # fmt: skip


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which this part of all values is."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def text(runs: Sequence[Run]) -> str:
    return "\n\n".join(_text(each) for each in runs)


def _text(run: Run) -> str:
    providers = list(run.account.table)
    widths = [max(len(column), 8) for column in COLUMNS]
    lines = [
        f"{run.title}: {len(run.attempts)} requests in {run.seconds:.0f} s, all settled {run.settled_seconds:.0f} s after the last disturbance",
        "  ".join(["provider".ljust(12), *(column.rjust(width) for column, width in zip(COLUMNS, widths, strict=True))]),
    ]
    for provider in providers:
        row = run.account.table[provider]
        cells = [str(row[column]).rjust(width) for column, width in zip(COLUMNS, widths, strict=True)]
        lines.append("  ".join([provider.ljust(12), *cells]))
    outages = Counter(outage.name for outage in run.outages)
    lines.append("Disturbances: " + (", ".join(f"{number} x {name}" for name, number in outages.items()) or "none"))
    answered = [each.seconds for each in run.attempts if each.status is not None]
    lines.append(
        f"Answers within: half {quantile(answered, 0.5) * 1000:.0f} ms, 99 % {quantile(answered, 0.99) * 1000:.0f} ms, all "
        f"{quantile(answered, 1) * 1000:.0f} ms"
    )
    lines += [f"PROBLEM: {problem}" for problem in run.account.problems] or ["Every id is accounted for."]
    return "\n".join(lines)


def plot(runs: Sequence[Run]) -> str:
    """Two diagrams a run: answers a second by kind, and the slowest answer of each second."""
    kinds = ["accepted", "refused", "send again", "unanswered"]
    diagrams = []
    for each in runs:
        end = max([each.seconds, *(attempt.at for attempt in each.attempts)])
        # A letter each, because they are close to each other; the description says which.
        spans = [Span(outage.name[0].upper(), outage.begin, max(outage.end, outage.begin + end / 400)) for outage in each.outages]
        counts = [_by_second([one for one in each.attempts if one.kind == kind], end) for kind in kinds]
        diagrams.append(Diagram(f"{each.title}: answers a second", "requests", "seconds", end, counts, range(len(kinds)), spans))
        slowest = _slowest([one for one in each.attempts if one.status is not None], end)
        diagrams.append(Diagram(f"{each.title}: slowest answer", "milliseconds", "seconds", end, [slowest], [4], spans))
    names = sorted({f"{outage.name[0].upper()}: {outage.name}" for each in runs for outage in each.outages})
    return svg(diagrams, [*kinds, "slowest answer"], f"Shaded: {', '.join(names)}.")


def _by_second(attempts: Sequence[Attempt], end: float) -> list[tuple[float, float]]:
    step = max(1, int(end / 240))
    counts = Counter(int(each.at / step) for each in attempts)
    return [(second * step, counts[second] / step) for second in range(int(end / step) + 1)]


def _slowest(attempts: Sequence[Attempt], end: float) -> list[tuple[float, float]]:
    step = max(1, int(end / 240))
    slowest: dict[int, float] = {}
    for each in attempts:
        slowest[int(each.at / step)] = max(slowest.get(int(each.at / step), 0), each.seconds)
    return [(second * step, slowest.get(second, 0) * 1000) for second in range(int(end / step) + 1)]
