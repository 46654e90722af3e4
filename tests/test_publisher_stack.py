"""From a provider's request to a consumer's queue: stream, publisher, event bus, rule, SQS.

The emulator plays the mapping between stream and function where it plays it as Lambda does: filters, batches, a function that
fails. Partial failures, halved batches and numbers of tries it does not play; `stack/stream.py` does, with the settings of the
deployed mapping and the real function.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import sterling_batch, sterling_delivery, sterling_event
from consumer import PUT_EVENTS, SOURCES, Consumer, check, entries
from notifications import agent, notification
from nowcerts import LEASE, NowCerts
from operator_commands import run
from senders import Sender, new_event, new_id, outcomes
from signers import machnet_event
from stack.function_process import FunctionProcess, InvocationFailed
from stack.stack import STACK_NAME, Line, Stack
from stack.stream import Record, StreamMapping, stream_records
from stack.wait import wait_until

PUBLISHED = {"stored", "repeat", "conflict"}
IN_HAND = "publisher-in-hand"


@pytest.fixture
def consumer(stack: Stack) -> Iterator[Consumer]:
    with Consumer(stack) as consumer:
        yield consumer


# On the emulated stack as a whole


def test_events_of_each_kind_of_provider_reach_a_consumer_as_cloudevents(
    consumer: Consumer, machnet: Sender, sterling: Sender, nurturecloud: Sender
) -> None:
    event_id, resource, entity = new_id(), new_id(), new_id()
    body = machnet_event(event_id, resource)
    of_machnet, _ = machnet.deliver(body)
    of_sterling, _ = sterling.deliver_batch(sterling_delivery(sterling_batch(*(sterling_event(new_id()) for _ in range(3)))))
    of_nurturecloud, _ = nurturecloud.deliver(notification("Created", agent(entity)))

    [event] = consumer.wait_for(1, of_machnet.delivery_id)
    check(event)
    assert (event.source, event.envelope["outcome"], event.envelope["id"]) == ("webhook-intake.machnet", "stored", event_id)
    assert event.envelope["data"] == json.loads(body)

    batch = consumer.wait_for(3, of_sterling.delivery_id)
    for event in batch:
        check(event)
    assert sorted(event.envelope["deliveryindex"] for event in batch) == [0, 1, 2]

    [event] = consumer.wait_for(1, of_nurturecloud.delivery_id)
    check(event)
    assert (event.envelope["entitychange"], event.envelope["entityversion"]) == ("created", 1)


def test_data_that_are_kept_in_the_bucket_are_in_the_envelope_and_the_largest_are_referred_to(
    stack: Stack, consumer: Consumer, machnet: Sender
) -> None:
    large = machnet_event(new_id(), new_id(), payload={"text": "x" * 100_000})
    largest = machnet_event(new_id(), new_id(), payload={"text": "x" * 300_000})
    sent = [machnet.deliver(body)[0].delivery_id for body in [large, largest]]

    [with_data] = consumer.wait_for(1, sent[0])
    [without] = consumer.wait_for(1, sent[1])
    for event in [with_data, without]:
        check(event)
    assert with_data.envelope["data"] == json.loads(large)
    assert "data" not in without.envelope
    bucket, _, key = without.envelope["dataref"].removeprefix("s3://").partition("/")
    assert (bucket, stack.object(key)) == (stack.outputs["BucketName"], largest)


def test_rules_match_the_provider_the_type_and_the_outcome(stack: Stack, machnet: Sender, accredit: Sender) -> None:
    event_id, resource = new_id(), new_id()
    with contextlib.ExitStack() as rules:
        of_machnet, of_accredit, of_type, repeats, conflicts = (
            rules.enter_context(Consumer(stack, pattern))
            for pattern in [
                {"source": ["webhook-intake.machnet"]},
                {"source": ["webhook-intake.accredit"]},
                {"detail-type": [json.loads(accredit_type(stack, accredit))["type"]]},
                {"source": ["webhook-intake.machnet"], "detail": {"outcome": ["repeat"]}},
                SOURCES | {"detail": {"outcome": ["conflict"]}},
            ]
        )
        stored, _ = machnet.deliver(machnet_event(event_id, resource))
        repeat, _ = machnet.deliver(machnet_event(new_id(), resource, timestamp="2026-09-01T10:29:38.969"))
        conflict, _ = machnet.deliver(machnet_event(event_id, resource, payload={}))
        other, _ = accredit.deliver(new_event("accredit"))
        sent = {stored.delivery_id: "stored", repeat.delivery_id: "repeat", conflict.delivery_id: "conflict"}
        everything = [*sent, other.delivery_id]

        of_machnet.wait_for(3, *sent)
        of_accredit.wait_for(1, other.delivery_id)
        of_type.wait_for(1, other.delivery_id)
        found = {event.envelope["deliveryid"]: event.envelope["outcome"] for event in of_machnet.of(*everything)}
        assert found == sent
        for rule, expected in [(of_accredit, other), (of_type, other), (repeats, repeat), (conflicts, conflict)]:
            [event] = rule.wait_for(1, expected.delivery_id)
            check(event)
            assert rule.of(*everything) == [event]
        [event] = conflicts.of(conflict.delivery_id)
        assert event.envelope["id"].startswith(f"{event_id}#conflict#")
        assert event.envelope["conflictwith"] == event_id
        [event] = repeats.of(repeat.delivery_id)
        assert event.envelope["repeatof"] == event_id


def accredit_type(stack: Stack, accredit: Sender) -> str:
    """The type of an event of Accredit, as the table has it."""
    [item] = stack.events(delivery_id=accredit.deliver(new_event("accredit"))[0].delivery_id)
    return json.dumps({"type": item["type"]})


def test_nothing_but_new_events_is_published(
    stack: Stack, consumer: Consumer, machnet: Sender, nurturecloud: Sender, nowcerts: NowCerts
) -> None:
    dynamodb, table = stack.client("dynamodb"), stack.outputs["EventsTableName"]
    stored, _ = machnet.deliver(body := machnet_event(new_id(), new_id()))
    duplicate, outcome = machnet.deliver(body)
    assert outcome == "duplicate"
    quarantined, outcome = machnet.deliver(b"{")
    assert outcome == "quarantined"
    entity = new_id()
    created, _ = nurturecloud.deliver(notification("Created", agent(entity)))
    same_state, outcome = nurturecloud.deliver(notification("Created", agent(entity)))
    assert outcome == "duplicate"
    # A lease comes and goes, an event is changed as erasure would change it, and another is removed as at the end of its time.
    nowcerts.drain()
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="delivery_id = :delivery AND kind = :event",
        ExpressionAttributeValues={":delivery": {"S": stored.delivery_id}, ":event": {"S": "event"}},
    )
    [item] = [item for page in pages for item in page["Items"]]
    dynamodb.put_item(TableName=table, Item=item | {"data": {"S": "{}"}})
    dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ["pk", "sk"]})
    last, _ = machnet.deliver(new_event("machnet"))

    # One shard is read in order, so what was before the last event has come by then.
    consumer.wait_for(1, last.delivery_id)
    sent = [each.delivery_id for each in [stored, duplicate, quarantined, created, same_state, last]]
    assert [event.envelope["deliveryid"] for event in consumer.of(*sent)] == [
        each.delivery_id for each in [stored, created, last]
    ]
    assert [event.envelope.get("data") for event in consumer.of(stored.delivery_id)] == [json.loads(body)]

    # The mapping's filter alone leaves the others out, so that no invocation is paid for them.
    records = stream_records(stack)
    kept = StreamMapping.deployed(stack, invoke=lambda _: None).filtered(records)
    kinds = Counter((record["eventName"], record["dynamodb"].get("NewImage", {}).get("kind", {}).get("S")) for record in records)
    assert kinds.keys() >= {
        ("INSERT", "alias"), ("INSERT", "delivery"), ("INSERT", "quarantine"), ("INSERT", None), ("MODIFY", "event"),
        ("REMOVE", None),
    }, kinds
    found = [
        (record["eventName"], image["kind"]["S"], image["outcome"]["S"] in PUBLISHED)
        for record in kept
        for image in [record["dynamodb"]["NewImage"]]
    ]
    assert set(found) <= {("INSERT", "event", True), ("INSERT", "conflict", True)}
    of_these = [record["dynamodb"]["NewImage"]["delivery_id"]["S"] for record in kept]
    assert [each for each in of_these if each in sent] == [each.delivery_id for each in [stored, created, last]]
    assert LEASE["pk"]["S"] in {record["dynamodb"]["Keys"]["pk"]["S"] for record in records}


def test_what_leaves_quarantine_is_published_when_it_does_and_once(stack: Stack, consumer: Consumer, nurturecloud: Sender) -> None:
    ours, theirs = new_id(), new_id()
    body = notification("Created", agent(new_id(), businessId=ours), agent(new_id(), businessId=theirs))
    with stack.settings("processor", NURTURECLOUD_BUSINESSES=ours):
        sent, found = nurturecloud.deliver_batch(body)
    assert found == ["stored", "quarantined"]
    [first] = consumer.wait_for(1, sent.delivery_id)

    done = run(stack, "quarantine", "release", sent.delivery_id, "--stack", STACK_NAME)
    assert done.returncode == 0, done.stderr
    assert outcomes(stack.wait_for_record(sent.delivery_id, count=2)[-1]) == ["stored", "stored"]
    last, _ = nurturecloud.deliver(new_event("nurturecloud"))

    consumer.wait_for(1, last.delivery_id)
    _, released = consumer.of(sent.delivery_id)
    check(released)
    assert (first.envelope["deliveryindex"], released.envelope["deliveryindex"]) == (0, 1)
    # The mark on the quarantine is a change, and so no event.
    marks = [
        record["eventName"]
        for record in stream_records(stack)
        if "released" in record["dynamodb"].get("NewImage", {}) and sent.delivery_id in json.dumps(record)
    ]
    assert marks == ["MODIFY"]


def test_a_publisher_that_is_killed_after_the_bus_has_an_event_publishes_it_again(
    stack: Stack, consumer: Consumer, machnet: Sender
) -> None:
    before = stack.proxy.count(PUT_EVENTS)
    with stack.proxy.fault(PUT_EVENTS, "late-answer", times=1):
        sent, _ = machnet.deliver(new_event("machnet"))
        wait_until(lambda: stack.proxy.count(PUT_EVENTS) > before, what="the call that is not answered")
        stack.kill("publisher")
        wait_until(lambda: len(consumer.of(sent.delivery_id)) == 2, what="the second time")
    one, other = consumer.of(sent.delivery_id)
    assert one == other


def test_a_bus_that_throttles_one_of_ten_gets_that_one_again_and_the_others_once(
    stack: Stack, consumer: Consumer, sterling: Sender
) -> None:
    items = sterling_batch(*(sterling_event(new_id()) for _ in range(30)))
    with stack.proxy.recording() as requests, stack.proxy.fault(PUT_EVENTS, "throttle-entry", times=4):
        sent, _ = sterling.deliver_batch(sterling_delivery(items))
        consumer.wait_for(30, sent.delivery_id)
    found = consumer.of(sent.delivery_id)
    assert len(found) == 30, "none is there twice"
    put = Counter(json.loads(entry["Detail"])["id"] for entry in entries(requests, sent.delivery_id))
    # Four entries were thrown back. One may have been thrown back twice.
    assert sum(put.values()) == 34
    assert failures(stack, sent.delivery_id) == []


def failures(stack: Stack, delivery_id: str) -> list[Line]:
    return [line for line in stack.lines("publisher", "an event is not published") if line.get("delivery_id") == delivery_id]


def test_a_bus_that_is_away_is_waited_for(stack: Stack, consumer: Consumer, machnet: Sender) -> None:
    with stack.proxy.fault(PUT_EVENTS, "access-denied", times=3):
        sent, _ = machnet.deliver(new_event("machnet"))
        consumer.wait_for(1, sent.delivery_id)
    assert len(consumer.of(sent.delivery_id)) == 1
    # By one invocation, so that none of the tries is used up.
    assert failures(stack, sent.delivery_id) == []


def test_a_record_that_is_given_up_is_named_in_the_queue_and_the_stream_goes_on(
    stack: Stack, consumer: Consumer, machnet: Sender
) -> None:
    """The emulator gives a record up because of its age only."""
    dynamodb, table = stack.client("dynamodb"), stack.outputs["EventsTableName"]
    first, _ = machnet.deliver(new_event("machnet"))
    consumer.wait_for(1, first.delivery_id)
    key = {"pk": {"S": "unreadable#1"}, "sk": {"S": "event"}}
    with records_of_a_second_are_old(stack):
        dynamodb.put_item(TableName=table, Item=key | {"kind": {"S": "event"}, "outcome": {"S": "stored"}})
        wait_until(lambda: stack.messages("UnpublishedQueueUrl"), what="the message about what was given up")
    [message] = stack.peek("UnpublishedQueueUrl")
    document = json.loads(message)
    assert document["DDBStreamBatchInfo"]["batchSize"] == 1
    assert document["DDBStreamBatchInfo"]["streamArn"] == stack.outputs["EventsStreamArn"]
    line = stack.lines("publisher", "an event is not published")[-1]
    assert line["sequence_number"] == document["DDBStreamBatchInfo"]["startSequenceNumber"]
    assert "the item at unreadable#1 event cannot be read as an event" in line["error"]

    last, _ = machnet.deliver(new_event("machnet"))
    consumer.wait_for(1, last.delivery_id)
    dynamodb.delete_item(TableName=table, Key=key)
    stack.client("sqs").purge_queue(QueueUrl=stack.outputs["UnpublishedQueueUrl"])


@contextlib.contextmanager
def records_of_a_second_are_old(stack: Stack) -> Iterator[None]:
    client, mapping = stack.client("lambda"), stack.resources["PublisherFunctionNewEvents"]
    before = client.get_event_source_mapping(UUID=mapping)["MaximumRecordAgeInSeconds"]
    client.update_event_source_mapping(UUID=mapping, MaximumRecordAgeInSeconds=1)
    try:
        yield
    finally:
        client.update_event_source_mapping(UUID=mapping, MaximumRecordAgeInSeconds=before)


def test_with_publishers_killed_all_the_while_consumers_have_each_event_and_no_other(
    stack: Stack, consumer: Consumer, machnet: Sender, sterling: Sender, nurturecloud: Sender
) -> None:
    chance, stop, kills = random.Random(7), threading.Event(), []

    def kill() -> None:
        while not stop.wait(chance.uniform(0.05, 0.4)):
            stack.kill("publisher")
            kills.append(1)

    sent: list[str] = []
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(8):
            event_id, resource, entity = new_id(), new_id(), new_id()
            bodies = [
                (machnet, machnet_event(event_id, resource)),
                (machnet, machnet_event(event_id, resource)),
                (machnet, machnet_event(new_id(), resource, timestamp="2026-09-01T10:29:38.969")),
                (machnet, machnet_event(event_id, resource, payload={})),
                (machnet, b"{"),
                (sterling, sterling_delivery(sterling_batch(*(sterling_event(new_id()) for _ in range(15))))),
                (nurturecloud, notification("Created", agent(entity))),
                (nurturecloud, notification("Updated", agent(entity, note="n"))),
                (nurturecloud, notification("Updated", agent(entity, note="n"))),
            ]
            sent += [sender.deliver_batch(body)[0].delivery_id for sender, body in bodies]
    finally:
        stop.set()
        killer.join()

    decided = Counter(
        outcome for delivery_id in sent for outcome in outcomes(stack.wait_for_record(delivery_id)[-1])
    )
    assert decided == {"stored": 8 * 18, "repeat": 8, "conflict": 8, "duplicate": 2 * 8, "quarantined": 8}
    expected = sum(decided[outcome] for outcome in PUBLISHED)
    found = consumer.wait_for(expected, *sent)
    assert len(kills) > 5
    assert Counter({event.key: event.envelope["outcome"] for event in found}.values()) == {
        outcome: decided[outcome] for outcome in PUBLISHED
    }
    print(f"{len(kills)} kills, {len(found)} envelopes, {expected} events: {dict(decided)}")


# What the emulator does not play


class Publishers:
    """The function as it is deployed, in a process that is started again when it was killed."""

    def __init__(self, stack: Stack, log: Path) -> None:
        self._stack, self._log = stack, log
        self._process = self._start()

    def _start(self) -> FunctionProcess:
        # A name of its own, because the deployed publisher has the same records.
        return FunctionProcess.deployed(self._stack, "publisher", self._log, AWS_SDK_UA_APP_ID=IN_HAND)

    def invoke(self, event: bytes) -> Any:
        try:
            return self._process.invoke(event)
        except InvocationFailed as failure:
            if "the process ended" in str(failure):
                self._process.close()
                self._process = self._start()
            raise

    def __enter__(self) -> Publishers:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def kill(self) -> None:
        self._process.close()

    def lines(self, message: str) -> list[dict[str, Any]]:
        return self._process.lines(message)


@pytest.fixture
def publishers(stack: Stack, tmp_path: Path) -> Iterator[Publishers]:
    with Publishers(stack, tmp_path / "publisher.log") as publishers:
        yield publishers


def recorded(stack: Stack, sterling: Sender, count: int) -> tuple[str, list[Record]]:
    """A delivery of so many events, and their records in the stream."""
    sent, _ = sterling.deliver_batch(sterling_delivery(sterling_batch(*(sterling_event(new_id()) for _ in range(count)))))
    mapping = StreamMapping.deployed(stack, invoke=lambda _: None)
    records = [
        record
        for record in mapping.filtered(stream_records(stack))
        if record["dynamodb"]["NewImage"].get("delivery_id") == {"S": sent.delivery_id}
    ]
    assert len(records) == count
    return sent.delivery_id, records


def unreadable(record: Record) -> Record:
    """A record of an event that only a later version can read."""
    changed = copy.deepcopy(record)
    del changed["dynamodb"]["NewImage"]["source"]
    return changed


def ids(records: list[Record]) -> set[str]:
    return {record["dynamodb"]["NewImage"]["id"]["S"] for record in records}


def put_ids(requests: Any, delivery_id: str) -> Counter[str]:
    """How often the publisher in the test's hands put each event of a delivery on the bus, taken or not."""
    requests = [request for request in requests if request.caller == IN_HAND]
    return Counter(json.loads(entry["Detail"])["id"] for entry in entries(requests, delivery_id))


