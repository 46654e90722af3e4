"""The rules by which deploy/bill.py and usage.py count, against AWS's own examples and small templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bill import (
    ASSUMED,
    HOURS,
    MEASURED,
    MINUTES,
    PARAMETERS,
    PRICES,
    WEBHOOKS,
    alarm_metrics,
    compute,
    dashboard_metrics,
    dollars,
    dollars_beyond_what_is_free,
    idle,
    runs_per_month,
    units,
)
from resolved_template import NotAllowed, ResolvedTemplate, Resource, UnknownParameter
from usage import item_bytes, requests_of, write_units

ALARM = {
    "Type": "AWS::CloudWatch::Alarm",
    "Properties": {"Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "Threshold": 0},
}


def metric(name: str) -> dict[str, Any]:
    return {"Id": name, "MetricStat": {"Metric": {"Namespace": "n", "MetricName": name}, "Period": 60, "Stat": "Sum"}}


def resource(kind: str, **properties: Any) -> Resource:
    return Resource("Name", kind, properties)


def resolved(folder: Path, document: dict[str, Any], **parameters: str) -> ResolvedTemplate:
    file = folder / "template.yaml"
    # JSON is YAML.
    file.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Parameters": {}} | document))
    return ResolvedTemplate(file, parameters)


def switched(**resources: Any) -> dict[str, Any]:
    """A template whose resources exist if a parameter says so."""
    return {
        "Parameters": {"Machnet": {"Type": "String", "Default": "enabled"}, "Days": {"Type": "Number", "Default": 30}},
        "Mappings": {"Silence": {"1 day": {"Period": 3600}}},
        "Conditions": {
            "HasMachnet": {"Fn::Equals": [{"Ref": "Machnet"}, "enabled"]},
            "HasNone": {"Fn::Not": [{"Condition": "HasMachnet"}]},
            "HasEither": {"Fn::Or": [{"Condition": "HasMachnet"}, {"Condition": "HasNone"}]},
            "HasBoth": {"Fn::And": [{"Condition": "HasMachnet"}, {"Condition": "HasNone"}]},
        },
        "Resources": resources,
    }


def test_a_resource_exists_if_its_condition_holds(tmp_path: Path) -> None:
    names = ["HasMachnet", "HasNone", "HasEither", "HasBoth"]
    document = switched(Always=ALARM, **{name: ALARM | {"Condition": name} for name in names})

    assert resolved(tmp_path, document).resources.keys() == {"Always", "HasMachnet", "HasEither"}
    assert resolved(tmp_path, document, Machnet="disabled").resources.keys() == {"Always", "HasNone", "HasEither"}


def test_conditions_and_parameters_inside_a_resource_are_replaced(tmp_path: Path) -> None:
    properties = {
        "RetentionInDays": {"Ref": "Days"},
        "Text": {"Fn::Sub": "${Days} days of ${AWS::StackName}"},
        "Joined": {"Fn::Join": ["-", ["a", {"Fn::If": ["HasNone", "b", {"Ref": "AWS::NoValue"}]}, {"Ref": "Days"}]]},
        "Period": {"Fn::FindInMap": ["Silence", "1 day", "Period"]},
        "Left": {"Fn::If": ["HasNone", 1, {"Ref": "AWS::NoValue"}]},
        "Other": {"Fn::GetAtt": ["Always", "Arn"]},
    }
    document = switched(Group={"Type": "AWS::Logs::LogGroup", "Properties": properties})

    assert resolved(tmp_path, document, Days="7").resources["Group"].properties == {
        "RetentionInDays": "7",
        "Text": "7 days of ${AWS::StackName}",
        "Joined": "a-7",
        "Period": 3600,
        "Other": {"Fn::GetAtt": ["Always", "Arn"]},
    }


def test_a_parameter_that_the_template_lacks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownParameter, match="Sterling"):
        resolved(tmp_path, switched(Always=ALARM), Sterling="disabled")


def test_a_value_that_the_template_does_not_allow_is_an_error(tmp_path: Path) -> None:
    document = switched(Always=ALARM)
    document["Parameters"]["Machnet"]["AllowedValues"] = ["enabled", "disabled"]

    with pytest.raises(NotAllowed, match="Machnet cannot be off"):
        resolved(tmp_path, document, Machnet="off")


def test_an_alarm_costs_each_metric_that_it_watches(tmp_path: Path) -> None:
    math = [metric("a"), metric("b"), {"Id": "sum", "Expression": "a + b"}]
    document = switched(
        One=ALARM,
        Two={"Type": "AWS::CloudWatch::Alarm", "Condition": "HasMachnet", "Properties": {"Metrics": math}},
        Secret={"Type": "AWS::SecretsManager::Secret", "Condition": "HasMachnet", "Properties": {}},
    )

    everything, without = idle(resolved(tmp_path, document)), idle(resolved(tmp_path, document, Machnet="disabled"))

    assert alarm_metrics(resource("AWS::CloudWatch::Alarm", Metrics=math)) == 2
    assert (everything["alarms"]["alarm_metric"], without["alarms"]["alarm_metric"]) == (3, 1)
    assert (everything["secrets"]["secret"], without["secrets"]["secret"]) == (1, 0)


def test_an_empty_queue_is_asked_all_month(tmp_path: Path) -> None:
    bill = idle(resolved(tmp_path, switched(Always=ALARM)))

    polls = ASSUMED["queue_pollers"] * HOURS * 3600 / ASSUMED["poll_seconds"]
    assert bill["the processor's polling of the queue"] == units(sqs_request=polls)


@pytest.mark.parametrize(("metrics", "billed"), [(50, 0), (51, 1)])
def test_a_dashboard_costs_something_from_its_51st_metric_on(tmp_path: Path, metrics: int, billed: int) -> None:
    shown = [["n", f"m{number}", {"stat": "Sum"}] for number in range(metrics)]
    widgets = [{"properties": {"metrics": shown}}, {"properties": {"metrics": shown[:2]}}, {"properties": {"markdown": ""}}]
    body = {"Fn::Sub": json.dumps({"widgets": widgets})}
    document = switched(Shown={"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": body}})

    template = resolved(tmp_path, document)

    assert dashboard_metrics(template, template.resources["Shown"]) == metrics
    assert idle(template)["dashboards that are not among the free ones"]["dashboard"] == billed


@pytest.mark.parametrize(
    ("expression", "runs"), [("rate(1 minute)", MINUTES), ("rate(5 minutes)", MINUTES / 5), ("rate(1 day)", MINUTES / 1440)]
)
def test_a_schedule_runs_at_its_rate(expression: str, runs: float) -> None:
    schedule = resource("AWS::Scheduler::Schedule", ScheduleExpression=expression)

    assert runs_per_month(schedule) == runs
    assert runs_per_month(resource("s", ScheduleExpression=expression, State="DISABLED")) == 0


def test_a_search_shows_a_metric_for_each_provider_that_sends_it(tmp_path: Path) -> None:
    search = "SEARCH('{{\"a/${{AWS::StackName}}\",provider}} MetricName=({})', 'Sum')".format
    widget = {"metrics": [[{"expression": search('"accepted" OR "faults"')}], ["n", "one"], [".", "two"], [".", "one"]]}
    body = {"Fn::Sub": json.dumps({"widgets": [{"properties": widget}]})}
    document = switched(Shown={"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": body}})
    for provider, name in PARAMETERS.items():
        function = {
            "Type": "AWS::Serverless::Function",
            "Metadata": {"BuildProperties": {"Binary": provider}},
            "Properties": {"Runtime": "provided.al2023", "Handler": "bootstrap"},
        }
        document["Resources"][f"{name}Function"] = function
    document["Resources"]["MachnetFunction"]["Condition"] = "HasMachnet"

    everything, without = resolved(tmp_path, document), resolved(tmp_path, document, Machnet="disabled")

    # All send `accepted`, and the webhooks `faults`; two more are of nobody.
    found = len(PARAMETERS) + len(WEBHOOKS) + 2
    assert len(PARAMETERS) > len(WEBHOOKS) > 1
    assert dashboard_metrics(everything, everything.resources["Shown"]) == found
    assert dashboard_metrics(without, without.resources["Shown"]) == found - 2


def test_a_schedule_that_cannot_be_counted_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="cron"):
        runs_per_month(resource("s", ScheduleExpression="cron(0 8 * * ? *)"))


def test_an_invocation_is_billed_in_whole_milliseconds_of_its_memory() -> None:
    function = resource("AWS::Lambda::Function", MemorySize=512, Architectures=["arm64"])

    assert compute(function, 1.2, 1000) == units(lambda_request=1000, lambda_arm64_gb_second=1.0)


def test_free_allowances_are_taken_off_the_sum_and_not_off_each_row() -> None:
    bill = {"a": units(alarm_metric=6), "b": units(alarm_metric=6, secret=1)}

    assert dollars(bill) == pytest.approx(1.2 + 0.4)
    assert dollars_beyond_what_is_free(bill) == pytest.approx(0.2 + 0.4)


def test_an_item_has_the_size_that_the_developer_guide_gives_it() -> None:
    item = {
        "pk": {"S": "Zoë"},
        "number": {"N": "-1234.5"},
        "flag": {"BOOL": True},
        "map": {"M": {"a": {"S": "bc"}, "list": {"L": [{"NULL": True}]}}},
        "bytes": {"B": "aGVsbG8="},
    }

    sizes = {"pk": 2 + 4, "number": 6 + 5, "flag": 4 + 1, "map": 3 + 3 + (1 + 1 + 2) + (4 + 1 + 3 + 1 + 1), "bytes": 5 + 5}
    assert {name: item_bytes({name: value}) for name, value in item.items()} == sizes
    assert [write_units(size) for size in [1, 1024, 1025]] == [1, 1, 2]


def test_a_message_is_billed_for_each_64_kilobytes() -> None:
    assert [requests_of(["x" * size]) for size in [1, 65536, 65537]] == [1, 1, 2]
    assert requests_of(["x" * 6000] * 10) == 1


def test_every_price_says_where_it_is_from() -> None:
    for name, price in PRICES.items():
        assert price.keys() - {"free", "read_in", "tiers"} == {"price", "per", "unit", "date", "source"}, name
        assert price["source"].startswith("https://aws.amazon.com/"), name


def test_every_measurement_is_of_a_table_that_the_page_uses() -> None:
    kinds = {name.rpartition("-")[0] for name in MEASURED if name != "assumptions"}

    assert kinds == {
        *("delivery", "delivery-without-an-id", "further-event", "large-delivery", "refused", "token", "idle-run"),
        "published",
    }
