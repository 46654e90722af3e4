"""Every alarm and every graph watches a metric that something sends.

A metric is a namespace, a name and a set of dimensions, all free text: nothing else would notice a slip.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import alarms
from .problem import Problem
from .resolve import Resolved, as_text

# What each function sends, recorded from a run of the deployed stack by `test_recordings.py`: `name{dimension=value}`.
EMITTED = Path(__file__).with_name("emitted.json")
NAMESPACE = "webhook-intake/${AWS::StackName}"

# The metrics of AWS that may be watched, under the dimensions that they have, each with the type of resource that its first
# dimension names and how it names it.
# Sources: "Types of metrics for Lambda functions" in the Lambda developer guide, "Available CloudWatch metrics for Amazon
# SQS" in the SQS developer guide, "Monitor CloudWatch metrics for HTTP APIs" in the API Gateway developer guide,
# "DynamoDB metrics and dimensions" in the DynamoDB developer guide.
LAMBDA = {"ConcurrentExecutions", "Duration", "Errors", "Invocations", "IteratorAge", "Throttles"}
SQS = {
    "ApproximateAgeOfOldestMessage",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesVisible",
    "NumberOfEmptyReceives",
    "NumberOfMessagesDeleted",
    "NumberOfMessagesReceived",
    "NumberOfMessagesSent",
    "SentMessageSize",
}
HTTP_API = {"4xx", "5xx", "Count", "DataProcessed", "IntegrationLatency", "Latency"}
DYNAMODB = {"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"}
OF_AWS: dict[str, tuple[set[str], list[set[str]], str, str]] = {
    "AWS/Lambda": (LAMBDA, [{"FunctionName"}, {"FunctionName", "Resource"}], "AWS::Lambda::Function", "${%s}"),
    "AWS/SQS": (SQS, [{"QueueName"}], "AWS::SQS::Queue", "${%s.QueueName}"),
    "AWS/ApiGateway": (HTTP_API, [{"ApiId"}, {"ApiId", "Stage"}], "AWS::ApiGatewayV2::Api", "${%s}"),
    "AWS/DynamoDB": (DYNAMODB, [{"TableName"}], "AWS::DynamoDB::Table", "${%s}"),
}


def text(name: str, dimensions: dict[str, str]) -> str:
    """A metric of the stack's own namespace as it is recorded."""
    listed = ",".join(f"{key}={value}" for key, value in sorted(dimensions.items()))
    return f"{name}{{{listed}}}" if listed else name


def own_metrics(resolved: Resolved, functions: dict[str, str]) -> set[str]:
    """The metrics that the functions of this stack send, and those of its metric filters.

    `functions` names the binary of each function resource; those that the stack has not send nothing.
    """
    recorded: dict[str, list[str]] = json.loads(EMITTED.read_text())
    sent = {
        metric
        for function, binary in functions.items()
        if function in resolved.resources
        for metric in recorded.get(binary, [])
    }
    filtered = {
        text(transformation["MetricName"], {})
        for metric_filter in resolved.of_type("AWS::Logs::MetricFilter").values()
        for transformation in metric_filter["MetricTransformations"]
        if as_text(transformation["MetricNamespace"]) == NAMESPACE
    }
    return sent | filtered


def alarms_watch_metrics_that_exist(resolved: Resolved, functions: dict[str, str]) -> Iterator[Problem]:
    own = own_metrics(resolved, functions)
    for name, alarm in resolved.of_type("AWS::CloudWatch::Alarm").items():
        for stat in alarms.stats(alarm):
            for reason in _mistakes(resolved, own, stat["Metric"]):
                yield Problem(name, reason)


def _mistakes(resolved: Resolved, own: set[str], metric: dict[str, Any]) -> Iterator[str]:
    namespace, name = as_text(metric.get("Namespace", "")) or "", metric.get("MetricName", "")
    listed = metric.get("Dimensions", [])
    dimensions = {each["Name"]: as_text(each["Value"]) or "" for each in listed}
    if len(dimensions) < len(listed):
        yield f"{name} has a dimension twice"
    elif namespace == NAMESPACE:
        if text(name, dimensions) not in own:
            yield f"nothing sends {text(name, dimensions)}"
    elif namespace in OF_AWS:
        names, sets, kind, form = OF_AWS[namespace]
        if name not in names:
            yield f"{namespace} has no metric {name!r}"
        if dimensions.keys() not in sets:
            yield f"{namespace} has no metric by {', '.join(sorted(dimensions))}"
            return
        subject = dimensions[next(iter(sorted(dimensions)))]
        if subject not in [form % resource for resource in resolved.of_type(kind)]:
            yield f"{name} is watched of {subject}, which is not a {kind} of the stack"
        yield from _alias_mistakes(resolved, dimensions)
    else:
        yield f"nothing sends to the namespace {namespace!r}"


def _alias_mistakes(resolved: Resolved, dimensions: dict[str, str]) -> Iterator[str]:
    """`Resource` is a function and one of its aliases."""
    if resource := dimensions.get("Resource"):
        aliases = [
            f"{as_text(alias['FunctionName'])}:{as_text(alias['Name'])}"
            for alias in resolved.of_type("AWS::Lambda::Alias").values()
        ]
        if resource not in aliases:
            yield f"{resource} is not an alias of the stack"


