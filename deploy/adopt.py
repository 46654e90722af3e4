"""`make adopt`: makes a stack of what a deleted one left behind, so that the next deployment continues on it.

CloudFormation imports existing resources into a new stack. Its template may hold nothing else, and no SAM transform; so this is
template.yaml reduced to the resources that are kept. `make deploy` then adds the rest.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/resource-import-new-stack.html
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from account import Account
from botocore.exceptions import ClientError, WaiterError
from kept import Kept, deleted, kept
from problem import Problem, run
from settings import Parameters, Settings, template

ROOT = Path(__file__).resolve().parents[1]

# The property by which CloudFormation knows a resource of each type that is kept.
IDENTIFIERS = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::S3::BucketPolicy": "Bucket",
    "AWS::SecretsManager::Secret": "Id",
}


def adopt(settings: Settings, account: Account, source: str, only: list[str]) -> None:
    name = settings.stack
    if account.stack(name):
        raise Problem(f"The stack {name} stands already, and nothing can be adopted into it: delete it first.")
    document = template(ROOT)
    left: list[Kept] = []
    for stack in deleted(account, source):
        found = _latest(each for each in kept(account, stack["StackId"]) if each.logical_id in document["Resources"])
        if left := [each for each in found if not only or each.logical_id in only]:
            break
    if not left:
        raise Problem(
            f"Nothing was left behind by a stack {source} that was deleted in {account.region} within the last 90 days."
        )
    _import(settings, account, _reduced(document, left), left)
    for each in left:
        print(f"{each.logical_id} is {each.physical_id} again.")


def _latest(left: Iterable[Kept]) -> list[Kept]:
    """One of each: a provider that was turned off and on has left more than one secret."""
    found: dict[str, Kept] = {}
    for each in left:
        found.setdefault(each.logical_id, each)
    return list(found.values())


def _reduced(document: dict[str, Any], left: list[Kept]) -> dict[str, Any]:
    resources = {each.logical_id: dict(document["Resources"][each.logical_id]) for each in left}
    for resource in resources.values():
        # What a provider left behind is adopted also while that provider is disabled.
        resource.pop("Condition", None)
    return {
        "AWSTemplateFormatVersion": document["AWSTemplateFormatVersion"],
        "Parameters": document["Parameters"],
        "Conditions": document["Conditions"],
        "Resources": resources,
    }


def _import(settings: Settings, account: Account, document: dict[str, Any], left: list[Kept]) -> None:
    name = settings.stack
    cloudformation = account.client("cloudformation")
    change_set = f"adopt-{uuid.uuid4()}"
    declared = Parameters.of(ROOT)
    chosen = settings.parameters()
    for parameter, value in chosen.items():
        declared.check(parameter, value, settings.place)
    try:
        cloudformation.create_change_set(
            StackName=name,
            ChangeSetName=change_set,
            ChangeSetType="IMPORT",
            TemplateBody=json.dumps(document, separators=(",", ":")),
            Parameters=[{"ParameterKey": parameter, "ParameterValue": value} for parameter, value in chosen.items()],
            ResourcesToImport=[
                {
                    "ResourceType": each.type,
                    "LogicalResourceId": each.logical_id,
                    "ResourceIdentifier": {IDENTIFIERS[each.type]: each.physical_id},
                }
                for each in left
            ],
        )
        cloudformation.get_waiter("change_set_create_complete").wait(
            StackName=name, ChangeSetName=change_set, WaiterConfig={"Delay": 2, "MaxAttempts": 60}
        )
        cloudformation.execute_change_set(StackName=name, ChangeSetName=change_set)
        cloudformation.get_waiter("stack_import_complete").wait(
            StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 120}
        )
    except (ClientError, WaiterError) as error:
        # Otherwise an empty stack would stay.
        if account.described(name) and not account.stack(name):
            cloudformation.delete_stack(StackName=name)
        raise Problem(f"What {name} left behind could not be imported: {_reason(error)}") from None


def _reason(error: ClientError | WaiterError) -> str:
    if isinstance(error, ClientError):
        return error.response["Error"]["Message"]
    return error.last_response.get("StatusReason") or str(error)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stack", help="name of the stack to make; the default one is in samconfig.toml")
    arguments.add_argument("--source", help="name that the deleted stack had, if it was another")
    arguments.add_argument(
        "--only", nargs="+", default=[], metavar="ID", help="logical ids to adopt, such as EventsTable"
    )
    options = arguments.parse_args()
    settings = Settings(ROOT, options.stack)
    adopt(settings, Account(settings), options.source or settings.stack, options.only)
    option = "" if settings.is_default else f" STACK={settings.stack}"
    print(f"The stack {settings.stack} holds them. Continue with: make deploy{option}")
    return 0


if __name__ == "__main__":
    run(main)
