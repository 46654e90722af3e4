"""The stories of Machnet deliveries, from the request to the item."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from senders import Sender, message_body, new_id
from signers import MachnetSigner, machnet_event
from stack.stack import Stack


def test_a_first_delivery_is_stored_with_its_attributes(stack: Stack, machnet: Sender) -> None:
    event_id, resource = new_id(), new_id()
    body = machnet_event(event_id, resource)

    sent, outcome = machnet.deliver(body, event="transaction_processed")

    assert outcome == "stored"
    [item] = stack.events(id=event_id)
    assert item["kind"] == "event"
    assert item["outcome"] == "stored"
    assert item["pk"].startswith("machnet#")
    assert item["sk"] == "event"
    assert item["provider"] == "machnet"
    assert item["source"] == "/webhooks/machnet/main"
    assert item["type"] == "machnet.transaction_processed"
    assert item["subject"] == resource
    assert item["datacontenttype"] == "application/json"
    assert item["data"].encode() == body
    assert item["delivery_id"] == sent.delivery_id
    assert item["index"] == 0
    assert "expires_at" not in item


def test_the_same_delivery_again_is_a_duplicate(stack: Stack, machnet: Sender) -> None:
    event_id = new_id()
    body = machnet_event(event_id, new_id())
    first, _ = machnet.deliver(body)

    again, outcome = machnet.deliver(body)

    assert outcome == "duplicate"
    assert again.delivery_id != first.delivery_id
    [item] = stack.events(id=event_id)
    assert item["delivery_id"] == first.delivery_id


def test_of_many_copies_at_once_one_is_stored(stack: Stack, machnet: Sender) -> None:
    event_id = new_id()
    body = machnet_event(event_id, new_id())
    headers = machnet.signer.headers(body)

    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda _: stack.post("machnet", body, headers), range(16)))

    assert {answer.status for answer in answers} == {200}
    outcomes = [machnet.outcome(json.loads(answer.body)["delivery_id"]) for answer in answers]
    assert sorted(outcomes) == ["duplicate"] * 15 + ["stored"]
    assert len(stack.events(id=event_id)) == 1


def test_a_retry_with_a_new_timestamp_is_a_duplicate(stack: Stack, machnet: Sender) -> None:
    event_id, resource = new_id(), new_id()
    machnet.deliver(machnet_event(event_id, resource))

    _, outcome = machnet.deliver(machnet_event(event_id, resource, timestamp="2026-09-01T10:29:38.969"))

    assert outcome == "duplicate"
    assert len(stack.events(id=event_id)) == 1


def test_the_same_state_under_a_new_id_is_kept_as_a_repeat(stack: Stack, machnet: Sender) -> None:
    first_id, second_id, resource = new_id(), new_id(), new_id()
    machnet.deliver(machnet_event(first_id, resource))

    _, outcome = machnet.deliver(machnet_event(second_id, resource, timestamp="2026-09-01T10:29:38.969"))

    assert outcome == "repeat"
    [item] = stack.events(id=second_id)
    assert item["outcome"] == "repeat"
    assert item["repeat_of"] == first_id


def test_other_content_under_an_old_id_is_kept_beside_it_as_a_conflict(stack: Stack, machnet: Sender) -> None:
    event_id, resource = new_id(), new_id()
    old = machnet_event(event_id, resource, payload={"status": "PROCESSED"})
    new = machnet_event(event_id, resource, payload={"status": "FAILED"})
    machnet.deliver(old)

    _, outcome = machnet.deliver(new)

    assert outcome == "conflict"
    kept = {item["outcome"]: item for item in stack.events(id=event_id)}
    assert set(kept) == {"stored", "conflict"}
    assert kept["stored"]["pk"] == kept["conflict"]["pk"]
    assert kept["conflict"]["kind"] == "conflict"
    assert kept["conflict"]["sk"] == f"conflict#{kept['conflict']['digest']}"
    assert kept["stored"]["data"].encode() == old
    assert kept["conflict"]["data"].encode() == new


def test_the_older_field_names_are_understood(stack: Stack, machnet: Sender) -> None:
    event_id, resource = new_id(), new_id()
    body = {
        "persisted_object_id": event_id,
        "event_name": "transaction_initiated",
        "resource_id": resource,
        "sender_id": new_id(),
        "receiver_id": new_id(),
        "subscription_id": new_id(),
        "timestamp": "2017-07-02T22:88:12.120Z",
    }

    _, outcome = machnet.deliver(json.dumps(body).encode())

    assert outcome == "stored"
    [item] = stack.events(id=event_id)
    assert item["subject"] == resource
    assert item["attributes"]["sender_id"] == body["sender_id"]


@pytest.mark.parametrize(
    "body",
    [b'{"id": "unfinished', b"", b"[]", b'{"event_name": "no_id"}', b'{"id":"a","id":"b","event_name":"twice"}'],
    ids=["not-json", "empty", "array", "without-id", "repeated-member"],
)
def test_an_authentic_body_that_is_malformed_is_quarantined_with_its_reason(
    stack: Stack, machnet: Sender, body: bytes
) -> None:
    sent, outcome = machnet.deliver(body)

    assert outcome == "quarantined"
    [item] = stack.items(delivery_id=sent.delivery_id)
    assert item["kind"] == "quarantine"
    assert item["pk"] == f"quarantine#{sent.delivery_id}"
    assert item["sk"] == "00000"
    assert item["outcome"] == "quarantined"
    assert item["reason"]
    assert message_body(item["document"]) == body


def test_a_wrong_signature_is_answered_409_and_nothing_is_queued(stack: Stack, machnet: Sender) -> None:
    body = machnet_event(new_id(), new_id())
    sends = stack.proxy.count("AmazonSQS.SendMessage")

    sent = machnet.send(body, signer=MachnetSigner("some-other-secret-of-a-stranger"))

    assert sent.answer.status == 409
    assert "signature" in sent.answer.problem()["detail"]
    assert (sent.line["outcome"], sent.line["reason"]) == ("rejected", "signature-mismatch")
    assert sent.line["route"] == "/webhooks/machnet"
    assert sent.line["source_address"] and sent.line["api_request_id"]
    assert "x-raas-webhook-signature" in sent.line["header_names"].split()
    assert int(sent.line["content_length"]) == len(body)
    assert stack.proxy.count("AmazonSQS.SendMessage") == sends
    assert stack.items(delivery_id=sent.delivery_id) == []


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "signature-missing"),
        ({"x-raas-webhook-signature": "abc"}, "signature-malformed"),
        ({"x-raas-webhook-signature": "z" * 64}, "signature-malformed"),
    ],
)
def test_a_missing_or_malformed_signature_is_answered_401(
    stack: Stack, machnet: Sender, headers: dict[str, str], reason: str
) -> None:
    calls = len(stack.proxy.calls)

    sent = machnet.post(machnet_event(new_id(), new_id()), headers)

    assert sent.answer.status == 401
    assert "x-raas-webhook-signature" in sent.answer.problem()["detail"]
    assert sent.line["reason"] == reason
    assert len(stack.proxy.calls) == calls, "a refused request calls nothing"
