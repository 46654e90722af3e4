"""Alarms as CloudWatch evaluates them, which the emulator does not do: it ignores dimensions, the number of data points, and
missing data.

Sources, all in the CloudWatch user guide: "Evaluating an alarm", "Configuring how CloudWatch alarms treat missing data",
"Alarm evaluation window" (a sliding window is the default), and "Using math expressions with CloudWatch metrics".
What the guide leaves open is a parameter here, and a story should hold for each value of it.
"""

from __future__ import annotations

import bisect
import functools
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from template_check import alarms, metric_math
from template_check.metric_math import ARRAY, TS, Node
from template_check.resolve import as_text

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
MINUTE, HOUR, DAY = 60, 3600, 86_400

# A data point, or None if it is missing; the oldest first.
Points = list[float | None]
# The namespace, the name and the dimensions of a metric.
MetricId = tuple[str, str, tuple[tuple[str, str], ...]]

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: sum(values) / len(values),
    "SampleCount": len,
}


def state(points: Points, needed: int, evaluated: int, missing: str, before: str, breaches: Callable[[float], bool]) -> str:
    """The state of an alarm on `needed` out of `evaluated` data points.

    `points` is the whole evaluation range, which is longer than `evaluated`; `before` is the state until now.
    """
    # Of real data points, the most recent ones, as many as are evaluated.
    real = [(age, breaches(value)) for age, value in enumerate(reversed(points), start=1) if value is not None]
    real = real[:evaluated]
    breaching = sum(breach for _, breach in real)
    filled = evaluated - len(real)
    if filled == 0 or breaching >= needed:
        return ALARM if breaching >= needed else OK
    if missing == "breaching":
        return ALARM if breaching + filled >= needed else OK
    if missing == "notBreaching" or any(not breach for _, breach in real):
        return OK
    if missing == "ignore":
        return before
    # "Avoiding premature transitions to alarm state": all that is there is breaching, and the oldest of it is old enough.
    return ALARM if real and real[-1][0] >= needed else INSUFFICIENT_DATA


class Metrics:
    """What was sent, by metric: moments in seconds, and values."""

    def __init__(self) -> None:
        self._sent: dict[MetricId, list[tuple[float, float]]] = {}
        # The evaluations of an alarm look at the same periods again and again.
        self._seen: dict[tuple[MetricId, str, float, int], float | None] = {}

    def put(self, metric: MetricId, at: float, value: float = 1) -> None:
        bisect.insort(self._sent.setdefault(metric, []), (at, value))
        self._seen.clear()

    def points(self, metric: MetricId, statistic: str, ends: list[float], period: int) -> Points:
        """The statistic of each period that ends at these moments."""
        return [self._point(metric, statistic, end, period) for end in ends]

    def _point(self, metric: MetricId, statistic: str, end: float, period: int) -> float | None:
        key = (metric, statistic, end, period)
        if key not in self._seen:
            sent = self._sent.get(metric, [])
            first, last = (bisect.bisect_left(sent, (at,)) for at in (end - period, end))
            values = [value for _, value in sent[first:last]]
            self._seen[key] = STATISTICS[statistic](values) if values else None
        return self._seen[key]


def metric_id(metric: dict[str, Any]) -> MetricId:
    """A metric of a resolved template."""
    dimensions = tuple(sorted((each["Name"], as_text(each["Value"]) or "") for each in metric.get("Dimensions", [])))
    return (as_text(metric["Namespace"]) or "", metric["MetricName"], dimensions)


