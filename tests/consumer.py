"""A consumer of a user's own: a rule on the stack's event bus, and the queue behind it."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
from cloudevents.core.formats.json import JSONFormat
from stack.proxy import Request
from stack.stack import Stack
from stack.wait import wait_until

SCHEMAS = Path(__file__).parent.parent / "schemas"
PUT_EVENTS = "AWSEvents.PutEvents"
SOURCES = {"source": [{"prefix": "webhook-intake."}]}


@dataclass(frozen=True)
class Received:
    """An event as the bus hands it over."""

    source: str
    detail_type: str
    envelope: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """What a consumer remembers."""
        return self.envelope["source"], self.envelope["id"]


class Consumer:
    """Receives what its rule matches, from the moment that it is made."""

    def __init__(self, stack: Stack, pattern: dict[str, Any] = SOURCES) -> None:
        self._events, self._sqs, self._bus = stack.client("events"), stack.client("sqs"), stack.outputs["EventBusName"]
        self._name = f"consumer-{uuid.uuid4()}"
        self._received: list[Received] = []
        self._queue = self._sqs.create_queue(QueueName=self._name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rule = self._events.put_rule(Name=self._name, EventBusName=self._bus, EventPattern=json.dumps(pattern))["RuleArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": policy})
        failed = self._events.put_targets(Rule=self._name, EventBusName=self._bus, Targets=[{"Id": "queue", "Arn": arn}])
        assert failed["FailedEntryCount"] == 0, failed

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.remove_targets(Rule=self._name, EventBusName=self._bus, Ids=["queue"])
        self._events.delete_rule(Name=self._name, EventBusName=self._bus)
        self._sqs.delete_queue(QueueUrl=self._queue)

    def received(self) -> list[Received]:
        """Everything that has come so far."""
        while messages := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                event = json.loads(message["Body"])
                self._received.append(Received(event["source"], event["detail-type"], event["detail"]))
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return self._received

    def of(self, *delivery_ids: str) -> list[Received]:
        """What has come of these deliveries."""
        return [each for each in self.received() if each.envelope["deliveryid"] in delivery_ids]

    def wait_for(self, count: int, *delivery_ids: str) -> list[Received]:
        """What comes of these deliveries, once it is this number of different events."""

        def enough() -> list[Received]:
            found = self.of(*delivery_ids)
            return found if len({each.key for each in found}) >= count else []

        return wait_until(enough, what=f"the arrival of {count} events of {len(delivery_ids)} deliveries")


def check(received: Received) -> None:
    """Reads an envelope as a consumer does, with the CloudEvents project's library and the schemas."""
    envelope = received.envelope
    provider = received.source.removeprefix("webhook-intake.")
    for name in ["envelope", provider]:
        jsonschema.Draft7Validator(json.loads((SCHEMAS / f"{name}.json").read_text())).validate(envelope)
    event = JSONFormat().read(None, json.dumps(envelope))
    assert (event.get_specversion(), event.get_id(), event.get_source()) == ("1.0", envelope["id"], envelope["source"])
    assert event.get_type().startswith(f"{provider}.")
    assert event.get_type()[:128] == received.detail_type
    if "data_base64" in envelope:
        assert event.get_data() == base64.b64decode(envelope["data_base64"])
    else:
        assert event.get_data() == envelope.get("data")


def entries(requests: Iterable[Request], *delivery_ids: str) -> list[dict[str, Any]]:
    """What was put on the bus of these deliveries, taken or not."""
    return [
        entry
        for request in requests
        if request.operation == PUT_EVENTS
        for entry in json.loads(request.body)["Entries"]
        if json.loads(entry["Detail"])["deliveryid"] in delivery_ids
    ]
