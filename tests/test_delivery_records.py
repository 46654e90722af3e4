"""The record of each delivery: headers, bytes and outcomes, as an operator finds them in the events table."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from authority import sterling_batch, sterling_event
from notifications import agent
from senders import Sender, Sent, new_id, outcomes
from signers import PathSecret, machnet_event
from stack.stack import Item, Line, Stack
from stack.wait import wait_until

KIB = 1024


def record_of(stack: Stack, sent: Sent) -> Item:
    record = stack.delivery_record(sent.delivery_id)
    assert record is not None
    return record


def headers_of(record: Item) -> dict[str, str]:
    names = [name for name, _ in record["headers"]]
    assert len(names) == len(set(names)), names
    return {name: value for name, value in record["headers"]}


def outcomes_of(record: Item) -> list[tuple[int, str]]:
    return [(int(event["index"]), event["outcome"]) for event in record["outcomes"]]


def batch(size: int, count: int) -> bytes:
    """A batch that no serialiser would write again in the same bytes."""
    events = [json.dumps(sterling_event(new_id(), note="Zoë ✓" + "x" * size), ensure_ascii=False) for _ in range(count)]
    return ('{"eventbatch" :\r\n[ {"channel":"\\u00e9", "events":[' + " ,\n".join(events) + "]}]}\n").encode()


def array(size: int, count: int) -> bytes:
    entities = [json.dumps(agent(new_id(), name="Ünal 😀" + "x" * size), ensure_ascii=False) for _ in range(count)]
    return (
        '{ "domainComponentName":"agent",\t"state":"Updated","payload":[' + " , ".join(entities) + "]}\n\n"
    ).encode()


@pytest.mark.parametrize(("size", "place"), [(10, "body"), (8 * KIB, "body_key")])
@pytest.mark.parametrize("provider", ["sterling", "nurturecloud"])
def test_a_batch_and_an_array_are_kept_byte_for_byte(
    stack: Stack, request: pytest.FixtureRequest, provider: str, size: int, place: str
) -> None:
    sender: Sender = request.getfixturevalue(provider)
    body = (batch if provider == "sterling" else array)(size, 3)

    sent, found = sender.deliver_batch(body, content_type="application/json; charset=utf-8")

    record = record_of(stack, sent)
    assert stack.body_of(record) == body
    assert [name for name in record if name.startswith("body_") and name != "body_bytes" or name == "body"] == [place]
    assert (record["sha256"], int(record["body_bytes"])) == (hashlib.sha256(body).hexdigest(), len(body))
    assert outcomes_of(record) == list(enumerate(found)) == [(0, "stored"), (1, "stored"), (2, "stored")]
    assert (record["provider"], int(record["events"])) == (provider, 3)
    assert {"account": sent.line["account"], "key_fingerprint": sent.line["key_fingerprint"]}.items() <= record.items()
    headers = headers_of(record)
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["content-length"] == str(len(body))
    assert "host" in headers
    if provider == "sterling":
        assert headers["intake-omitted-headers"] == "authorization"


def test_headers_are_kept_but_for_credentials(stack: Stack, machnet: Sender) -> None:
    body = machnet_event(new_id(), new_id())
    kept = {"X-Request-Id": new_id(), "X-Odd": "a, b;c", "X-Raas-Event": "transaction_processed"}
    hush = {"Cookie": "hush=1", "X-Api-Key": "hush", "Authorization": "Basic hush", "X-Session-Token": "hush"}

    sent = machnet.post(body, machnet.signer.headers(body) | kept | hush)
    machnet.outcome(sent.delivery_id)

    record = record_of(stack, sent)
    headers = headers_of(record)
    assert {name.lower(): value for name, value in kept.items()}.items() <= headers.items()
    assert headers["x-raas-webhook-signature"] == machnet.signer.headers(body)["x-raas-webhook-signature"]
    # An HTTP API hands cookies over beside the headers.
    omitted = set(headers["intake-omitted-headers"].split(", "))
    assert omitted | {"cookie"} == {name.lower() for name in hush}
    assert "hush" not in json.dumps(record, default=str)


def test_no_header_that_repeats_a_token_or_the_secret_of_a_url_is_kept(
    stack: Stack, sterling: Sender, nurturecloud: Sender, path_secret: PathSecret
) -> None:
    body = batch(10, 1)
    signed = sterling.signer.headers(body)
    token = signed["Authorization"].removeprefix("Bearer ")
    with_token = sterling.post(body, signed | {"X-Echo": f"a {token} b", "X-Hop": "1"})
    sterling.outcome(with_token.delivery_id)
    with_secret = nurturecloud.send(array(10, 1))
    again = nurturecloud.post(
        array(10, 1), {"X-Original-Uri": f"https://proxy{path_secret.path}?a=b", "X-Hop": "1"}, path_secret.path
    )
    for sent in (with_secret, again):
        nurturecloud.outcome(sent.delivery_id)

    echoed, plain, repeated = (headers_of(record_of(stack, sent)) for sent in (with_token, with_secret, again))

    assert (echoed["x-hop"], repeated["x-hop"]) == ("1", "1")
    assert set(echoed["intake-omitted-headers"].split(", ")) == {"authorization", "x-echo"}
    assert "intake-omitted-headers" not in plain
    assert repeated["intake-omitted-headers"] == "x-original-uri"


def test_a_duplicate_names_the_first_delivery_and_has_its_own_bytes(stack: Stack, machnet: Sender) -> None:
    body = machnet_event(new_id(), new_id())
    spaced = json.dumps(json.loads(body), indent=3).encode()
    assert spaced != body

    first, stored = machnet.deliver(body)
    same, again = machnet.deliver(body)
    other, once_more = machnet.deliver(spaced)

    assert (stored, again, once_more) == ("stored", "duplicate", "duplicate")
    records = [record_of(stack, sent) for sent in (first, same, other)]
    assert [stack.body_of(record) for record in records] == [body, body, spaced]
    assert records[0]["body_of_event"] == records[1]["body_of_event"], "kept once"
    assert records[2]["body"].encode() == spaced
    firsts = [record["outcomes"][0].get("first_delivery") for record in records]
    assert firsts == [None, first.delivery_id, first.delivery_id]
    assert len(stack.items(delivery_id=first.delivery_id)) > 0
    assert stack.items(delivery_id=same.delivery_id) == []


@pytest.mark.parametrize("body", [b"\xff\xfe not an event", b"{" + b" " * 20 * KIB], ids=["no UTF-8", "large"])
def test_what_is_quarantined_is_kept_byte_for_byte(stack: Stack, machnet: Sender, body: bytes) -> None:
    sent, outcome = machnet.deliver(body, content_type="application/octet-stream")

    record = record_of(stack, sent)
    assert outcome == "quarantined"
    assert outcomes_of(record) == [(0, "quarantined")]
    assert stack.body_of(record) == body


def test_a_large_event_is_kept_once(stack: Stack, machnet: Sender) -> None:
    content = json.loads(machnet_event(new_id(), new_id()))
    body = json.dumps(content | {"filling": "x" * 1_200_000}).encode()

    sent, _ = machnet.deliver(body)

    record = record_of(stack, sent)
    assert stack.body_of(record) == body
    [item] = stack.events(delivery_id=sent.delivery_id)
    assert record["body_of_event"] == {"pk": item["pk"], "sk": item["sk"]}


@pytest.fixture
def prompt_queue(stack: Stack) -> Iterator[None]:
    """A queue that redelivers after seconds, but not while a record is being written."""
    sqs, queue = stack.client("sqs"), stack.outputs["QueueUrl"]
    patient = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "12"})
    yield
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=patient)


def test_a_record_that_s3_refuses_is_written_with_the_redelivery(
    stack: Stack, sterling: Sender, prompt_queue: None
) -> None:
    body = batch(8 * KIB, 3)

    with stack.proxy.fault("S3.PutObject", "unavailable"):
        sent = sterling.send(body)
        [line] = wait_until(lambda: failures(stack, sent)[:1], what="the failed record")

    assert line["recorded"] == 3, "the events are recorded all the same"
    assert "the record of the delivery is not" in line["error"]
    assert outcomes(stack.wait_for_record(sent.delivery_id)[-1]) == ["stored"] * 3
    record = record_of(stack, sent)
    assert stack.body_of(record) == body
    assert outcomes_of(record) == [(0, "stored"), (1, "stored"), (2, "stored")]
    assert len(stack.events(delivery_id=sent.delivery_id)) == 3


def failures(stack: Stack, sent: Sent) -> list[Line]:
    return [line for line in stack.lines("processor", "record failed") if line.get("delivery_id") == sent.delivery_id]


def test_records_are_listed_by_provider_and_time_from_the_index_alone(stack: Stack, sterling: Sender) -> None:
    sent, _ = sterling.deliver_batch(batch(10, 2))

    record = record_of(stack, sent)
    hour = record["received_at"][:13]
    found: list[Any] = []
    for shard in range(4):
        answer = stack.client("dynamodb").query(
            TableName=stack.outputs["EventsTableName"],
            IndexName="by_time",
            KeyConditionExpression="time_bucket = :bucket AND time_order > :since",
            ExpressionAttributeValues={
                ":bucket": {"S": f"deliveries#sterling#{hour}#{shard}"},
                ":since": {"S": record["received_at"]},
            },
        )
        found += answer["Items"]
    [entry] = [entry for entry in found if entry["pk"]["S"] == f"delivery#{sent.delivery_id}"]
    assert set(entry) == {"pk", "sk", "time_bucket", "time_order"}
    order = f"{record['received_at']}#{sent.delivery_id}#stored=2#sterling.supplyChange"
    assert entry["time_order"]["S"] == order


def test_a_record_expires_thirty_days_after_it_was_written(stack: Stack, machnet: Sender) -> None:
    sent, _ = machnet.deliver(machnet_event(new_id(), new_id()))

    record = record_of(stack, sent)
    left = int(record["expires_at"]) - time.time()
    assert 30 * 86_400 - 120 < left <= 30 * 86_400
    times = [datetime.fromisoformat(record[name]) for name in ("received_at", "recorded_at")]
    assert times == sorted(times)
    [event] = stack.events(delivery_id=sent.delivery_id)
    assert "expires_at" not in event, "an identity never expires"
