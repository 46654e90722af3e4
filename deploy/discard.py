"""Deletes a throwaway stack and everything that it keeps: its tables, its bucket with every version, its secrets.

It refuses a stack whose tables are protected from deletion, as those of every stack are unless its settings say otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path

from account import Account, parameters
from botocore.exceptions import ClientError
from kept import delete, deleted, kept
from problem import Problem, run
from settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def discard(settings: Settings, account: Account) -> None:
    name = settings.stack
    # Also a stack that holds nothing but a change set.
    if stack := account.described(name):
        if parameters(stack).get("DeletionProtection", "false") != "false":
            raise Problem(
                f"The tables of {name} are protected from deletion. If it is a throwaway stack, deploy it with "
                "PARAMETERS=DeletionProtection=false first."
            )
        delete(account, stack["StackId"], name)
        print(f"The stack {name} is deleted.", flush=True)
        stack_id = stack["StackId"]
    elif latest := deleted(account, name)[:1]:
        # An earlier attempt may have ended in between.
        stack_id = latest[0]["StackId"]
    else:
        raise Problem(f"There is no stack {name} in {account.region}, and there was none in the last 90 days.")
    for each in kept(account, stack_id):
        if removal := REMOVALS.get(each.type):
            with contextlib.suppress(*_gone(account)):
                removal(account, each.physical_id)
            print(f"{each.logical_id} {each.physical_id} is deleted.", flush=True)


def _gone(account: Account) -> tuple[type[Exception], ...]:
    return (
        account.client("dynamodb").exceptions.ResourceNotFoundException,
        account.client("s3").exceptions.NoSuchBucket,
        account.client("secretsmanager").exceptions.ResourceNotFoundException,
    )


def _table(account: Account, name: str) -> None:
    account.client("dynamodb").delete_table(TableName=name)


def _bucket(account: Account, name: str) -> None:
    s3 = account.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in versions]
        if objects:
            answer = s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
            if errors := answer.get("Errors"):
                raise Problem(f"{errors[0]['Key']} in {name} could not be deleted: {errors[0]['Message']}")
    s3.delete_bucket(Bucket=name)


def _secret(account: Account, arn: str) -> None:
    account.client("secretsmanager").delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


# The bucket's policy goes with its bucket.
REMOVALS: dict[str, Callable[[Account, str], None]] = {
    "AWS::DynamoDB::Table": _table,
    "AWS::S3::Bucket": _bucket,
    "AWS::SecretsManager::Secret": _secret,
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stack", required=True)
    settings = Settings(ROOT, arguments.parse_args().stack)
    try:
        discard(settings, Account(settings))
    except ClientError as error:
        raise Problem(f"{error}") from None
    return 0


if __name__ == "__main__":
    run(main)
