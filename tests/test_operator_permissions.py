"""The policy of docs/operator-permissions.md: with it each reading command works, and with nothing less."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import operator_commands
import pytest
from notifications import agent, notification
from senders import Sender, new_id
from signers import machnet_event
from stack.emulator import REGION
from stack.stack import STACK_NAME, Stack
from stack.template import ROOT

PAGE = ROOT / "docs" / "operator-permissions.md"
USER, POLICY = "operator", "reading"

Policy = dict[str, Any]


@dataclass
class Operator:
    """A user who may do what a policy says, and nothing else."""

    stack: Stack
    credentials: dict[str, str]

    def allow(self, policy: Policy) -> None:
        self.stack.client("iam").put_user_policy(UserName=USER, PolicyName=POLICY, PolicyDocument=json.dumps(policy))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[Any]:
        # Through the proxy, which stands for the TLS that the bucket asks for.
        return operator_commands.run(
            self.stack,
            *arguments,
            *("--stack", STACK_NAME),
            credentials=self.credentials,
            endpoint=f"http://127.0.0.1:{self.stack.proxy.port}",
            text=False,
        )


@pytest.fixture(scope="module")
def operator(stack: Stack) -> Iterator[Operator]:
    iam = stack.client("iam")
    iam.create_user(UserName=USER)
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    yield Operator(stack, {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]})
    iam.delete_user_policy(UserName=USER, PolicyName=POLICY)
    iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=USER)


@pytest.fixture(scope="module")
def policy(stack: Stack) -> Policy:
    """The policy of the page, with the names that the page says to put in."""
    [text] = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {
        "REGION": REGION,
        "ACCOUNT": stack.client("sts").get_caller_identity()["Account"],
        "STACK": STACK_NAME,
        "EVENTS_TABLE": stack.outputs["EventsTableName"],
        "ENTITIES_TABLE": stack.outputs["EntitiesTableName"],
        "BUCKET": stack.outputs["BucketName"],
    }
    for name, value in names.items():
        text, count = re.subn(rf"\b{name}\b", value, text)
        assert count, name
    return json.loads(text)


@pytest.fixture
def commands(machnet: Sender, nurturecloud: Sender) -> list[list[str]]:
    """Each reading command, so that each finds something."""
    merged, target = new_id(), new_id()
    for state, entity in [
        ("Created", agent(merged)),
        ("Created", agent(target)),
        ("Deleted", agent(merged, mergedInto=agent(target))),
    ]:
        nurturecloud.deliver(notification(state, entity, component="contact"))
    content = json.loads(machnet_event(new_id(), new_id()))
    sent, _ = machnet.deliver(json.dumps(content | {"filling": "x" * 30_000}).encode())
    return [
        ["deliveries", "--since", "1h"],
        ["deliveries", "show", sent.delivery_id],
        ["deliveries", "show", sent.delivery_id, "--raw"],
        ["events", "--since", "1h"],
        ["events", "show", f"{sent.delivery_id}.0"],
        ["events", "show", f"{sent.delivery_id}.0", "--raw"],
        ["entities", "--component", "contact"],
        ["entities", "contact", merged],
    ]


def permissions(policy: Policy) -> list[tuple[int, str]]:
    """Each action of each statement."""
    return [
        (number, action)
        for number, statement in enumerate(policy["Statement"])
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]


def without(policy: Policy, number: int, action: str) -> Policy:
    """The policy less one action of one statement."""
    policy = deepcopy(policy)
    statement = policy["Statement"][number]
    left = [] if isinstance(statement["Action"], str) else [each for each in statement["Action"] if each != action]
    if left:
        statement["Action"] = left
    else:
        del policy["Statement"][number]
    return policy


def test_each_reading_command_works_with_the_policy_of_the_page(
    operator: Operator, policy: Policy, commands: list[list[str]]
) -> None:
    operator.allow(policy)
    for command in commands:
        done = operator.run(*command)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout, command


def test_no_permission_of_the_page_is_superfluous_and_the_error_names_the_one_that_is_missing(
    operator: Operator, policy: Policy, commands: list[list[str]]
) -> None:
    for number, action in permissions(policy):
        operator.allow(without(policy, number, action))
        failed = [done for command in commands if (done := operator.run(*command)).returncode == 1]
        assert failed, f"nothing needs {action} of statement {number}"
        assert all(action.encode() in done.stderr for done in failed), (action, [done.stderr for done in failed])


def test_a_listing_of_a_day_asks_no_more_than_the_page_says(stack: Stack, operator: Operator, policy: Policy) -> None:
    operator.allow(policy)
    with stack.proxy.recording() as requests:
        assert operator.run("deliveries", "--since", "24h", "--limit", "1000000").returncode == 0
    # An hour in which much came is answered in pages; what the other tests sent is no part of what is counted here.
    first_pages = [
        request
        for request in requests
        if request.operation == "DynamoDB.Query" and "ExclusiveStartKey" not in json.loads(request.body)
    ]
    # 24 hours and the present one, and the next one if it is near, and the question which of them were widened; half a read unit
    # each.
    assert len(first_pages) in {25 * 20 + 1, 26 * 20 + 1}
    assert f"| `deliveries --since 24h` in which nothing came | {(25 * 20 + 1) / 2} |" in PAGE.read_text()
