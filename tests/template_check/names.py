"""A second stack in the same account and region can be deployed beside this one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .problem import Problem
from .resolve import Resolved, as_text

# The properties that name a resource within an account and region, or within an account.
# Source: the resource types in the CloudFormation template reference; the names of APIs, aliases and metric filters need not
# be unique, or only within the stack's own API, function or log group.
UNIQUE = {
    "AWS::Budgets::Budget": ["Budget.BudgetName"],
    "AWS::CloudWatch::Alarm": ["AlarmName"],
    "AWS::CloudWatch::CompositeAlarm": ["AlarmName"],
    "AWS::CloudWatch::Dashboard": ["DashboardName"],
    "AWS::CodeDeploy::Application": ["ApplicationName"],
    "AWS::DynamoDB::Table": ["TableName"],
    "AWS::Events::EventBus": ["Name"],
    "AWS::Events::Rule": ["Name"],
    "AWS::IAM::ManagedPolicy": ["ManagedPolicyName"],
    "AWS::IAM::Role": ["RoleName"],
    "AWS::KMS::Alias": ["AliasName"],
    "AWS::Lambda::Function": ["FunctionName"],
    "AWS::Logs::LogGroup": ["LogGroupName"],
    "AWS::S3::Bucket": ["BucketName"],
    "AWS::SNS::Topic": ["TopicName"],
    "AWS::SQS::Queue": ["QueueName"],
    "AWS::SSM::Parameter": ["Name"],
    "AWS::Scheduler::Schedule": ["Name"],
    "AWS::Scheduler::ScheduleGroup": ["Name"],
    "AWS::SecretsManager::Secret": ["Name"],
}
OF_THE_STACK = ("${AWS::StackName}", "${AWS::StackId}")


def names_are_of_the_stack(resolved: Resolved) -> Iterator[Problem]:
    for name, resource in resolved.resources.items():
        for path in UNIQUE.get(resource["Type"], []):
            given = _at(resource.get("Properties", {}), path)
            if given is not None and not _of_the_stack(given):
                yield Problem(name, f"{path} is {given!r} in every stack")
    for name, output in resolved.outputs.items():
        export = output.get("Export", {}).get("Name")
        if export is not None and not _of_the_stack(export):
            yield Problem(f"output {name}", f"is exported as {export!r} by every stack")
    for name, metric_filter in resolved.of_type("AWS::Logs::MetricFilter").items():
        for transformation in metric_filter["MetricTransformations"]:
            if not _of_the_stack(transformation["MetricNamespace"]):
                yield Problem(name, f"counts in {transformation['MetricNamespace']!r} for every stack")


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _of_the_stack(value: Any) -> bool:
    return any(part in (as_text(value) or "") for part in OF_THE_STACK)