@pytest.mark.parametrize("place", [0, 1, 12, 29])
def test_a_poison_item_is_set_aside_alone_and_nothing_around_it_is_lost(
    stack: Stack, sterling: Sender, publishers: Publishers, place: int
) -> None:
    delivery_id, records = recorded(stack, sterling, 30)
    records[place] = unreadable(records[place])
    mapping = StreamMapping.deployed(stack, publishers.invoke, MaximumRetryAttempts=3)

    with stack.proxy.recording() as requests:
        mapping.run(records)

    assert mapping.set_aside == [[records[place]]]
    put = put_ids(requests, delivery_id)
    assert put.keys() == ids(records) - ids([records[place]])
    # What was published before it was not published again with each try.
    assert max(put.values()) == 1
    # Once in the whole batch, then in halves until it is alone, then four times alone.
    assert mapping.invocations.count(1) >= 4
    line = publishers.lines("an event is not published")[-1]
    assert line["sequence_number"] == records[place]["dynamodb"]["SequenceNumber"]


def test_two_poison_items_are_each_set_aside_alone(stack: Stack, sterling: Sender, publishers: Publishers) -> None:
    delivery_id, records = recorded(stack, sterling, 12)
    for place in [4, 5]:
        records[place] = unreadable(records[place])
    mapping = StreamMapping.deployed(stack, publishers.invoke, MaximumRetryAttempts=2, BatchSize=10)

    with stack.proxy.recording() as requests:
        mapping.run(records)

    assert mapping.set_aside == [[records[4]], [records[5]]]
    assert put_ids(requests, delivery_id).keys() == ids(records) - ids(records[4:6])


