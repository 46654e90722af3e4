"""A run with every kind of outcome, after which the accounts balance exactly."""

from __future__ import annotations

from collections import Counter

from accounting import Accounting
from authority import Bearer, sterling_batch, sterling_delivery, sterling_event
from notifications import agent, notification
from senders import Sender, new_id
from signers import AccreditSigner, MachnetSigner, PathSecret, accredit_event, machnet_event
from stack.stack import Stack
from stack.wait import wait_until

def test_the_accounts_balance_over_every_kind_of_outcome(
    stack: Stack, machnet: Sender, accredit: Sender, nurturecloud: Sender, sterling: Sender
) -> None:
    # A delivery that another test abandoned may still be in flight.
    wait_until(lambda: stack.messages() == 0, what="an empty queue")
    accounting = Accounting(stack)

    # Stored, duplicate, repeat, conflict and quarantined.
    event_id, resource, job = new_id(), new_id(), new_id()
    machnet.deliver(machnet_event(event_id, resource))
    machnet.deliver(machnet_event(event_id, resource))
    machnet.deliver(machnet_event(new_id(), resource))
    machnet.deliver(machnet_event(event_id, resource, payload={"status": "FAILED"}))
    machnet.deliver(b"{")
    body = accredit_event(new_id())
    accredit.deliver(body, job_id=job, attempt=0)
    accredit.deliver(body, job_id=new_id(), attempt=0)
    accredit.deliver(accredit_event(new_id()), job_id=job, attempt=0)
    accredit.deliver(b"[]")
    event, other = sterling_event(new_id()), sterling_event(new_id())
    sterling.deliver_batch(sterling_delivery(sterling_batch(event, "no event", event)))
    sterling.deliver_batch(sterling_delivery(sterling_batch(other, event)))
    entity_id = new_id()
    nurturecloud.deliver_batch(notification("Created", agent(entity_id), "no entity", agent(entity_id)))
    nurturecloud.deliver(notification("Deleted", agent(entity_id)))
    nurturecloud.deliver(notification("Created"))
    # Rejected.
    machnet.post(b"{}", {})
    machnet.post(b"{}", {"x-raas-webhook-signature": "?"})
    machnet.send(b"{}", signer=MachnetSigner("not-the-secret-of-anyone"))
    machnet.send(b"x" * (4 * 1024 * 1024 + 1))
    accredit.post(b"{}", {})
    accredit.send(b"{}", signer=AccreditSigner())
    nurturecloud.post(b"{}", {}, "/webhooks/nurturecloud/short")
    nurturecloud.send(b"{}", signer=PathSecret())
    sterling.post(b"{}", {})
    sterling.send(b"{}", signer=Bearer("not-a-token"))
    with stack.proxy.fault("AmazonSQS.SendMessage", "access-denied"):
        machnet.send(machnet_event(new_id(), new_id()))
        accredit.send(accredit_event(new_id()))
        nurturecloud.send(notification("Updated", agent(entity_id)))
        sterling.send(sterling_delivery(sterling_batch(event)))
    # Unknown to the intake: the queue has the message, and its answer comes after the client's timeout or the deadline.
    with stack.proxy.fault("AmazonSQS.SendMessage", "late-answer"):
        stack.wait_for_record(accredit.send(accredit_event(new_id())).delivery_id)
        with stack.settings("machnet", DEADLINE_MILLISECONDS="800"):
            stack.wait_for_record(machnet.send(machnet_event(new_id(), new_id())).delivery_id)
    # Delivered twice by SQS: the same outcome, and nothing new is stored.
    captured = redelivered(stack, machnet)
    wait_until(lambda: stack.messages() == 0, what="an empty queue")

    lines = {line["delivery_id"]: line for line in accounting.deliveries()}
    kinds = Counter((line["provider"], line["outcome"]) for line in lines.values())
    assert kinds == {
        ("machnet", "accepted"): 6,
        ("machnet", "rejected"): 5,
        ("machnet", "unknown"): 1,
        ("accredit", "accepted"): 4,
        ("accredit", "rejected"): 3,
        ("accredit", "unknown"): 1,
        ("nurturecloud", "accepted"): 3,
        ("nurturecloud", "rejected"): 3,
        ("sterling", "accepted"): 2,
        ("sterling", "rejected"): 3,
    }

    # Every accepted delivery was processed, and nothing that was rejected.
    recorded = accounting.outcomes()
    processed = {delivery_id for delivery_id, _ in recorded}
    assert processed == {key for key, line in lines.items() if line["outcome"] in {"accepted", "unknown"}}
    assert all(len(found) == 1 for found in recorded.values()), "one outcome for each event, however often it came"

    # Each outcome but a duplicate is an item, and each item is such an outcome. NurtureCloud's duplicates are items too, because
    # they update their entity.
    fates = Counter(outcome for [outcome] in recorded.values())
    assert fates == {"stored": 11, "duplicate": 4, "repeat": 1, "conflict": 1, "quarantined": 5}
    items = {
        (item["delivery_id"], int(item["index"])): item["outcome"]
        for item in stack.items()
        if item["kind"] in {"event", "conflict", "quarantine"} and item["delivery_id"] in lines
    }
    leaves_an_item = {
        key: outcome
        for key, [outcome] in recorded.items()
        if outcome != "duplicate" or lines[key[0]]["provider"] == "nurturecloud"
    }
    assert items == leaves_an_item

    # The counters agree with the lines. A redelivered record counts twice: counters count at least once.
    assert sum(record["delivery_id"] == captured for record in accounting.records()) == 2
    wait_until(lambda: accounting.counters() == accounting.expected_counters(), what="the balance of the counters")
    sums: Counter[str] = Counter()
    for (name, _), value in accounting.counters().items():
        sums[name] += value
    assert (sums["accepted"], sums["faults"], sums["unknown"], sums["rejected"]) == (15, 6, 2, 10)
    assert sums["accepted"] + sums["faults"] + sums["rejected"] == len(lines), "each request is one of them"
    assert sums["unverified"] == 9, "all that were rejected but the one with too large a body"


def redelivered(stack: Stack, machnet: Sender) -> str:
    """Makes a delivery whose message is on the queue twice."""
    sqs, queue = stack.client("sqs"), stack.outputs["QueueUrl"]
    with stack.held_queue():
        sent = machnet.send(machnet_event(new_id(), new_id()))
        [message] = wait_until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages", []))
        stack.send_message(message["Body"])
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    stack.wait_for_record(sent.delivery_id, count=2)
    return sent.delivery_id
