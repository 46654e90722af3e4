"""Deployments as a user makes them: with nothing there yet, again, and one that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from stack import template
from stack.emulator import CREDENTIALS, REGION, Emulator
from stack.wait import wait_until


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account of its own, with nothing in it."""
    emulator = Emulator(tmp_path_factory.mktemp("account"))
    yield emulator
    emulator.stop()


def client(account: Emulator, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=account.endpoint,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def kept() -> dict[str, Any]:
    """A template of what is kept when the stack is deleted, every optional resource included."""
    translated = template.translate(template.original())
    kinds = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::SecretsManager::Secret"}
    resources = {name: each for name, each in translated["Resources"].items() if each["Type"] in kinds}
    for resource in resources.values():
        resource.pop("Condition", None)
    return {"Resources": resources}


def what_is_there(account: Emulator) -> dict[str, int]:
    return {
        "tables": len(client(account, "dynamodb").list_tables()["TableNames"]),
        "buckets": len(client(account, "s3").list_buckets()["Buckets"]),
        "secrets": len(client(account, "secretsmanager").list_secrets()["SecretList"]),
    }


def create(account: Emulator, name: str, what: dict[str, Any]) -> str:
    """The state in which the stack ends."""
    cloudformation = client(account, "cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(what))
    return ended(account, name)


def ended(account: Emulator, name: str) -> str:
    def state() -> str | None:
        [stack] = client(account, "cloudformation").describe_stacks(StackName=name)["Stacks"]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack["StackStatus"]

    return wait_until(state, what=f"the end of the deployment of {name}")


def test_a_first_deployment_that_fails_leaves_nothing(account: Emulator) -> None:
    before = what_is_there(account)
    what = kept()
    # Fails, since there is no such function, once everything else is there.
    url = {"TargetFunctionArn": f"arn:aws:lambda:{REGION}:000000000000:function:missing", "AuthType": "AWS_IAM"}
    what["Resources"]["Fails"] = {"Type": "AWS::Lambda::Url", "DependsOn": list(what["Resources"]), "Properties": url}

    assert create(account, "failing", what) == "ROLLBACK_COMPLETE"
    assert what_is_there(account) == before


def test_a_deleted_stack_leaves_what_is_kept(account: Emulator) -> None:
    before = what_is_there(account)

    assert create(account, "working", kept()) == "CREATE_COMPLETE"
    there = what_is_there(account)
    assert {kind: there[kind] - before[kind] for kind in there} == {"tables": 2, "buckets": 1, "secrets": 7}

    stack = client(account, "cloudformation").describe_stacks(StackName="working")["Stacks"][0]["StackId"]
    client(account, "cloudformation").delete_stack(StackName="working")
    assert ended(account, stack) == "DELETE_COMPLETE"
    assert what_is_there(account) == there