def test_publishers_killed_in_the_middle_of_batches_lose_nothing(
    stack: Stack, sterling: Sender, publishers: Publishers
) -> None:
    delivery_id, records = recorded(stack, sterling, 60)
    killed: list[int] = []

    def invoke(event: bytes) -> Any:
        # Of every other invocation, one call to the bus is not answered in time, and the process ends meanwhile.
        if len(killed) >= 6 or len(mapping.invocations) % 2:
            return publishers.invoke(event)
        seen = stack.proxy.count(PUT_EVENTS)
        with stack.proxy.fault(PUT_EVENTS, "late-answer", times=1):
            def kill() -> None:
                wait_until(lambda: stack.proxy.count(PUT_EVENTS) > seen, what="a call to the bus")
                publishers.kill()

            killing = threading.Thread(target=kill)
            killing.start()
            try:
                return publishers.invoke(event)
            finally:
                killing.join()
                killed.append(1)

    mapping = StreamMapping.deployed(stack, invoke, BatchSize=25)
    with stack.proxy.recording() as requests:
        mapping.run(records)

    assert (mapping.set_aside, len(killed) > 2) == ([], True)
    put = put_ids(requests, delivery_id)
    assert put.keys() == ids(records)
    assert sum(put.values()) > 60, "some twice"


def test_a_batch_of_which_the_bus_takes_nothing_until_the_time_is_up_fails(
    stack: Stack, sterling: Sender, publishers: Publishers
) -> None:
    _, records = recorded(stack, sterling, 15)
    with stack.proxy.fault(PUT_EVENTS, "access-denied"), pytest.raises(InvocationFailed) as failure:
        publishers.invoke(json.dumps({"Records": records}).encode())
    first = records[0]["dynamodb"]["SequenceNumber"]
    assert f"nothing of the batch is published from record {first} on" in str(failure.value)


def test_without_usable_settings_every_batch_fails_and_the_stream_waits(
    stack: Stack, sterling: Sender, tmp_path: Path
) -> None:
    _, records = recorded(stack, sterling, 2)
    with FunctionProcess.deployed(stack, "publisher", tmp_path / "log", EVENT_BUS="") as process:
        with pytest.raises(InvocationFailed, match="nothing of the batch is published"):
            process.invoke(json.dumps({"Records": records}).encode())
        assert "EVENT_BUS" in (tmp_path / "log").read_text()
