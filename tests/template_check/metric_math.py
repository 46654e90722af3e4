"""Metric math as CloudWatch documents it, and what it asks of an alarm that uses it.

The emulator knows no metric math, `sam validate` and cfn-lint do not read expressions, and CloudWatch refuses a wrong one
only when the stack is deployed. So expressions are parsed and typed here.

Sources: "Using math expressions with CloudWatch metrics" in the CloudWatch user guide for the syntax, the functions, and
what each takes and returns; `MetricDataQuery` and `PutMetricAlarm` in the API reference for ids, limits and `ReturnData`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

MAX_METRICS = 10
MAX_EXPRESSION_CHARACTERS = 2048
MAX_ID_CHARACTERS = 255
# What an alarm with `Metrics` must not have.
SINGLE_METRIC = {"Namespace", "MetricName", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic"}

# The guide's abbreviations: a number, a time series, an array of time series. An argument may also be a string or one of
# the words below.
S, TS, ARRAY, STRING = "S", "TS", "TS[]", "string"
WORDS = {"REPEAT", "LINEAR", "ASC", "DESC"}
STATISTICS = {"AVG", "MIN", "MAX", "SUM"}

_EACH = {"TS": TS, "TS[]": ARRAY}
_AGGREGATE = {"TS": S, "TS[]": TS}
_TIMESTAMP = {"TS": TS}
_FILL = {f"TS, {by}": TS for by in [S, "REPEAT", "LINEAR"]} | {f"TS[], {by}": ARRAY for by in [S, TS, "REPEAT", "LINEAR"]}
_IF = {f"TS, {then}{otherwise}": TS for then in [S, TS] for otherwise in ["", ", S", ", TS"]} | {"S, TS": TS, "S, TS, TS": TS}
_SORT = {f"TS[], {by}, {order}{limit}": ARRAY for by in STATISTICS for order in ["ASC", "DESC"] for limit in ["", ", S"]}

# What each function returns for which arguments. SEARCH is left out because an alarm can't use it, and the functions that
# name things outside of the alarm (ANOMALY_DETECTION_BAND, DB_PERF_INSIGHTS, INSIGHT_RULE_METRIC, LAMBDA,
# SERVICE_QUOTA) because this stack has none.
FUNCTIONS: dict[str, dict[str, str]] = {
    **dict.fromkeys(["ABS", "CEIL", "DIFF", "DIFF_TIME", "FLOOR", "LOG", "LOG10", "RATE", "RUNNING_SUM"], _EACH),
    **dict.fromkeys(["AVG", "DATAPOINT_COUNT", "MAX", "MIN", "STDDEV", "SUM"], _AGGREGATE),
    **dict.fromkeys(["MINUTE", "HOUR", "DAY", "DATE", "MONTH", "YEAR", "EPOCH"], _TIMESTAMP),
    **dict.fromkeys(["FIRST", "LAST"], {"TS[]": TS}),
    "FILL": _FILL,
    "IF": _IF,
    "METRICS": {"": ARRAY, STRING: ARRAY},
    "METRIC_COUNT": {"TS[]": S},
    "PERIOD": {"TS": S},
    "REMOVE_EMPTY": {"TS[]": ARRAY},
    "SLICE": {"TS[], S": ARRAY, "TS[], S, S": ARRAY},
    "SORT": _SORT,
    "TIME_SERIES": {"S": TS},
}

ID = re.compile(r"[a-z][A-Za-z0-9_]*")
TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?![A-Za-z0-9_.]))
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<string>"[^"]*"|'[^']*')
    | (?P<operator>==|!=|<=|>=|&&|\|\||[-+*/^<>()\[\],])
    )""",
    re.VERBOSE,
)


class MetricMathError(Exception):
    """Why CloudWatch would refuse an expression."""


@dataclass(frozen=True)
class Node:
    """A part of an expression: what it returns, and how it is computed."""

    kind: str
    # "number", "string", "word", "id", "array", "call", or an operator; `-` with one part negates.
    form: str
    # A number's or string's value, an id, or the name of a function.
    value: Any = None
    parts: tuple[Node, ...] = ()


