"""The evaluator of alarms gives what CloudWatch's guide gives as examples."""

from __future__ import annotations

from typing import Any

import pytest
from alarm_evaluation import ALARM, HOUR, INSUFFICIENT_DATA, MINUTE, OK, Alarm, Metrics, state

RETAINED = "retained"


def points(row: str) -> list[float | None]:
    """A row of the guide's tables: `0` does not breach, `X` does, and `-` is missing."""
    return [{"0": 0.0, "X": 1.0, "-": None}[point] for point in row.split()]


# "Configuring how CloudWatch alarms treat missing data", the first and the second table: the states if missing data is
# treated as missing, ignored, breaching and not breaching.
THREE_OF_THREE = {
    "0 - X - X": (OK, OK, OK, OK),
    "0 - - - -": (OK, OK, OK, OK),
    "- - - - -": (INSUFFICIENT_DATA, RETAINED, ALARM, OK),
    "0 X X - X": (ALARM, ALARM, ALARM, ALARM),
    "- - X - -": (ALARM, RETAINED, ALARM, OK),
}
TWO_OF_THREE = {
    "0 - X - X": (ALARM, ALARM, ALARM, ALARM),
    "0 0 X 0 X": (ALARM, ALARM, ALARM, ALARM),
    "0 - X - -": (OK, OK, ALARM, OK),
    "- - - - 0": (OK, OK, ALARM, OK),
    "- - - X -": (ALARM, RETAINED, ALARM, OK),
}
# What the section about premature transitions adds.
PREMATURE = {"- - - - X": INSUFFICIENT_DATA, "- - - X -": INSUFFICIENT_DATA, "- - - X 0": OK, "- - X - 0": OK}
TREATMENTS = ["missing", "ignore", "breaching", "notBreaching"]


@pytest.mark.parametrize(
    ("needed", "row", "treatment", "expected"),
    [
        (needed, row, treatment, expected)
        for needed, table in [(3, THREE_OF_THREE), (2, TWO_OF_THREE)]
        for row, states in table.items()
        for treatment, expected in zip(TREATMENTS, states, strict=True)
    ]
    + [(3, row, "missing", expected) for row, expected in PREMATURE.items()],
)
def test_a_row_of_the_guide_has_its_state(needed: int, row: str, treatment: str, expected: str) -> None:
    found = state(points(row), needed, 3, treatment, RETAINED, lambda value: value > 0)

    assert found == expected


METRIC = ("n", "m", (("provider", "machnet"),))
OTHER = ("n", "m", (("provider", "accredit"),))


def alarm(**changes: Any) -> Alarm:
    return Alarm(
        {
            "Namespace": "n",
            "MetricName": "m",
            "Dimensions": [{"Name": "provider", "Value": "machnet"}],
            "Statistic": "Sum",
            "Period": 300,
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 2,
            "TreatMissingData": "notBreaching",
        }
        | changes
    )


def test_the_statistic_is_of_one_metric_and_one_period() -> None:
    metrics = Metrics()
    for at in [10, 20, 30]:
        metrics.put(METRIC, at)
        metrics.put(OTHER, at, 100)

    assert alarm().evaluate(metrics, 300) == ALARM
    assert alarm(Threshold=3).evaluate(metrics, 300) == OK
    assert alarm(Statistic="Maximum", Threshold=1, ComparisonOperator="LessThanThreshold").evaluate(metrics, 300) == OK
    assert alarm(Statistic="SampleCount").evaluate(metrics, 300) == ALARM


def test_an_alarm_ends_once_the_data_has_left_its_evaluation_range() -> None:
    metrics = Metrics()
    metrics.put(METRIC, 0, 5)

    # Two more data points are retrieved than one is evaluated.
    assert alarm().history(metrics, until=HOUR, since=MINUTE) == [(MINUTE, ALARM), (16 * MINUTE, OK)]
    one = alarm()
    one.further_points = 0
    assert one.history(metrics, until=HOUR, since=MINUTE) == [(MINUTE, ALARM), (6 * MINUTE, OK)]


def test_an_alarm_that_looks_back_for_more_than_a_day_is_evaluated_every_hour() -> None:
    assert alarm(Period=HOUR, EvaluationPeriods=24).interval == MINUTE
    assert alarm(Period=HOUR, EvaluationPeriods=25).interval == HOUR


def math(expression: str, **changes: Any) -> Alarm:
    def stat(name: str) -> dict[str, Any]:
        metric = {"Namespace": "n", "MetricName": name}
        return {"Id": name, "ReturnData": False, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}

    single = {"Namespace", "MetricName", "Dimensions", "Statistic", "Period"}
    properties = {name: value for name, value in alarm().properties.items() if name not in single}
    queries = [{"Id": "result", "Expression": expression}, stat("a"), stat("b")]
    return Alarm(properties | {"Threshold": 0, "Metrics": queries} | changes)


@pytest.mark.parametrize(
    ("expression", "a", "b", "expected"),
    [
        ("a + b", 1, 1, ALARM),
        ("a + b", 1, None, OK),
        ("FILL(a, 0) + FILL(b, 0)", 1, None, ALARM),
        ("SUM(METRICS())", 1, None, ALARM),
        ("SUM([a, b]) - 3", 1, 2, OK),
        ("MAX([a, b]) - 1", 1, 2, ALARM),
        ("IF(FILL(a, 0) == 0, b, 0)", None, 1, ALARM),
        ("IF(FILL(a, 0) == 0, b, 0)", 1, 1, OK),
        ("IF(a > 0 AND b < 1, 1, 0)", 1, 0, ALARM),
        ("IF(a > 0 && b < 1 || a >= 5, 1, 0)", 1, 1, OK),
        ("-a * 2 + b / 2 ^ 0", 1, 3, ALARM),
    ],
)
def test_an_expression_is_calculated(expression: str, a: float | None, b: float | None, expected: str) -> None:
    metrics = Metrics()
    for name, value in [("a", a), ("b", b)]:
        if value is not None:
            metrics.put(("n", name, ()), 30, value)

    assert math(expression, Metrics=math(expression).properties["Metrics"]).evaluate(metrics, 60) == expected


def test_a_metric_without_any_data_may_be_filled_or_not() -> None:
    metrics = Metrics()
    filled, empty = math("FILL(a, 1) + FILL(b, 1)"), math("FILL(a, 1) + FILL(b, 1)")
    empty.fills_empty_series = False

    assert (filled.evaluate(metrics, 60), empty.evaluate(metrics, 60)) == (ALARM, OK)
