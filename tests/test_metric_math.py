"""The checker of metric math finds each kind of mistake, and takes what CloudWatch's guide gives as examples."""

from __future__ import annotations

import re
from typing import Any

import pytest
from template_check.metric_math import ARRAY, TS, S, parse, problems


def metric(name: str, **changes: Any) -> dict[str, Any]:
    stat = {"Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 300, "Stat": "Sum"}
    return {"Id": name, "ReturnData": False, "MetricStat": stat} | changes


def alarm(expression: Any, *others: dict[str, Any]) -> dict[str, Any]:
    return {"Metrics": [{"Id": "result", "Expression": expression}, *(others or [metric("a"), metric("b")])]}


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("m1", TS),
        ("5 * m1", TS),
        ("-5*m1", TS),
        ("PERIOD(m1)/60", S),
        ("SUM(100/[m1, m2])", TS),
        ("AVG([m1,m2]/m3)", TS),
        ("METRICS()*100", ARRAY),
        ("SUM(-[m1, m2])", TS),
        ("(m1 < m2)", TS),
        ("m1 > 15 AND m2 > 15 || m3 != 2", TS),
        ("m1-AVG(m1)", TS),
        ("SUM([m1,m2])/AVG(m2)", TS),
        ("MIN(ABS([m1, m2]))", TS),
        ("SUM(m1) / DATAPOINT_COUNT(m1)", S),
        ("FILL(METRICS(), m1)", ARRAY),
        ("FILL(m1, MIN(m1))", TS),
        ("FILL(m1, REPEAT)", TS),
        ("IF(FIRST(SORT(METRICS(), AVG, DESC))>100, 1, 0)", TS),
        ("IF(DAY(m1)<6,m1)", TS),
        ("m1/METRIC_COUNT(METRICS())", TS),
        ("SUM(METRICS(\"errors\"))/SUM(METRICS('requests'))*100", TS),
        ("SLICE(SORT(METRICS(), SUM, DESC, 10), 0, 10)", ARRAY),
        ("TIME_SERIES(5*AVG(m1))", TS),
        ("2 ^ -m1 ^ 2.5", TS),
    ],
)
def test_an_expression_of_the_guide_has_its_type(expression: str, kind: str) -> None:
    assert parse(expression).kind == kind


def test_ids_and_patterns_are_found() -> None:
    found = parse('IF(a > 0, FILL(bC_1, 0), SUM(METRICS("rest")))')

    assert (found.ids, found.patterns) == ({"a", "bC_1"}, {"rest"})


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('"a + b"', "returns string instead of a single time series"),
        ("'a + b'", "returns string instead of a single time series"),
        ('"a + b', "'\"' means nothing"),
        ("a + “b”", "'“' means nothing"),
        ("a + 'b'", r"'\+' is applied to string"),
        ("FILL(a, '0') + b", r"FILL does not take \(TS, string\)"),
        ("(a + b", r"'\)' is missing before 'the end'"),
        ("a + b)", r"'\)' is left over"),
        ("SUM([a, b)", r"'\]' is missing before '\)'"),
        ("FILL(a, 0 + b", r"'\)' is missing before 'the end'"),
        ("FILL(a 0) + b", r"'\)' is missing before '0'"),
        ("", "an operand is missing before 'the end'"),
        ("a +", "an operand is missing before 'the end'"),
        ("a + * b", r"an operand is missing before '\*'"),
        ("a b", "'b' is left over"),
        ("a = b", "'=' means nothing"),
        ("a % b", "'%' means nothing"),
        ("a; b", "';' means nothing"),
        ("1a + b", "'1' means nothing"),
        ("1.2.3 * a + b", "'1' means nothing"),
        ("A + b", "'A' in .* is neither an id nor a function"),
        ("a AND", "an operand is missing"),
        ("a and b", "'and' is left over"),
        ("SUM(AND)", "'AND' in .* is neither an id nor a function"),
        ("sum([a, b])", "sum is not a function of metric math"),
        ("TOTAL([a, b])", "TOTAL is not a function of metric math"),
        ("Fill(a, 0) + b", "Fill is not a function of metric math"),
        ("SUM(SEARCH('{n} m', 'Sum', 300))", "an alarm can't use SEARCH"),
        ("FILL(a) + b", r"FILL does not take \(TS\)"),
        ("SUM(a, b)", r"SUM does not take \(TS, TS\)"),
        ("SUM() + a + b", r"SUM does not take \(\)"),
        ("FILL(a, AVG) + b", r"FILL does not take \(TS, AVG\)"),
        ("IF(METRICS() > 0, 1)", "'>' compares an array"),
        ("IF(METRICS(), 1, 0)", r"IF does not take \(TS\[\], S, S\)"),
        ("METRICS() * METRICS()", "applied to two arrays"),
        ("SUM([a, 0]) + b", "an array in .* holds S"),
        ("SUM(METRICS(4))", r"METRICS does not take \(S\)"),
        ("FILL(METRICS(), 0)", r"returns TS\[\] instead of a single time series"),
        ("[a, b]", r"returns TS\[\] instead of a single time series"),
        ("SUM(a) + MAX(b)", "returns S instead of a single time series"),
        ("0", "returns S instead of a single time series"),
        ({"Fn::Sub": "a + b"}, "can't be checked"),
        ("a + b + " * 300 + "a", "2401 characters, of 2048 at most"),
    ],
)
def test_a_wrong_expression_is_found_with_its_reason(expression: Any, reason: str) -> None:
    [found] = problems(alarm(expression))

    assert re.search(reason, found)


