"""`make adopt`: makes a stack of what a deleted one left behind, so that the next deployment continues on it.

CloudFormation imports existing resources into a new stack. Its template may hold nothing else, and no SAM transform; so this is
template.yaml reduced to the resources that are kept. `make deploy` then adds the rest.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/resource-import-new-stack.html
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from account import Account
from botocore.exceptions import ClientError, WaiterError
from kept import Kept, deleted, kept
from problem import Problem, run
from settings import Parameters, Settings, template

ROOT = Path(__file__).resolve().parents[1]
CHANGE_SET = "adopt"

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
    latest = deleted(account, source)[:1]
    if not latest:
        raise Problem(f"No stack {source} was deleted in {account.region} within the last 90 days.")
    document = template(ROOT)
    left = _latest(each for each in kept(account, latest[0]["StackId"]) if each.logical_id in document["Resources"])
    if only:
        left = [each for each in left if each.logical_id in only]
    if not left:
        raise Problem(f"The stack {source} that was deleted last left nothing behind that could be adopted.")
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
    declared = Parameters.of(ROOT)
    chosen = settings.parameters()
    for parameter, value in chosen.items():
        declared.check(parameter, value, settings.place)
    try:
        cloudformation.create_change_set(
            StackName=name,
            ChangeSetName=CHANGE_SET,
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
            StackName=name, ChangeSetName=CHANGE_SET, WaiterConfig={"Delay": 2, "MaxAttempts": 60}
        )
        cloudformation.execute_change_set(StackName=name, ChangeSetName=CHANGE_SET)
        cloudformation.get_waiter("stack_import_complete").wait(
            StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 120}
        )
    except WaiterError as error:
        reason = error.last_response.get("StatusReason") or error
        raise Problem(f"What {name} left behind could not be imported: {reason}") from None
    except ClientError as error:
        raise Problem(f"What {name} left behind could not be imported: {error.response['Error']['Message']}") from None


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stack", help="name of the stack to make; the default one is in samconfig.toml")
    arguments.add_argument("--source", help="name that the deleted stack had, if it was another")
    arguments.add_argument("--only", nargs="+", default=[], metavar="ID", help="logical ids to adopt, such as EventsTable")
    options = arguments.parse_args()
    settings = Settings(ROOT, options.stack)
    adopt(settings, Account(settings), options.source or settings.stack, options.only)
    option = "" if settings.is_default else f" STACK={settings.stack}"
    print(f"The stack {settings.stack} holds them. Continue with: make deploy{option}")
    return 0


if __name__ == "__main__":
    run(main)