@dataclass
class Alarm:
    """An alarm of a resolved template, and its state."""

    properties: dict[str, Any]
    # How many data points more than `EvaluationPeriods` are retrieved; the guide's examples have 2.
    further_points: int = 2
    # Whether FILL makes a series of a metric that has no data point in the evaluation range.
    fills_empty_series: bool = True
    state: str = INSUFFICIENT_DATA

    @property
    def period(self) -> int:
        [period] = {stat["Period"] for stat in alarms.stats(self.properties)}
        return period

    @property
    def watched(self) -> list[MetricId]:
        return [metric_id(stat["Metric"]) for stat in alarms.stats(self.properties)]

    @property
    def interval(self) -> int:
        """How often it is evaluated, in seconds: every hour if it looks back for more than a day."""
        return HOUR if self.period * self.properties["EvaluationPeriods"] > DAY else MINUTE

    def evaluate(self, metrics: Metrics, now: float) -> str:
        """Evaluates the periods until now."""
        evaluated, period = self.properties["EvaluationPeriods"], self.period
        ends = [now - number * period for number in reversed(range(evaluated + self.further_points))]
        compare = COMPARISONS[self.properties["ComparisonOperator"]]
        threshold = self.properties["Threshold"]
        self.state = state(
            self._points(metrics, ends),
            self.properties.get("DatapointsToAlarm", evaluated),
            evaluated,
            self.properties.get("TreatMissingData", "missing"),
            self.state,
            lambda value: compare(value, threshold),
        )
        return self.state

    def _points(self, metrics: Metrics, ends: list[float]) -> Points:
        if "Metrics" not in self.properties:
            [stat] = alarms.stats(self.properties)
            return metrics.points(metric_id(stat["Metric"]), stat["Stat"], ends, self.period)
        series: dict[str, Points] = {}
        for query in self.properties["Metrics"]:
            if "MetricStat" in query:
                stat = query["MetricStat"]
                series[query["Id"]] = metrics.points(metric_id(stat["Metric"]), stat["Stat"], ends, self.period)
        trees = {query["Id"]: _tree(query["Expression"]) for query in self._expressions()}
        [result] = [query["Id"] for query in self._expressions() if query.get("ReturnData", True)]
        return Calculation(series, trees, len(ends), self.fills_empty_series).of(result)

    def _expressions(self) -> Iterator[dict[str, Any]]:
        yield from (query for query in self.properties["Metrics"] if "Expression" in query)

    def history(self, metrics: Metrics, until: float, since: float = 0) -> list[tuple[float, str]]:
        """Its states from when it was created until a moment: each change with its time."""
        changes = []
        now = since
        while now <= until:
            before = self.state
            if self.evaluate(metrics, now) != before:
                changes.append((now, self.state))
            now += self.interval
        return changes


@functools.cache
def _tree(expression: str) -> Node:
    return metric_math.parse(expression).tree


def alarms_raised(history: Iterable[tuple[float, str]]) -> list[float]:
    """When an alarm was raised."""
    return [at for at, reached in history if reached == ALARM]