def filtered_metrics_are_watched(resolved: Resolved) -> Iterator[Problem]:
    """The metric of each filter is, in namespace and name, one that an alarm watches."""
    watched = {
        (as_text(stat["Metric"].get("Namespace", "")), stat["Metric"].get("MetricName"))
        for alarm in resolved.of_type("AWS::CloudWatch::Alarm").values()
        for stat in alarms.stats(alarm)
    }
    for name, metric_filter in resolved.of_type("AWS::Logs::MetricFilter").items():
        for transformation in metric_filter["MetricTransformations"]:
            metric = (as_text(transformation["MetricNamespace"]), transformation["MetricName"])
            if metric not in watched:
                yield Problem(name, f"no alarm watches {metric[1]} in {metric[0]}")


def functions_send_to_the_namespace(resolved: Resolved) -> Iterator[Problem]:
    for name, function in resolved.of_type("AWS::Lambda::Function").items():
        namespace = as_text(function.get("Environment", {}).get("Variables", {}).get("METRICS_NAMESPACE", ""))
        if namespace != NAMESPACE:
            yield Problem(name, f"sends its metrics to {namespace!r} instead of {NAMESPACE}")


# Source: "Dashboard body structure and syntax" and `PutDashboard` in the CloudWatch API reference.
MAX_DASHBOARD_METRICS = 2500
MAX_WIDGETS = 500
COLUMNS = 24


def dashboards_show_metrics_that_exist(resolved: Resolved, functions: dict[str, str]) -> Iterator[Problem]:
    """Of a stack that has every part: without a part, its lines in a graph are empty."""
    own = own_metrics(resolved, functions)
    alarm_arns = {f"${{{name}.Arn}}" for name in resolved.of_type("AWS::CloudWatch::Alarm")}
    for name, dashboard in resolved.of_type("AWS::CloudWatch::Dashboard").items():
        try:
            body = json.loads(as_text(dashboard["DashboardBody"]) or "")
        except json.JSONDecodeError as error:
            yield Problem(name, f"its body is not JSON: {error}")
            continue
        widgets = body["widgets"]
        shown = [row for widget in widgets for row in _rows(widget)]
        if len(widgets) > MAX_WIDGETS or len(shown) > MAX_DASHBOARD_METRICS:
            yield Problem(name, f"{len(widgets)} widgets and {len(shown)} metrics are too many")
        for widget in widgets:
            for search in _searches(widget):
                for reason in _search_mistakes(own, search):
                    yield Problem(name, reason)
            if widget.get("x", 0) + widget["width"] > COLUMNS:
                yield Problem(name, f"a widget is wider than the {COLUMNS} columns")
            for arn in widget["properties"].get("alarms", []):
                if arn not in alarm_arns:
                    yield Problem(name, f"shows the alarm {arn}, which does not exist")
        for metric in shown:
            for reason in _mistakes(resolved, own, metric):
                yield Problem(name, reason)


def _rows(widget: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The metrics of a widget in the form of an alarm's. In a row, `.` repeats what the row before has in that place."""
    before: list[Any] = []
    for row in widget["properties"].get("metrics", []):
        parts = [each for each in row if not isinstance(each, dict)]
        if not parts:
            continue
        if parts == ["..."] or parts[0] == "...":
            parts = before[: len(before) - len(parts) + 1] + parts[1:]
        whole = [before[index] if part == "." else part for index, part in enumerate(parts)]
        before = whole
        namespace, name, *dimensions = whole
        yield {
            "Namespace": {"Fn::Sub": namespace},
            "MetricName": name,
            "Dimensions": [
                {"Name": key, "Value": {"Fn::Sub": value}}
                for key, value in zip(dimensions[::2], dimensions[1::2], strict=True)
            ],
        }


# Source: "Using search expressions in graphs" in the CloudWatch user guide.
SEARCH = re.compile(r"""SEARCH\('\{(?P<schema>(?:\$\{[^}]*\}|[^}])*)\}(?P<terms>[^']*)', '(?P<statistic>\w+)'(?:, \d+)?\)""")
NAMES = re.compile(r"""MetricName=(?:"(\w+)"|\(([^)]*)\))""")


def _searches(widget: dict[str, Any]) -> Iterator[str]:
    for row in widget["properties"].get("metrics", []):
        for each in row:
            if isinstance(each, dict) and "SEARCH" in each.get("expression", ""):
                yield each["expression"]


def _search_mistakes(own: set[str], search: str) -> Iterator[str]:
    """A search for metrics by name, among those of a namespace with just these dimensions."""
    found = SEARCH.fullmatch(search)
    if not found or not (named := NAMES.search(found["terms"])):
        yield f"the search {search} can't be read"
        return
    if found["statistic"] not in alarms.STATISTICS:
        yield f"{found['statistic']} is not a statistic"
    quoted, *dimensions = found["schema"].split(",")
    namespace = quoted.strip('"')
    if quoted == namespace and re.search(r"[^\w/]", namespace.replace("AWS/", "")):
        yield f"the namespace {namespace} needs quotes in a search"
    names = [named[1]] if named[1] else re.findall(r'"(\w+)"', named[2])
    if namespace in OF_AWS:
        known, sets, _, _ = OF_AWS[namespace]
        if set(dimensions) not in sets or not set(names) <= known:
            yield f"{namespace} has no {' or '.join(names)} by {', '.join(dimensions)}"
    elif namespace == NAMESPACE:
        sent = {(metric.partition("{")[0], frozenset(re.findall(r"(\w+)=", metric))) for metric in own}
        for name in names:
            if (name, frozenset(dimensions)) not in sent:
                yield f"nothing sends {name} by {', '.join(dimensions)}"
    else:
        yield f"nothing sends to the namespace {namespace!r}"
