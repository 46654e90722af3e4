"""What stays of a stack that is deleted, or whose first deployment fails, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

from checkout import Checkout, client, ended, what_is_there
from stack import template
from stack.emulator import REGION, Emulator
from stack.stack import SAM


def kept() -> dict[str, Any]:
    """A template of what is kept when the stack is deleted, every optional resource included."""
    translated = template.translate(template.original())
    kinds = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::SecretsManager::Secret"}
    resources = {name: each for name, each in translated["Resources"].items() if each["Type"] in kinds}
    for resource in resources.values():
        resource.pop("Condition", None)
    return {"Resources": resources}


def create(account: Emulator, name: str, what: dict[str, Any]) -> str:
    """The state in which the stack ends."""
    cloudformation = client(account, "cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(what))
    return ended(account, name)


# A resource that cannot be created, because the function does not exist.
FAILS = {
    "Type": "AWS::Lambda::Url",
    "Properties": {
        "TargetFunctionArn": f"arn:aws:lambda:{REGION}:000000000000:function:missing",
        "AuthType": "AWS_IAM",
    },
}


def test_a_first_deployment_that_fails_leaves_nothing(account: Emulator) -> None:
    before = what_is_there(account)
    what = kept()
    what["Resources"]["Fails"] = FAILS | {"DependsOn": list(what["Resources"])}

    assert create(account, "failing", what) == "ROLLBACK_COMPLETE"
    assert what_is_there(account) == before


def test_a_first_deployment_that_fails_says_how_to_go_on(checkout: Checkout) -> None:
    account = checkout.account
    before = what_is_there(account)
    document = template.without_metric_math(template.original())
    document["Resources"]["Fails"] = FAILS | {"DependsOn": list(document["Resources"])}
    checkout.write_template(document)
    done = checkout.start("make deploy STACK=broken")
    checkout.write_template(template.without_metric_math(template.original()))

    assert done.returncode != 0
    sentence = (
        "The first deployment of broken failed, and what it created was removed: run `aws cloudformation delete-stack"
    )
    assert sentence in done.stdout
    # CloudFormation could not remove protected tables; the emulator would.
    assert checkout.parameters("broken")["DeletionProtection"] == "false"
    left = what_is_there(account)
    assert {kind: left[kind] - before[kind] for kind in ["tables", "secrets"]} == {"tables": 0, "secrets": 0}

    checkout.builds()
    assert sentence in checkout.refusal("make deploy STACK=broken")


def test_a_deleted_stack_leaves_what_is_kept(account: Emulator) -> None:
    before = what_is_there(account)

    assert create(account, "working", kept()) == "CREATE_COMPLETE"
    there = what_is_there(account)
    assert {kind: there[kind] - before[kind] for kind in there} == {"tables": 2, "buckets": 1, "secrets": 7}

    stack = client(account, "cloudformation").describe_stacks(StackName="working")["Stacks"][0]["StackId"]
    client(account, "cloudformation").delete_stack(StackName="working")
    assert ended(account, stack) == "DELETE_COMPLETE"
    assert what_is_there(account) == there


def test_a_deleted_stack_is_deployed_again_onto_what_it_kept_and_then_discarded(checkout: Checkout) -> None:
    account = checkout.account
    cloudformation, dynamodb, s3 = (client(account, name) for name in ["cloudformation", "dynamodb", "s3"])
    there = what_is_there(account)
    checkout.run("make deploy STACK=again PARAMETERS=DeletionProtection=false")
    before, stack = checkout.outputs("again"), checkout.stack("again")["StackId"]
    assert checkout.protected("again") == {False}
    item = {"pk": {"S": "an event"}, "sk": {"S": "event"}}
    dynamodb.put_item(TableName=before["EventsTableName"], Item=item)
    cloudformation.delete_stack(StackName=stack)
    assert ended(account, stack) == "DELETE_COMPLETE"

    # The emulator cannot import secrets and bucket policies.
    printed = checkout.run('make adopt STACK=again ADOPT_ARGS="--only EventsTable EntitiesTable Bucket"')
    assert f"EventsTable is {before['EventsTableName']} again." in printed
    assert "Continue with: make deploy STACK=again" in printed
    assert checkout.stack("again")["StackStatus"] == "IMPORT_COMPLETE"

    checkout.run("make deploy STACK=again")
    after = checkout.outputs("again")
    for name in ["EventsTableName", "EntitiesTableName", "BucketName"]:
        assert after[name] == before[name]
    assert dynamodb.scan(TableName=after["EventsTableName"])["Items"] == [item]

    for _ in range(2):
        s3.put_object(Bucket=after["BucketName"], Key="events/one", Body=b"data")
    s3.delete_object(Bucket=after["BucketName"], Key="events/one")
    discard = f"{SAM.with_name('python')} deploy/discard.py --stack"
    printed = checkout.run(f"{discard} again")
    assert "The stack again is deleted." in printed
    assert what_is_there(account) == there
    # It can be repeated after an interruption.
    checkout.run(f"{discard} again")


def test_a_stack_with_protected_tables_is_neither_discarded_nor_adopted_into(checkout: Checkout) -> None:
    queue = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    parameters = {"Parameters": {"DeletionProtection": {"Type": "String", "Default": "true"}}}
    assert create(checkout.account, "protected", queue | parameters) == "CREATE_COMPLETE"

    refusal = checkout.start(f"{SAM.with_name('python')} deploy/discard.py --stack protected").stdout
    assert "The tables of protected are protected from deletion." in refusal
    assert checkout.stack("protected")["StackStatus"] == "CREATE_COMPLETE"
    assert "The stack protected stands already" in checkout.refusal("make adopt STACK=protected")


def test_a_stack_that_was_never_deleted_left_nothing_to_adopt(checkout: Checkout) -> None:
    refusal = checkout.refusal("make adopt STACK=missing")
    assert "Nothing was left behind by a stack missing that was deleted in us-east-1" in refusal