@dataclass
class Expression:
    """What an expression returns, and which ids and which parts of ids it names."""

    tree: Node = Node("", "")
    ids: set[str] = field(default_factory=set)
    # Arguments of METRICS; "" for all metrics.
    patterns: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        return self.tree.kind

    def uses(self, name: str, metrics: Collection[str]) -> bool:
        """Whether the expression takes that id; METRICS takes metrics and no expression."""
        return name in self.ids or (name in metrics and any(pattern in name for pattern in self.patterns))


def parse(text: str) -> Expression:
    """Reads an expression whose ids each stand for one time series."""
    parser = _Parser(text)
    parser.found.tree = parser.any()
    if parser.next is not None:
        raise MetricMathError(f"{parser.next!r} is left over in {text!r}")
    return parser.found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.found = Expression()
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            token = TOKEN.match(text, position)
            if token is None:
                raise MetricMathError(f"{text[position:].strip()[0]!r} means nothing in {text!r}")
            assert token.lastgroup is not None
            self._tokens.append((token.lastgroup, token[token.lastgroup]))
            position = token.end()

    @property
    def next(self) -> str | None:
        return self._tokens[0][1] if self._tokens else None

    def take(self, *wanted: str) -> str | None:
        return self._tokens.pop(0)[1] if self.next in wanted else None

    def demand(self, wanted: str) -> None:
        if not self.take(wanted):
            raise MetricMathError(f"{wanted!r} is missing before {self.next or 'the end'!r} in {self.text!r}")

    # From the weakest operator to the strongest. `^` binds to the right.

    def any(self) -> Node:
        return self._pairs(self._both, "OR", "||")

    def _both(self) -> Node:
        return self._pairs(self._comparison, "AND", "&&")

    def _comparison(self) -> Node:
        left = self._sum()
        operator = self.take("==", "!=", "<=", ">=", "<", ">")
        return self._compared(operator, left, self._sum()) if operator else left

    def _pairs(self, operand: Callable[[], Node], *operators: str) -> Node:
        left = operand()
        while operator := self.take(*operators):
            left = self._compared(operator, left, operand())
        return left

    def _sum(self) -> Node:
        return self._arithmetic(self._product, "+", "-")

    def _product(self) -> Node:
        return self._arithmetic(self._power, "*", "/")

    def _power(self) -> Node:
        base = self._negation()
        return self._calculated("^", base, self._power()) if self.take("^") else base

    def _arithmetic(self, operand: Callable[[], Node], *operators: str) -> Node:
        left = operand()
        while operator := self.take(*operators):
            left = self._calculated(operator, left, operand())
        return left

    def _negation(self) -> Node:
        if not self.take("-"):
            return self._operand()
        operand = self._negation()
        return Node(self._value(operand, "-"), "-", parts=(operand,))

    def _operand(self) -> Node:
        if self.take("("):
            inner = self.any()
            self.demand(")")
            return inner
        if self.take("["):
            return Node(ARRAY, "array", parts=self._elements("]"))
        group, token = self._tokens.pop(0) if self._tokens else ("", "the end")
        if group == "number":
            return Node(S, "number", float(token))
        if group == "string":
            return Node(STRING, "string", token[1:-1])
        if group == "name":
            return self._name(token)
        raise MetricMathError(f"an operand is missing before {token!r} in {self.text!r}")

    def _name(self, name: str) -> Node:
        if self.take("("):
            return self._call(name)
        if ID.fullmatch(name):
            self.found.ids.add(name)
            return Node(TS, "id", name)
        if name in WORDS | STATISTICS:
            return Node(name, "word", name)
        raise MetricMathError(f"{name!r} in {self.text!r} is neither an id nor a function that is called")

    def _call(self, name: str) -> Node:
        if name == "SEARCH":
            raise MetricMathError("an alarm can't use SEARCH")
        if name not in FUNCTIONS:
            raise MetricMathError(f"{name} is not a function of metric math")
        arguments = () if self.take(")") else self._arguments()
        taken = ", ".join(each.kind for each in arguments)
        if taken not in FUNCTIONS[name]:
            raise MetricMathError(f"{name} does not take ({taken}) in {self.text!r}")
        if name == "METRICS":
            self.found.patterns.add(arguments[0].value if arguments else "")
        return Node(FUNCTIONS[name][taken], "call", name, arguments)

    def _arguments(self) -> tuple[Node, ...]:
        arguments = [self.any()]
        while self.take(","):
            arguments.append(self.any())
        self.demand(")")
        return tuple(arguments)

    def _elements(self, end: str) -> tuple[Node, ...]:
        elements = []
        while True:
            element = self.any()
            if element.kind not in {TS, ARRAY}:
                raise MetricMathError(f"an array in {self.text!r} holds {element.kind} instead of time series")
            elements.append(element)
            if not self.take(","):
                break
        self.demand(end)
        return tuple(elements)

    def _value(self, operand: Node, operator: str) -> str:
        if operand.kind not in {S, TS, ARRAY}:
            raise MetricMathError(f"{operator!r} is applied to {operand.kind} in {self.text!r}")
        return operand.kind

    def _calculated(self, operator: str, left: Node, right: Node) -> Node:
        kinds = {self._value(left, operator), self._value(right, operator)}
        if left.kind == right.kind == ARRAY:
            raise MetricMathError(f"{operator!r} is applied to two arrays in {self.text!r}")
        return Node(next(kind for kind in [ARRAY, TS, S] if kind in kinds), operator, parts=(left, right))

    def _compared(self, operator: str, left: Node, right: Node) -> Node:
        kinds = {self._value(left, operator), self._value(right, operator)}
        if ARRAY in kinds:
            raise MetricMathError(f"{operator!r} compares an array in {self.text!r}")
        return Node(TS if TS in kinds else S, operator, parts=(left, right))


