"""Each function may do what it does, and nothing else.

What it does is recorded from a run of the deployed stack (`test_recordings.py`): the actions that its calls to AWS need, with
the resource and, for S3, the prefix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .problem import Problem
from .resolve import Resolved, as_text

CALLED = Path(__file__).with_name("called.json")

# What AWS does under a function's role, so that the function itself never calls it.
# Sources: "Lambda execution role", "Using Lambda with Amazon SQS", "Using AWS Lambda with Amazon DynamoDB", "Giving Lambda functions access to resources in an Amazon
# VPC" and "Visualize Lambda function invocations using AWS X-Ray" in the Lambda developer guide; "Server-side encryption with
# AWS KMS keys" of the services that keep data.
FOR_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
FOR_A_QUEUE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
FOR_A_STREAM = {f"dynamodb:{action}" for action in ["DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"]}
FOR_A_DESTINATION = {"sqs:SendMessage"}
FOR_TRACES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
FOR_A_KEY = {"kms:Decrypt", "kms:GenerateDataKey"}
# IAM knows no resources for these.
WITHOUT_RESOURCES = FOR_TRACES
# Policies of AWS that are allowed: what a function in a VPC needs to make its network interfaces, whose actions IAM limits to
# no resource, and what CodeDeploy needs to shift traffic.
FOR_A_VPC = {"AWSLambdaVPCAccessExecutionRole"}
FOR_CODE_DEPLOY = {"AWSCodeDeployRoleForLambda", "AWSCodeDeployRoleForLambdaLimited"}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def documents(resolved: Resolved, role: dict[str, Any]) -> list[dict[str, Any]]:
    """The policies of a role, those of the template that it shares with others included."""
    shared = resolved.of_type("AWS::IAM::ManagedPolicy")
    names = [each.get("Ref") for each in role.get("ManagedPolicyArns", []) if isinstance(each, dict)]
    attached = [shared[name] for name in names if name in shared]
    return [policy["PolicyDocument"] for policy in [*role.get("Policies", []), *attached]]


def granted(policies: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """The actions that policies allow, each with its resource: `Queue`, or `Bucket/deliveries/`."""
    return {
        (action, _resource(resource))
        for policy in policies
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in _list(statement["Action"])
        for resource in _list(statement["Resource"])
    }


def _resource(value: Any) -> str:
    text = as_text(value) or str(value)
    named = re.fullmatch(r"\$\{(\w+)(?:\.\w+)?\}(.*)", text)
    return f"{named[1]}{named[2].removesuffix('*')}" if named else text


def roles_allow_what_was_called(resolved: Resolved, functions: dict[str, str], whole: bool) -> Iterator[Problem]:
    """The roles of the functions against the recorded calls.

    `whole` says that the stack has every part: then each recorded call must be allowed. With a part left out, so may be
    what is allowed for its sake.
    """
    called = {
        binary: {tuple(each.split(" ")) for each in actions} for binary, actions in json.loads(CALLED.read_text()).items()
    }
    roles = resolved.of_type("AWS::IAM::Role")
    existing = resolved.parameters.get("EventBusName")
    bus = f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:event-bus/{existing}" if existing else "EventBus"
    for function, binary in functions.items():
        if function not in resolved.resources:
            continue
        properties = resolved.resources[function]["Properties"]
        name = properties["Role"].get("Fn::GetAtt", [""])[0] if isinstance(properties["Role"], dict) else ""
        if name not in roles:
            yield Problem(function, f"runs under {properties['Role']}, which is not a role of the template")
            continue
        wanted = {(action, bus if resource == "EventBus" else resource) for action, resource in called.get(binary, set())}
        allowed = granted(documents(resolved, roles[name]))
        for action, resource in sorted(allowed - wanted - _by_aws(resolved, function, allowed)):
            yield Problem(name, f"allows {action} on {resource}, which {binary} never calls")
        if whole:
            for action, resource in sorted(wanted - allowed):
                yield Problem(name, f"does not allow {action} on {resource}, which {binary} calls")


def _by_aws(resolved: Resolved, function: str, allowed: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What AWS does under the role of this function because of the function's own settings."""
    properties = resolved.resources[function]["Properties"]
    group = properties.get("LoggingConfig", {}).get("LogGroup", {}).get("Ref", "")
    expected = {(action, group) for action in FOR_LOGS} | {(action, f"{group}:") for action in FOR_LOGS}
    for mapping in resolved.of_type("AWS::Lambda::EventSourceMapping").values():
        if function in (as_text(mapping["FunctionName"]) or ""):
            reads = FOR_A_STREAM if (as_text(mapping["EventSourceArn"]) or "").endswith("StreamArn}") else FOR_A_QUEUE
            expected |= {(action, _resource(mapping["EventSourceArn"])) for action in reads}
            if set_aside := mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
                expected |= {(action, _resource(set_aside)) for action in FOR_A_DESTINATION}
    if properties.get("TracingConfig", {}).get("Mode") == "Active":
        expected |= {(action, "*") for action in FOR_TRACES}
    if str(resolved.parameters.get("KmsKeyArn", "")):
        expected |= {(action, str(resolved.parameters["KmsKeyArn"])) for action in FOR_A_KEY}
    return expected & allowed


def roles_are_narrow(resolved: Resolved) -> Iterator[Problem]:
    for name, role in resolved.of_type("AWS::IAM::Role").items():
        in_a_vpc = any(
            "VpcConfig" in function and _resource(function["Role"]) == name
            for function in resolved.of_type("AWS::Lambda::Function").values()
        )
        taken = FOR_A_VPC if in_a_vpc else set()
        taken |= FOR_CODE_DEPLOY if "codedeploy" in json.dumps(role["AssumeRolePolicyDocument"]) else set()
        for policy in role.get("ManagedPolicyArns", []):
            own = isinstance(policy, dict) and policy.get("Ref") in resolved.resources
            if not own and (as_text(policy) or "").rpartition("/")[2] not in taken:
                yield Problem(name, f"has the managed policy {as_text(policy)}")
        for action, resource in sorted(granted(documents(resolved, role))):
            if "*" in action:
                yield Problem(name, f"allows {action}")
            if resource in {"*", ""} and action not in WITHOUT_RESOURCES:
                yield Problem(name, f"allows {action} on everything")


def schedules_invoke_their_function_only(resolved: Resolved) -> Iterator[Problem]:
    for name, schedule in resolved.of_type("AWS::Scheduler::Schedule").items():
        role = _resource(schedule["Target"]["RoleArn"])
        target = _resource(schedule["Target"]["Arn"])
        allowed = granted(documents(resolved, resolved.of_type("AWS::IAM::Role").get(role, {})))
        if allowed != {("lambda:InvokeFunction", target)}:
            yield Problem(name, f"invokes {target}, and its role {role} allows {sorted(allowed)}")


# Source: "IAM and AWS STS quotas" in the IAM user guide.
MAX_INLINE_POLICIES_CHARACTERS = 10_240


def policies_fit(resolved: Resolved) -> Iterator[Problem]:
    for name, role in resolved.of_type("AWS::IAM::Role").items():
        size = sum(len(json.dumps(policy["PolicyDocument"])) for policy in role.get("Policies", []))
        if size > MAX_INLINE_POLICIES_CHARACTERS:
            yield Problem(name, f"its policies have {size} characters, of {MAX_INLINE_POLICIES_CHARACTERS:,}")
