"""What would replace a resource that holds data is noticed before it is deployed.

`immutable.json` keeps the logical ids, types and immutable properties of such resources. `--accept` writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .problem import Problem
from .resolve import Resolved

SNAPSHOT = Path(__file__).with_name("immutable.json")

# The properties whose change replaces the resource ("Update requires: Replacement" in the CloudFormation template reference),
# what is lost then, and properties whose change would lose as much: an index can only be removed and added, and a new
# `SecretString` is put over the value in use.
IMMUTABLE: dict[str, tuple[list[str], str]] = {
    "AWS::ApiGatewayV2::Api": (["ProtocolType"], "its address, which the providers call"),
    "AWS::DynamoDB::Table": (
        ["TableName", "KeySchema", "AttributeDefinitions", "LocalSecondaryIndexes", "GlobalSecondaryIndexes"],
        "its items, or the index",
    ),
    "AWS::Events::EventBus": (["Name"], "the rules by which consumers receive events"),
    "AWS::S3::Bucket": (["BucketName"], "its objects"),
    "AWS::SNS::Topic": (["TopicName", "FifoTopic"], "its subscriptions"),
    "AWS::SQS::Queue": (["QueueName", "FifoQueue"], "the messages in it"),
    "AWS::SecretsManager::Secret": (["Name", "SecretString", "GenerateSecretString"], "the keys in it"),
}


def snapshot(resolved: Resolved) -> dict[str, dict[str, Any]]:
    """What must not change, by logical id."""
    return {
        name: {"Type": resource["Type"]}
        | {
            each: resource["Properties"][each]
            for each in IMMUTABLE[resource["Type"]][0]
            if each in resource.get("Properties", {})
        }
        for name, resource in sorted(resolved.resources.items())
        if resource["Type"] in IMMUTABLE
    }


def accept(resolved: Resolved) -> None:
    SNAPSHOT.write_text(json.dumps(snapshot(resolved), indent=2) + "\n")


def nothing_is_replaced(resolved: Resolved) -> Iterator[Problem]:
    """Compares a stack that has every part with the snapshot."""
    before: dict[str, dict[str, Any]] = json.loads(SNAPSHOT.read_text())
    now = snapshot(resolved)
    for name, was in before.items():
        lost = IMMUTABLE[was["Type"]][1]
        if name not in now:
            yield Problem(name, f"is gone from the template: the stack would lose {lost}")
            continue
        for each in sorted(was.keys() | now[name].keys()):
            if was.get(each) != now[name].get(each):
                yield Problem(name, f"{each} changes, so the stack would lose {lost}: {was.get(each)} before")
    for name in sorted(now.keys() - before.keys()):
        yield Problem(name, f"is not in {SNAPSHOT.name} yet; run `python -m template_check --accept`")
