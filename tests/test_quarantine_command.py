"""From quarantine to a recorded event, as an operator of the deployed stack does it."""

from __future__ import annotations

import json
from typing import Any

from notifications import agent, notification
from operator_commands import run
from senders import Sender, new_id, outcomes
from stack.stack import STACK_NAME, Item, Stack

ON_STACK = ["--stack", STACK_NAME]


def quarantined(stack: Stack, *arguments: str) -> dict[str, list[Item]]:
    """What the command lists, by delivery."""
    done = run(stack, "quarantine", "list", "--since", "1h", "--limit", "1000", "--json", *arguments, *ON_STACK)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Any]] = {}
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        found.setdefault(entry["delivery_id"], []).append(entry)
    return found


def test_what_a_setting_kept_out_is_released_once_it_is_accepted(stack: Stack, nurturecloud: Sender) -> None:
    ours, theirs = new_id(), new_id()
    body = notification("Created", agent(new_id(), businessId=ours), agent(new_id(), businessId=theirs))
    with stack.settings("processor", NURTURECLOUD_BUSINESSES=ours):
        sent, found = nurturecloud.deliver_batch(body)
    assert found == ["stored", "quarantined"]

    [entry] = quarantined(stack, "--reason", "businessid")[sent.delivery_id]
    assert (entry["index"], entry["provider"]) == (1, "nurturecloud")
    assert "NURTURECLOUD_BUSINESSES" in entry["reason"]
    shown = run(stack, "quarantine", "show", sent.delivery_id, *ON_STACK)
    assert "can be read now" in shown.stdout, shown.stderr

    dry = run(stack, "quarantine", "release", sent.delivery_id, "--dry-run", *ON_STACK)
    assert f"{sent.delivery_id} of nurturecloud: would be released" in dry.stdout, dry.stderr
    assert len(stack.records(sent.delivery_id)) == 1

    released = run(stack, "quarantine", "release", sent.delivery_id, *ON_STACK)
    assert (released.returncode, released.stdout.splitlines()[-1]) == (0, "1 released.")
    records = stack.wait_for_record(sent.delivery_id, count=2)
    assert outcomes(records[-1]) == ["stored", "stored"]
    assert len(stack.events(delivery_id=sent.delivery_id)) == 2
    assert sent.delivery_id not in quarantined(stack)
    [trace] = quarantined(stack, "--released")[sent.delivery_id]
    assert trace["released"]["outcome"] == "stored"


def test_what_would_be_quarantined_again_is_left_unless_it_is_released_anyway(stack: Stack, machnet: Sender) -> None:
    sent, outcome = machnet.deliver(b'{"event_name": "without an id"}')
    assert outcome == "quarantined"

    left = run(stack, "quarantine", "release", sent.delivery_id, *ON_STACK)
    assert left.returncode == 1
    assert "would be quarantined again, for the same reason" in left.stdout
    assert len(stack.records(sent.delivery_id)) == 1

    anyway = run(stack, "quarantine", "release", sent.delivery_id, "--anyway", *ON_STACK)
    assert anyway.returncode == 0, anyway.stderr
    records = stack.wait_for_record(sent.delivery_id, count=2)
    assert outcomes(records[-1]) == ["quarantined"]
    [entry] = quarantined(stack)[sent.delivery_id]
    assert entry["quarantined_again_at"] > entry["received_at"]


def test_a_delivery_that_is_not_in_quarantine_is_said(stack: Stack) -> None:
    delivery_id = "019aa000-0000-7000-8000-000000000001"
    done = run(stack, "quarantine", "show", delivery_id, *ON_STACK)
    assert done.returncode == 1
    assert f"nothing of delivery {delivery_id} is in quarantine" in done.stderr
