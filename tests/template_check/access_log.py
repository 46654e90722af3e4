"""The metric filters of the API's access log count just what they are for.

Sample lines are made from the stage's own format, so that a filter that names a member which the format lacks is found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import filter_pattern
from .problem import Problem
from .resolve import Resolved, as_text

CONTEXT = re.compile(r"\$context\.[A-Za-z.]+")
# What API Gateway writes for a variable without a value.
ABSENT = "-"


@dataclass(frozen=True)
class Request:
    """A request as API Gateway logs it, and the metrics that count it.

    Source of the variables: "Customize HTTP API access logs" in the API Gateway developer guide. The status of the
    *integration* is that of the function's own answer, the *integration status* that of Lambda's: a rejection by a function is
    409 and 200, a throttle by Lambda is no answer and 429.
    """

    title: str
    counted_as: frozenset[str]
    route: str
    status: str
    function_status: str = ABSENT
    lambda_status: str = ABSENT
    integration_error: str = ABSENT

    def value(self, variable: str) -> str:
        known = {
            "routeKey": self.route,
            "status": self.status,
            "integration.status": self.function_status,
            "integration.integrationStatus": self.lambda_status,
            "integrationStatus": self.lambda_status,
            "integration.error": self.integration_error,
            "integrationErrorMessage": self.integration_error,
        }
        return known.get(variable.removeprefix("$context."), ABSENT)

    def line(self, log_format: str) -> dict[str, Any]:
        return json.loads(CONTEXT.sub(lambda found: self.value(found[0]), log_format))


ROUTE = "POST /webhooks/machnet"
UNROUTED, UNANSWERED = frozenset({"unrouted"}), frozenset({"unanswered"})
REQUESTS = [
    Request("a request to no route", UNROUTED, ABSENT, "404"),
    Request("an accepted delivery", frozenset(), ROUTE, "200", "200", "200"),
    Request("a delivery that the function rejected", frozenset(), ROUTE, "409", "409", "200"),
    Request("a delivery that the function asks for again", frozenset(), ROUTE, "503", "503", "200"),
    Request("a throttle by Lambda", UNANSWERED, ROUTE, "503", ABSENT, "429", "Rate Exceeded."),
    Request("a function error", UNANSWERED, ROUTE, "500", ABSENT, "200", "Lambda function error: Unhandled"),
    Request("a function that may not be invoked", UNANSWERED, ROUTE, "500", ABSENT, "403", "Forbidden"),
    Request("an answer that came too late", UNANSWERED, ROUTE, "503", ABSENT, ABSENT, "Timed out"),
    Request("a throttle by API Gateway", UNANSWERED, ROUTE, "429"),
]


def filters_count_what_they_are_for(resolved: Resolved) -> Iterator[Problem]:
    formats = {
        as_text(stage.get("AccessLogSettings", {}).get("DestinationArn", "")): stage["AccessLogSettings"]["Format"]
        for stage in resolved.of_type("AWS::ApiGatewayV2::Stage").values()
        if "AccessLogSettings" in stage
    }
    for name, metric_filter in resolved.of_type("AWS::Logs::MetricFilter").items():
        group = (as_text(metric_filter["LogGroupName"]) or "").removeprefix("${").removesuffix("}")
        log_format = formats.get(f"${{{group}.Arn}}")
        if log_format is None:
            yield Problem(name, f"filters {group}, which is not the API's access log")
        else:
            yield from _of_filter(name, metric_filter, log_format)


def _of_filter(name: str, metric_filter: dict[str, Any], log_format: str) -> Iterator[Problem]:
    members = json.loads(log_format).keys()
    try:
        pattern = filter_pattern.parse(metric_filter["FilterPattern"])
    except filter_pattern.FilterPatternError as error:
        yield Problem(name, str(error))
        return
    for selector in sorted(pattern.selectors):
        if selector.split(".")[0] not in members:
            yield Problem(name, f"the access log has no member {selector}")
    for transformation in metric_filter["MetricTransformations"]:
        metric = transformation["MetricName"]
        if as_text(transformation["MetricValue"]) != "1":
            yield Problem(name, f"counts {transformation['MetricValue']} for each line instead of 1")
        if "DefaultValue" in transformation:
            yield Problem(name, "has a DefaultValue: the metric would be written, and paid for, without such requests")
        for request in REQUESTS:
            try:
                counted = pattern.matches(request.line(log_format))
            except filter_pattern.FilterPatternError as error:
                yield Problem(name, str(error))
                break
            if counted != (metric in request.counted_as):
                yield Problem(name, f"{'counts' if counted else 'does not count'} {request.title} as {metric}")


def the_access_log_is_json_without_a_path(resolved: Resolved) -> Iterator[Problem]:
    """A path may hold a secret, and so does what API Gateway would write in its place."""
    for name, stage in resolved.of_type("AWS::ApiGatewayV2::Stage").items():
        log_format = stage.get("AccessLogSettings", {}).get("Format", "{}")
        try:
            values = json.loads(log_format).values()
        except json.JSONDecodeError as error:
            yield Problem(name, f"the format of the access log is not JSON: {error}")
            continue
        if "\n" in log_format:
            yield Problem(name, "the format of the access log has a line break")
        for variable in CONTEXT.findall(log_format):
            if re.search("path|uri|url|resource|http|request(?!Id|Time)", variable, re.IGNORECASE):
                yield Problem(name, f"the access log would hold {variable}")
        if loose := [value for value in values if not CONTEXT.fullmatch(value)]:
            yield Problem(name, f"{loose} in the access log are not single variables")