def problems(alarm: dict[str, Any]) -> list[str]:
    """Why CloudWatch would refuse an alarm on metric math, and what in it is without effect."""
    queries = alarm["Metrics"]
    metrics = {query["Id"]: query["MetricStat"] for query in queries if "MetricStat" in query}
    texts = {query["Id"]: query["Expression"] for query in queries if "Expression" in query}
    # Left out, it is true.
    watched = [query["Id"] for query in queries if query.get("ReturnData", True)]

    found = [f"{name} beside Metrics" for name in sorted(SINGLE_METRIC & alarm.keys())]
    for query in queries:
        if not ID.fullmatch(query["Id"]) or len(query["Id"]) > MAX_ID_CHARACTERS:
            found.append(f"{query['Id']!r} is not a valid id")
        if ("Expression" in query) == ("MetricStat" in query):
            found.append(f"{query['Id']} needs either a metric or an expression")
    ids = [query["Id"] for query in queries]
    found += [f"the id {each} is defined twice" for each in sorted({each for each in ids if ids.count(each) > 1})]
    if len(metrics) > MAX_METRICS:
        found.append(f"{len(metrics)} metrics, of {MAX_METRICS} at most")
    if len(periods := {json.dumps(metric["Period"]) for metric in metrics.values()}) > 1:
        found.append(f"periods of [{', '.join(sorted(periods, key=lambda each: (len(each), each)))}] seconds")
    if len(watched) != 1 or watched[0] not in texts:
        found.append(f"ReturnData is true for {watched} instead of one expression")

    expressions: dict[str, Expression] = {}
    for name, text in texts.items():
        try:
            expressions[name] = _of_an_alarm(text)
        except MetricMathError as error:
            found.append(f"{name}: {error}")
    for name, expression in expressions.items():
        found += [f"{name}: the id {each} is not defined" for each in sorted(expression.ids - set(ids))]
        for pattern in sorted(expression.patterns):
            if not any(pattern in each for each in metrics):
                found.append(f"{name}: METRICS({pattern!r}) matches no metric")
        if _depends_on(name, name, expressions):
            found.append(f"{name} depends on itself")
    # What an expression uses is known only when it could be read.
    if expressions.keys() == texts.keys():
        used = {each for each in ids for expression in expressions.values() if expression.uses(each, metrics)}
        found += [f"{each} is not used" for each in ids if each not in used and each not in watched]
    return found


def _of_an_alarm(text: Any) -> Expression:
    if not isinstance(text, str):
        raise MetricMathError("an expression that CloudFormation makes can't be checked; write it out")
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise MetricMathError(f"{len(text)} characters, of {MAX_EXPRESSION_CHARACTERS} at most")
    expression = parse(text)
    if expression.kind != TS:
        raise MetricMathError(f"{text} returns {expression.kind} instead of a single time series")
    return expression


def _depends_on(wanted: str, name: str, expressions: dict[str, Expression], seen: frozenset[str] = frozenset()) -> bool:
    others = (expressions[name].ids & expressions.keys()) - seen
    return wanted in others or any(_depends_on(wanted, other, expressions, seen | others) for other in others)
