"""Bodies around the limits: 1 MiB for a queue message, 4 MiB for a body."""

from __future__ import annotations

import json

from senders import Sender, message_body, new_id
from signers import machnet_event
from stack.stack import Stack

KIB, MIB = 1024, 1024 * 1024


def sized_event(event_id: str, size: int) -> bytes:
    """A Machnet event of exactly `size` bytes."""
    empty = machnet_event(event_id, new_id(), payload="")
    return empty.replace(b'"payload": ""', b'"payload": "' + b"x" * (size - len(empty)) + b'"')


def test_a_message_just_below_the_limit_is_sent_whole(stack: Stack, machnet: Sender) -> None:
    event_id = new_id()
    body = sized_event(event_id, MIB - 2 * KIB)
    offloaded = stack.objects("deliveries/")

    sent, outcome = machnet.deliver(body)

    assert outcome == "stored"
    assert "offloaded" not in sent.line
    assert stack.objects("deliveries/") == offloaded
    assert _data(stack, event_id) == body


def test_a_message_above_the_limit_leaves_its_body_in_the_bucket(stack: Stack, machnet: Sender) -> None:
    event_id = new_id()
    body = sized_event(event_id, MIB)
    before = set(stack.objects("deliveries/"))

    sent, outcome = machnet.deliver(body)

    assert outcome == "stored"
    assert sent.line["offloaded"] is True
    [key] = set(stack.objects("deliveries/")) - before
    assert sent.delivery_id in key
    assert stack.object(key) == body
    assert _data(stack, event_id) == body


def test_a_small_event_is_kept_in_the_item_and_a_large_one_beside_it(stack: Stack, machnet: Sender) -> None:
    small, large = new_id(), new_id()

    machnet.deliver(sized_event(small, 16 * KIB))
    machnet.deliver(sized_event(large, 16 * KIB + 1))

    [item] = stack.events(id=small)
    assert len(item["data"]) == 16 * KIB
    [item] = stack.events(id=large)
    assert item["data_size_bytes"] == 16 * KIB + 1
    assert item["data_key"].startswith("events/")


def test_a_body_at_the_limit_is_accepted(stack: Stack, machnet: Sender) -> None:
    event_id = new_id()
    body = sized_event(event_id, 4 * MIB)

    _, outcome = machnet.deliver(body)

    assert outcome == "stored"
    assert _data(stack, event_id) == body


def test_a_body_above_the_limit_is_answered_413_with_the_limit(stack: Stack, machnet: Sender) -> None:
    calls = len(stack.proxy.calls)

    sent = machnet.send(sized_event(new_id(), 4 * MIB + 1))

    assert sent.answer.status == 413
    assert "4194304" in sent.answer.problem()["detail"]
    assert sent.line["reason"] == "body-too-large"
    assert len(stack.proxy.calls) == calls


def test_a_large_body_of_any_bytes_is_kept_exactly(stack: Stack, machnet: Sender) -> None:
    body = bytes(range(256)) * (6 * KIB)

    sent, outcome = machnet.deliver(body, content_type="application/octet-stream")

    assert outcome == "quarantined"
    [item] = stack.items(delivery_id=sent.delivery_id)
    document = json.loads(item["document"])
    kept = document["body"]["payload"]["key"] if "payload" in document["body"] else None
    assert (stack.object(kept) if kept else message_body(item["document"])) == body
    assert kept is None or kept.startswith("quarantine/"), "what is quarantined does not expire"


def _data(stack: Stack, event_id: str) -> bytes:
    """An event's data, from wherever it is kept."""
    [item] = stack.events(id=event_id)
    return stack.object(item["data_key"]) if "data_key" in item else item["data"].encode()
