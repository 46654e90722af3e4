"""What CloudWatch would refuse in an alarm, and what an alarm needs to be of use to who receives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import metric_math
from .problem import Problem
from .resolve import Resolved, as_text

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "operations.md"

# Source of the limits: `PutMetricAlarm` in the CloudWatch API reference. Shorter periods than a minute need metrics of a high
# resolution, which neither the functions nor AWS send.
PERIOD_UNIT_SECONDS = 60
HOUR_SECONDS = 3600
MAX_WINDOW_SECONDS = 86_400
MAX_WINDOW_OF_HOURS_SECONDS = 604_800
MAX_DESCRIPTION_CHARACTERS = 1024
STATISTICS = {"Average", "Maximum", "Minimum", "SampleCount", "Sum"}
OPERATORS = {
    f"{relation}Threshold" for relation in ["GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo"]
}
# Whatever else it were, an alarm would be raised, or stay, because a metric has no data yet or any more.
MISSING_DATA = "notBreaching"

# A stranger can raise these at will, and each change of state would be a mail: one about the alarm is enough.
RAISED_BY_STRANGERS = re.compile(r"Unverified|^Unrouted|^Unanswered")


def stats(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """What an alarm watches, with its period and statistic, in the form of metric math."""
    if "Metrics" in alarm:
        return [query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query]
    metric = {name: alarm[name] for name in ["Namespace", "MetricName", "Dimensions"] if name in alarm}
    return [{"Metric": metric, "Period": alarm.get("Period"), "Stat": alarm.get("Statistic")}]


def _alarms(resolved: Resolved) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from resolved.of_type("AWS::CloudWatch::Alarm").items()


def expressions_are_valid(resolved: Resolved) -> Iterator[Problem]:
    for name, alarm in _alarms(resolved):
        if "Metrics" in alarm:
            for reason in metric_math.problems(alarm):
                yield Problem(name, reason)


def periods_are_allowed(resolved: Resolved) -> Iterator[Problem]:
    for name, alarm in _alarms(resolved):
        count, wanted = alarm.get("EvaluationPeriods"), alarm.get("DatapointsToAlarm")
        if not isinstance(count, int) or count < 1:
            yield Problem(name, f"EvaluationPeriods is {count}")
            continue
        if wanted is not None and not (isinstance(wanted, int) and 1 <= wanted <= count):
            yield Problem(name, f"DatapointsToAlarm is {wanted}, of {count} periods")
        for period in {stat["Period"] for stat in stats(alarm)}:
            if not isinstance(period, int) or period < PERIOD_UNIT_SECONDS or period % PERIOD_UNIT_SECONDS:
                yield Problem(name, f"a period of {period} seconds is not a multiple of {PERIOD_UNIT_SECONDS}")
                continue
            limit = MAX_WINDOW_SECONDS if period < HOUR_SECONDS else MAX_WINDOW_OF_HOURS_SECONDS
            if period * count > limit:
                yield Problem(name, f"{count} periods of {period} seconds are more than {limit:,} seconds")


def settings_are_known(resolved: Resolved) -> Iterator[Problem]:
    for name, alarm in _alarms(resolved):
        for stat in stats(alarm):
            if stat["Stat"] not in STATISTICS:
                yield Problem(name, f"{stat['Stat']!r} is not a statistic")
        if alarm.get("ComparisonOperator") not in OPERATORS:
            yield Problem(name, f"{alarm.get('ComparisonOperator')!r} is not a comparison")
        if alarm.get("TreatMissingData") != MISSING_DATA:
            yield Problem(name, f"missing data is {alarm.get('TreatMissingData')} instead of {MISSING_DATA}")
        if not isinstance(alarm.get("Threshold"), int | float):
            yield Problem(name, f"{alarm.get('Threshold')!r} is not a threshold")


def alarms_notify_the_topic(resolved: Resolved) -> Iterator[Problem]:
    topics = [{"Ref": name} for name in resolved.of_type("AWS::SNS::Topic")]
    for name, alarm in _alarms(resolved):
        if alarm.get("AlarmActions") not in [[topic] for topic in topics]:
            yield Problem(name, f"notifies {alarm.get('AlarmActions', 'nobody')} instead of the topic")
        end = alarm.get("OKActions", [])
        if RAISED_BY_STRANGERS.search(name) and end:
            yield Problem(name, "has OKActions, although a stranger can raise it at will")
        if end not in [[], alarm.get("AlarmActions")]:
            yield Problem(name, f"notifies {end} of its end")
        if alarm.get("ActionsEnabled", True) is not True:
            yield Problem(name, "has its actions disabled")


def descriptions_lead_to_the_runbook(resolved: Resolved) -> Iterator[Problem]:
    known = anchors(RUNBOOK.read_text())
    for name, alarm in _alarms(resolved):
        description = as_text(alarm.get("AlarmDescription", "")) or ""
        if len(description) > MAX_DESCRIPTION_CHARACTERS:
            yield Problem(name, f"its description has {len(description)} characters, of {MAX_DESCRIPTION_CHARACTERS}")
        anchor = re.search(r"#([^\s#]+)$", description.strip())
        if not anchor:
            yield Problem(name, f"its description does not end with an anchor of {RUNBOOK.name}")
        elif anchor[1] not in known:
            yield Problem(name, f"{RUNBOOK.name} has no heading with the anchor #{anchor[1]}")


def anchors(markdown: str) -> set[str]:
    """The anchors of a page's headings as GitHub makes them, and those that it sets itself."""
    found: dict[str, int] = {}
    without_code = re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", without_code, flags=re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        # Letters of every script, digits, hyphens and underscores stay; the markup and punctuation go.
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"[*`]", "", text).lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return found.keys() | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", without_code))