RIGHT = [
    alarm("a + b"),
    alarm("SUM(FILL(METRICS(), 0))"),
    alarm("SUM(METRICS('a')) + b"),
    alarm("both * 2", {"Id": "both", "Expression": "a + b", "ReturnData": False}, metric("a"), metric("b")),
    alarm("SUM(METRICS())", *(metric(f"m{number}") for number in range(10))),
]


@pytest.mark.parametrize("right", RIGHT)
def test_a_right_alarm_has_no_problem(right: dict[str, Any]) -> None:
    assert problems(right) == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (alarm("a + b + c"), "result: the id c is not defined"),
        (alarm("a"), "b is not used"),
        (alarm("SUM(METRICS('a'))"), "b is not used"),
        (alarm("SUM(METRICS('c')) + a + b"), "result: METRICS('c') matches no metric"),
        (alarm("a + b", metric("a"), metric("b"), {"Id": "c", "Expression": "a", "ReturnData": False}), "c is not used"),
        (
            alarm("SUM(METRICS())", metric("a"), {"Id": "c", "Expression": "a + 1", "ReturnData": False}),
            "c is not used",
        ),
        (alarm("a + b", metric("a"), metric("b"), metric("a")), "the id a is defined twice"),
        (alarm("SUM(METRICS())", metric("a"), metric("4xx")), "'4xx' is not a valid id"),
        (alarm("SUM(METRICS())", metric("a"), metric("b-c")), "'b-c' is not a valid id"),
        (alarm("SUM(METRICS())", metric("a"), metric("Big")), "'Big' is not a valid id"),
        (alarm("SUM(METRICS())", metric("a"), metric("b" * 256)), f"'{'b' * 256}' is not a valid id"),
        (
            alarm("a + b", metric("a"), metric("b", ReturnData=True)),
            "ReturnData is true for ['result', 'b'] instead of one expression",
        ),
        (
            {"Metrics": [metric("a", ReturnData=True)]},
            "ReturnData is true for ['a'] instead of one expression",
        ),
        (
            {"Metrics": [{"Id": "result", "Expression": "a + 1", "ReturnData": False}, metric("a")]},
            "ReturnData is true for [] instead of one expression",
        ),
        (alarm("SUM(METRICS())", *(metric(f"m{number}") for number in range(11))), "11 metrics, of 10 at most"),
        (alarm("a + b", metric("a"), metric("b", Expression="a")), "b needs either a metric or an expression"),
        (alarm("a + b", metric("a"), {"Id": "b", "ReturnData": False}), "b needs either a metric or an expression"),
        (
            alarm("a + b", metric("a"), metric("b", MetricStat=metric("b")["MetricStat"] | {"Period": 60})),
            "periods of [60, 300] seconds",
        ),
        (alarm("a + b") | {"Period": 300}, "Period beside Metrics"),
        (alarm("a + b + result"), "result depends on itself"),
    ],
)
def test_a_wrong_alarm_is_found_with_its_reason(wrong: dict[str, Any], reason: str) -> None:
    assert reason in problems(wrong)


def test_expressions_that_depend_on_each_other_are_found() -> None:
    others = [{"Id": name, "Expression": f"{other} + a", "ReturnData": False} for name, other in [("x", "y"), ("y", "x")]]

    assert problems(alarm("x + b", *others, metric("a"), metric("b"))) == ["x depends on itself", "y depends on itself"]
