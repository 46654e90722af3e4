"""The policy for reading of docs/operator-permissions.md: with it each reading command works, and with nothing less."""

from __future__ import annotations

import json

import pytest
from notifications import agent, notification
from operator_policies import PAGE, Operator, Policy, permissions, without
from senders import Sender, new_id
from signers import machnet_event
from stack.stack import Stack


@pytest.fixture(scope="module")
def policy(policies: list[Policy]) -> Policy:
    """The policy for reading."""
    return policies[0]


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
    quarantined, outcome = machnet.deliver(b"{}")
    assert outcome == "quarantined"
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
        ["quarantine", "list", "--since", "1h"],
        ["quarantine", "show", quarantined.delivery_id],
    ]


def test_each_reading_command_works_with_the_policy_of_the_page(
    operator: Operator, policy: Policy, commands: list[list[str]]
) -> None:
    operator.allow(policy)
    for command in commands:
        done = operator.run(*command)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout, command
    quarantined = commands[-1][-1]
    dry = operator.run("quarantine", "release", quarantined, "--anyway", "--dry-run")
    assert (dry.returncode, b"would be released" in dry.stdout) == (0, True), dry
    sent = commands[1][-1]
    for command in [["replay", "--since", "1h"], ["erase", "--event", sent]]:
        dry = operator.run(*command, "--dry-run", "--json")
        assert (dry.returncode, json.loads(dry.stdout)["dry_run"]) == (0, True), dry


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
