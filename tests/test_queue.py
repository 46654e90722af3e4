"""What SQS does to the processor: redeliveries, poison messages, and messages of another version."""

from __future__ import annotations

import json

import pytest
from senders import Sender, new_id
from signers import machnet_event
from stack.stack import Stack
from stack.wait import wait_until


@pytest.fixture
def captured(stack: Stack, machnet: Sender) -> dict[str, object]:
    """A queue message written by the intake, of a delivery that was not processed yet."""
    with stack.held_queue():
        sent = machnet.send(machnet_event(new_id(), new_id()))
        assert sent.answer.status == 200
        [message] = stack.take_messages(1)
    document = json.loads(message)
    assert document["delivery_id"] == sent.delivery_id
    return document


def test_a_message_that_sqs_delivers_twice_is_recorded_once(stack: Stack, captured: dict[str, object]) -> None:
    delivery_id = str(captured["delivery_id"])

    stack.send_message(json.dumps(captured))
    stack.wait_for_record(delivery_id)
    stack.send_message(json.dumps(captured))
    records = stack.wait_for_record(delivery_id, count=2)

    assert [record["outcomes"] for record in records] == ["0=stored", "0=stored"]
    assert len(stack.events(delivery_id=delivery_id)) == 1


def test_two_copies_at_once_are_recorded_once(stack: Stack, captured: dict[str, object]) -> None:
    delivery_id = str(captured["delivery_id"])
    entries = [{"Id": str(number), "MessageBody": json.dumps(captured)} for number in range(4)]

    stack.client("sqs").send_message_batch(QueueUrl=stack.outputs["QueueUrl"], Entries=entries)
    records = stack.wait_for_record(delivery_id, count=4)

    assert {record["outcomes"] for record in records} == {"0=stored"}
    assert len(stack.events(delivery_id=delivery_id)) == 1


def test_a_poison_message_fails_alone_and_ends_in_the_dead_letter_queue(
    stack: Stack, captured: dict[str, object], impatient_queue: int
) -> None:
    dead = stack.messages("DeadLetterQueueUrl")
    failed = stack.counters("processor").get(("failed", ()), 0)
    poison = [
        "not a document",
        json.dumps(captured | {"version": 999}),
        json.dumps({name: value for name, value in captured.items() if name != "body"}),
        json.dumps(captured | {"sha256": "0" * 64}),
    ]
    entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate([*poison, json.dumps(captured)])]

    stack.client("sqs").send_message_batch(QueueUrl=stack.outputs["QueueUrl"], Entries=entries)

    [record] = stack.wait_for_record(str(captured["delivery_id"]))
    assert record["outcomes"] == "0=stored"
    wait_until(lambda: stack.messages("DeadLetterQueueUrl") == dead + len(poison), what="the end of the poison")
    assert stack.messages() == 0
    assert len(stack.items(delivery_id=captured["delivery_id"])) == 1
    expected = failed + impatient_queue * len(poison)
    wait_until(lambda: stack.counters("processor").get(("failed", ()), 0) == expected, what="the counter")
    assert all("error" in line for line in stack.lines("processor", "record failed"))


def test_a_record_that_may_not_be_written_waits_until_it_may(
    stack: Stack, machnet: Sender, impatient_queue: int
) -> None:
    event_id = new_id()

    with stack.without_permission("ProcessorRole", ["dynamodb:PutItem", "dynamodb:GetItem"], "EventsTable"):
        sent = machnet.send(machnet_event(event_id, new_id()))
        assert sent.answer.status == 200
        wait_until(
            lambda: any("AccessDenied" in line["error"] for line in stack.lines("processor", "record failed")),
            what="the failure",
        )
        assert stack.events(id=event_id) == []

    assert machnet.outcome(sent.delivery_id) == "stored"
    assert len(stack.events(id=event_id)) == 1


def test_a_quarantined_message_can_be_sent_again_unchanged(stack: Stack, machnet: Sender) -> None:
    sent, _ = machnet.deliver(b'{"event_name": "without an id"}')
    [item] = stack.items(delivery_id=sent.delivery_id)

    stack.send_message(item["document"])

    records = stack.wait_for_record(sent.delivery_id, count=2)
    assert [record["outcomes"] for record in records] == ["0=quarantined", "0=quarantined"]
    assert stack.items(delivery_id=sent.delivery_id) == [item]