class Calculation:
    """The expressions of an alarm over one evaluation range."""

    def __init__(self, series: dict[str, Points], trees: dict[str, Node], length: int, fills_empty_series: bool) -> None:
        self.series = series
        self.trees = trees
        self.length = length
        self.fills_empty_series = fills_empty_series

    def of(self, name: str) -> Points:
        return self.series[name] if name in self.series else self._points(self.trees[name])

    def _points(self, node: Node) -> Points:
        value = self._value(node)
        return [value] * self.length if isinstance(value, float) else value

    def _value(self, node: Node) -> Any:
        """A number, a series, or a list of series."""
        match node.form:
            case "number":
                return node.value
            case "id":
                return self.of(node.value)
            case "array":
                return [each for part in node.parts for each in self._several(part)]
            case "call":
                return self._call(node.value, node.parts)
        if len(node.parts) == 1:
            return self._each(lambda value: -value, self._value(node.parts[0]), node.kind)
        return self._pair(OPERATORS[node.form], *node.parts)

    def _several(self, node: Node) -> list[Points]:
        value = self._value(node)
        return value if node.kind == ARRAY else [value]

    def _each(self, change: Callable[[float], float], value: Any, kind: str) -> Any:
        if isinstance(value, float):
            return change(value)
        if kind == ARRAY:
            return [self._each(change, each, TS) for each in value]
        return [None if point is None else change(point) for point in value]

    def _pair(self, combine: Callable[[float, float], float], left: Node, right: Node) -> Any:
        if left.kind == ARRAY:
            return [self._combined(combine, each, self._value(right)) for each in self._value(left)]
        if right.kind == ARRAY:
            return [self._combined(combine, self._value(left), each) for each in self._value(right)]
        return self._combined(combine, self._value(left), self._value(right))

    def _combined(self, combine: Callable[[float, float], float], left: Any, right: Any) -> Any:
        if isinstance(left, float) and isinstance(right, float):
            return combine(left, right)
        pairs = zip(self._stretched(left, right), self._stretched(right, left), strict=True)
        # "Missing values in a time series are treated as 0" where the other one has a value.
        return [None if one is None and other is None else combine(one or 0, other or 0) for one, other in pairs]

    def _stretched(self, value: Any, beside: Any = None) -> Points:
        """A series of a number, with a value wherever the series beside it has one."""
        if not isinstance(value, float):
            return value
        return [value] * self.length if beside is None else [None if point is None else value for point in beside]

    def _call(self, name: str, arguments: tuple[Node, ...]) -> Any:
        match name:
            case "METRICS":
                wanted = arguments[0].value if arguments else ""
                return [points for each, points in self.series.items() if wanted in each]
            case "FILL":
                filled = [self._filled(each, arguments[1]) for each in self._several(arguments[0])]
                return filled if arguments[0].kind == ARRAY else filled[0]
            case "IF":
                return self._if(*arguments)
            case "SUM" | "MAX" | "MIN" | "AVG":
                return self._aggregate(AGGREGATES[name], arguments[0])
            case "RUNNING_SUM":
                return self._running_sum(self._value(arguments[0]))
        raise NotImplementedError(f"no alarm uses {name}")

    def _filled(self, points: Points, by: Node) -> Points:
        if not self.fills_empty_series and all(point is None for point in points):
            return points
        if by.form == "word":
            if by.value != "REPEAT":
                raise NotImplementedError(f"no alarm fills by {by.value}")
            last: deque[float] = deque(maxlen=1)
            repeated: Points = []
            for point in points:
                if point is not None:
                    last.append(point)
                repeated.append(last[0] if last else None)
            return repeated
        fillers = self._stretched(self._value(by))
        return [filler if point is None else point for point, filler in zip(points, fillers, strict=True)]

    def _if(self, condition: Node, then: Node, otherwise: Node | None = None) -> Points:
        """"Using IF expressions": a value that is missing where it is chosen is 0 if the condition holds, and is dropped if it does
        not."""
        taken = self._stretched(self._value(then))
        left = self._stretched(self._value(otherwise)) if otherwise else [None] * self.length
        chosen: Points = []
        for index, point in enumerate(self._stretched(self._value(condition))):
            chosen.append(None if point is None else (taken[index] or 0) if point else left[index])
        return chosen

    def _aggregate(self, combine: Callable[[list[float]], float], node: Node) -> Any:
        if node.kind != ARRAY:
            there = [point for point in self._value(node) if point is not None]
            return float(combine(there)) if there else 0.0
        found: Points = []
        for points in zip(*self._value(node), strict=True):
            # "Missing values are treated as 0."
            found.append(None if set(points) == {None} else combine([point or 0 for point in points]))
        return found

    def _running_sum(self, points: Points) -> Points:
        total, found = 0.0, []
        for point in points:
            total += point or 0
            found.append(total)
        return list(found)


AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "SUM": sum,
    "MAX": max,
    "MIN": min,
    "AVG": lambda values: sum(values) / len(values),
}
OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else float("nan"),
    "^": operator.pow,
    **{
        sign: lambda left, right, compare=compare: float(compare(left, right))
        for sign, compare in {
            "==": operator.eq,
            "!=": operator.ne,
            "<": operator.lt,
            "<=": operator.le,
            ">": operator.gt,
            ">=": operator.ge,
        }.items()
    },
    **dict.fromkeys(["AND", "&&"], lambda left, right: float(bool(left and right))),
    **dict.fromkeys(["OR", "||"], lambda left, right: float(bool(left or right))),
}
