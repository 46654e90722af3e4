"""What a deleted stack has left behind: tables, bucket and secrets, which CloudFormation does not delete with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from account import Account
from problem import Problem


@dataclass(frozen=True)
class Kept:
    logical_id: str
    type: str
    physical_id: str


def deleted(account: Account, name: str) -> list[dict[str, Any]]:
    """The deleted stacks of a name, the latest first. CloudFormation knows them for 90 days."""
    pages = account.client("cloudformation").get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
    found = [each for page in pages for each in page["StackSummaries"] if each["StackName"] == name]
    return sorted(found, key=lambda each: each["CreationTime"], reverse=True)


def kept(account: Account, stack_id: str) -> list[Kept]:
    """What CloudFormation skipped when it deleted the stack, or earlier when it removed a provider from it; the latest first."""
    pages = account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack_id)
    found = {
        Kept(each["LogicalResourceId"], each["ResourceType"], each["PhysicalResourceId"]): None
        for page in pages
        for each in page["StackEvents"]
        if each["ResourceStatus"] == "DELETE_SKIPPED"
    }
    return list(found)


def delete(account: Account, stack_id: str, name: str) -> None:
    """Deletes a stack and waits for its end."""
    cloudformation = account.client("cloudformation")
    cloudformation.delete_stack(StackName=stack_id)
    waiter = cloudformation.get_waiter("stack_delete_complete")
    try:
        waiter.wait(StackName=stack_id, WaiterConfig={"Delay": 5, "MaxAttempts": 240})
    except Exception as error:
        raise Problem(f"The stack {name} could not be deleted; its events say why: {error}") from None
