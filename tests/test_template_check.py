"""The check of the template finds no mistake in it, and finds those that are planted."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from stack import template
from template_check.alarms import anchors
from template_check.check import check
from template_check.parameter_sets import EVERYTHING

Template = dict[str, Any]


@pytest.fixture(scope="module")
def original() -> Template:
    return template.original()


def test_the_template_has_no_mistake(original: Template) -> None:
    report = check(original)

    assert [str(finding.problem) for finding in report.findings] == []
    assert len(report.sets) > 80


def properties(whole: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = whole["Resources"][name]["Properties"]
    return found


def old_token_alarm(whole: Template) -> None:
    """A folded YAML block keeps the quotes around its text."""
    [expression] = [query for query in properties(whole, "SterlingSilentAlarm")["Metrics"] if "Expression" in query]
    expression["Expression"] = f'"{expression["Expression"]}"'


def unknown_id(whole: Template) -> None:
    [expression] = [query for query in properties(whole, "MachnetSilentAlarm")["Metrics"] if "Expression" in query]
    expression["Expression"] += " + others"


def output_of_what_may_be_missing(whole: Template) -> None:
    del whole["Outputs"]["AccreditSecretArn"]["Condition"]


def reference_to_nothing(whole: Template) -> None:
    properties(whole, "ProcessorFunction")["Environment"]["Variables"]["EVENTS_TABLE"] = {"Ref": "EventTable"}


def unknown_condition(whole: Template) -> None:
    whole["Resources"]["MachnetSecret"]["Condition"] = "HasMachNet"


def cycle(whole: Template) -> None:
    whole["Resources"]["Queue"]["DependsOn"] = "BucketPolicy"
    whole["Resources"]["Bucket"]["DependsOn"] = "Queue"


def no_rule_for_providers(whole: Template) -> None:
    del whole["Rules"]["AtLeastOneProvider"]


def condition_in_a_rule(whole: Template) -> None:
    whole["Rules"]["Resync"]["RuleCondition"] = {"Condition": "HasResync"}


def look_back_over_eight_days(whole: Template) -> None:
    whole["Mappings"]["LookBack"]["7d"]["Periods"] = 192


def short_periods_over_three_days(whole: Template) -> None:
    whole["Mappings"]["LookBack"]["3d"] = {"Period": 900, "Periods": 288}


def missing_value_of_a_mapping(whole: Template) -> None:
    del whole["Mappings"]["LookBack"]["6h"]


def more_data_points_than_periods(whole: Template) -> None:
    properties(whole, "AccreditUnverifiedAlarm")["DatapointsToAlarm"] = 61


def unknown_statistic(whole: Template) -> None:
    properties(whole, "OldestMessageAlarm")["Statistic"] = "Max"


def missing_data_is_alarming(whole: Template) -> None:
    properties(whole, "MachnetFaultsAlarm")["TreatMissingData"] = "breaching"


def misspelt_dimension(whole: Template) -> None:
    properties(whole, "MachnetFaultsAlarm")["Dimensions"] = [{"Name": "provider", "Value": "machnets"}]


def misspelt_namespace(whole: Template) -> None:
    properties(whole, "RecordsFailedAlarm")["Namespace"] = {"Fn::Sub": "webhook_intake/${AWS::StackName}"}


def metric_that_sqs_has_not(whole: Template) -> None:
    properties(whole, "DeadLetterQueueAlarm")["MetricName"] = "NumberOfMessagesVisible"


def in_the_dashboard(whole: Template, old: str, new: str) -> None:
    """Changes the text of the dashboard, whose variables may stand beside it."""
    body = properties(whole, "Dashboard")["DashboardBody"]
    text, *variables = body["Fn::Sub"] if isinstance(body["Fn::Sub"], list) else [body["Fn::Sub"]]
    assert old in text
    body["Fn::Sub"] = [text.replace(old, new), *(variables or [{}])]


def graph_of_nothing(whole: Template) -> None:
    in_the_dashboard(whole, '"conflict"', '"conflicts"')


def search_for_nothing(whole: Template) -> None:
    in_the_dashboard(whole, r"\"stored\"", r"\"saved\"")


def nobody_is_notified(whole: Template) -> None:
    del properties(whole, "ConflictsAlarm")["AlarmActions"]


def mail_at_a_strangers_will(whole: Template) -> None:
    alarm = properties(whole, "MachnetUnverifiedAlarm")
    alarm["OKActions"] = alarm["AlarmActions"]


def anchor_of_no_heading(whole: Template) -> None:
    alarm = properties(whole, "QuarantineAlarm")
    alarm["AlarmDescription"] = alarm["AlarmDescription"].replace("#alarm-quarantine", "#alarm-quarantined")


def filter_on_a_member_that_is_not_logged(whole: Template) -> None:
    properties(whole, "ApiUnroutedFilter")["FilterPattern"] = '{ $.route = "-" }'


def status_of_the_function_for_that_of_lambda(whole: Template) -> None:
    log = properties(whole, "Api")["AccessLogSettings"]
    log["Format"] = log["Format"].replace("$context.integration.integrationStatus", "$context.integration.status")


def number_for_a_text(whole: Template) -> None:
    pattern = properties(whole, "ApiUnansweredFilter")
    pattern["FilterPattern"] = pattern["FilterPattern"].replace('"200"', "200")


def default_value(whole: Template) -> None:
    [transformation] = properties(whole, "ApiUnansweredFilter")["MetricTransformations"]
    transformation["DefaultValue"] = 0


def path_in_the_access_log(whole: Template) -> None:
    log = properties(whole, "Api")["AccessLogSettings"]
    log["Format"] = log["Format"].replace("$context.routeKey", "$context.path")


def statement(whole: Template, role: str, action: str) -> dict[str, Any]:
    [policy] = properties(whole, role)["Policies"]
    [found] = [each for each in policy["PolicyDocument"]["Statement"] if action in each.get("Action", "")]
    return found


def permission_that_is_not_used(whole: Template) -> None:
    statement(whole, "MachnetRole", "s3:PutObject")["Action"] = ["s3:PutObject", "s3:GetObject"]


def permission_that_is_missing(whole: Template) -> None:
    statement(whole, "NowCertsRole", "sqs:GetQueueAttributes")["Action"] = "sqs:SendMessage"


def permission_for_everything(whole: Template) -> None:
    statement(whole, "SterlingTokenRole", "secretsmanager:GetSecretValue")["Resource"] = "*"


def policy_of_aws(whole: Template) -> None:
    policy = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    properties(whole, "ProcessorRole")["ManagedPolicyArns"].append(policy)


def fixed_name(whole: Template) -> None:
    properties(whole, "Dashboard")["DashboardName"] = "webhook-intake"


def renamed_index(whole: Template) -> None:
    properties(whole, "EventsTable")["GlobalSecondaryIndexes"][0]["IndexName"] = "by_hour"


def renamed_secret(whole: Template) -> None:
    whole["Resources"]["NowCertsLogin"] = whole["Resources"].pop("NowCertsSecret")
    statement(whole, "NowCertsRole", "secretsmanager:GetSecretValue")["Resource"] = {"Fn::GetAtt": ["NowCertsLogin", "Id"]}
    variables = properties(whole, "NowCertsFunction")["Environment"]["Variables"]
    variables["SECRET_ID"] = whole["Outputs"]["NowCertsSecretArn"]["Value"] = {"Fn::GetAtt": ["NowCertsLogin", "Id"]}


def changed_placeholder(whole: Template) -> None:
    properties(whole, "MachnetSecret")["SecretString"] = '{"keys": []}'


def secret_in_the_template(whole: Template) -> None:
    properties(whole, "AccreditSecret")["SecretString"] = '{"keys":["MCowBQYDK2VwAyEA"]}'


def table_that_ends_with_the_stack(whole: Template) -> None:
    del whole["Resources"]["EventsTable"]["DeletionPolicy"]


def too_many_resources(whole: Template) -> None:
    for number in range(500):
        whole["Resources"][f"Topic{number}"] = {"Type": "AWS::SNS::Topic"}


def parameter_without_a_place(whole: Template) -> None:
    whole["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"].pop()


PLANTED: list[tuple[Callable[[Template], None], str, str]] = [
    (old_token_alarm, "SterlingSilentAlarm", r"counted: .* returns string instead of a single time series"),
    (unknown_id, "MachnetSilentAlarm", "counted: the id others is not defined"),
    (output_of_what_may_be_missing, "output AccreditSecretArn", "uses AccreditSecret, which does not exist"),
    (reference_to_nothing, "ProcessorFunction", "the resource EventTable does not exist"),
    (unknown_condition, "MachnetSecret", "the condition HasMachNet does not exist"),
    (cycle, "Bucket", "depends on itself, through Queue"),
    (no_rule_for_providers, "Rules", "allow a stack without any provider"),
    (condition_in_a_rule, "Resync", "a rule can't use Condition"),
    (look_back_over_eight_days, "AccreditSilentAlarm", "192 periods of 3600 seconds are more than 604,800 seconds"),
    (short_periods_over_three_days, "NurtureCloudResyncNotCompletedAlarm", "288 periods of 900 seconds are more than 86,400"),
    (missing_value_of_a_mapping, "NowCertsNotDrainedAlarm", "the mapping LookBack has no Periods of '6h'"),
    (more_data_points_than_periods, "AccreditUnverifiedAlarm", "DatapointsToAlarm is 61, of 60 periods"),
    (unknown_statistic, "OldestMessageAlarm", "'Max' is not a statistic"),
    (missing_data_is_alarming, "MachnetFaultsAlarm", "missing data is breaching"),
    (misspelt_dimension, "MachnetFaultsAlarm", r"nothing sends faults\{provider=machnets\}"),
    (misspelt_namespace, "RecordsFailedAlarm", "nothing sends to the namespace"),
    (metric_that_sqs_has_not, "DeadLetterQueueAlarm", "AWS/SQS has no metric 'NumberOfMessagesVisible'"),
    (graph_of_nothing, "Dashboard", "nothing sends conflicts"),
    (search_for_nothing, "Dashboard", "nothing sends saved by provider"),
    (nobody_is_notified, "ConflictsAlarm", "notifies nobody instead of the topic"),
    (mail_at_a_strangers_will, "MachnetUnverifiedAlarm", "has OKActions, although a stranger can raise it"),
    (anchor_of_no_heading, "QuarantineAlarm", "has no heading with the anchor #alarm-quarantined"),
    (filter_on_a_member_that_is_not_logged, "ApiUnroutedFilter", "the access log has no member route"),
    (status_of_the_function_for_that_of_lambda, "ApiUnansweredFilter", "counts a delivery that the function rejected"),
    (number_for_a_text, "ApiUnansweredFilter", "a number is compared with the text"),
    (default_value, "ApiUnansweredFilter", "has a DefaultValue"),
    (path_in_the_access_log, "ApiApiGatewayDefaultStage", r"the access log would hold \$context.path"),
    (permission_that_is_not_used, "MachnetRole", "allows s3:GetObject on Bucket/deliveries/, which machnet never calls"),
    (permission_that_is_missing, "NowCertsRole", "does not allow sqs:GetQueueAttributes on Queue, which nowcerts calls"),
    (permission_for_everything, "SterlingTokenRole", "allows secretsmanager:GetSecretValue on everything"),
    (policy_of_aws, "ProcessorRole", "has the managed policy .*AmazonS3FullAccess"),
    (fixed_name, "Dashboard", "DashboardName is 'webhook-intake' in every stack"),
    (renamed_index, "EventsTable", "GlobalSecondaryIndexes changes, so the stack would lose its items, or the index"),
    (renamed_secret, "NowCertsSecret", "is gone from the template: the stack would lose the keys in it"),
    (changed_placeholder, "MachnetSecret", "SecretString changes, so the stack would lose the keys in it"),
    (secret_in_the_template, "AccreditSecret", "its placeholder already has keys"),
    (table_that_ends_with_the_stack, "EventsTable", "its deletion and replacement policies are"),
    (too_many_resources, "Resources", r"\d+ entries, of 500"),
    (parameter_without_a_place, "AlarmEmail", "is not both a parameter and in a group"),
]


# The set of parameters that shows a mistake, where that isn't the one with every option on.
SHOWN_BY = {
    output_of_what_may_be_missing: "Accredit disabled",
    look_back_over_eight_days: "AccreditSilence 7d",
    missing_value_of_a_mapping: "NowCertsDrainInterval 6h",
}


@pytest.mark.parametrize(("plant", "where", "reason"), PLANTED, ids=[plant.__name__ for plant, _, _ in PLANTED])
def test_a_planted_mistake_is_found(
    original: Template, plant: Callable[[Template], None], where: str, reason: str
) -> None:
    planted = copy.deepcopy(original)
    plant(planted)

    found = [finding.problem for finding in check(planted, only=SHOWN_BY.get(plant, EVERYTHING)).findings]
    assert [each for each in found if each.where == where and re.search(reason, each.reason)], found


def test_headings_have_the_anchors_that_github_gives_them() -> None:
    page = "# One: *two*, `three`\n## Don't\n## [A link](page.md) – it_s\n## Don't\n```\n# no heading\n```\n"

    assert anchors(page) == {"one-two-three", "dont", "a-link--it_s", "dont-1"}
