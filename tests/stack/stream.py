"""The stream of the events table, and Lambda's side of it: what reads a stream and invokes a function.

The emulator reads streams and filters their records, but to it a batch of which a part failed is done, no batch is halved, tries are not
counted, and nothing is set aside unless it is old. So what depends on those is driven from here, with the settings of the deployed
mapping, and a process of the real function in the test's hands.

Source: "Using AWS Lambda with Amazon DynamoDB" in the Lambda developer guide, with "Configuring partial batch response" and "Retaining
discarded batches" below it. Where it does not say what happens, the worse is assumed: a batch that is reported to fail at its first
record is not halved.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .function_process import InvocationFailed
from .stack import Stack

Record = dict[str, Any]


def stream_records(stack: Stack) -> list[Record]:
    """All records of the events table's stream, oldest first, as Lambda hands them to a function."""
    client, arn = stack.client("dynamodbstreams"), stack.outputs["EventsStreamArn"]
    [shard] = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = client.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    found: list[Record] = []
    while iterator:
        page = client.get_records(ShardIterator=iterator)
        if not page["Records"]:
            break
        found += page["Records"]
        iterator = page.get("NextShardIterator")
    return [_as_lambda_has_it(record, arn) for record in found]


def _as_lambda_has_it(record: Record, arn: str) -> Record:
    change = record["dynamodb"]
    created = change["ApproximateCreationDateTime"].timestamp()
    return record | {"dynamodb": change | {"ApproximateCreationDateTime": created}, "eventSourceARN": arn}


def matches(pattern: Any, value: Any) -> bool:
    """Whether a value matches a pattern of a mapping's filter, as far as the template uses their language."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(name in value and matches(each, value[name]) for name, each in pattern.items())
    return any(
        value not in each["anything-but"] if isinstance(each, dict) and "anything-but" in each else value == each
        for each in pattern
    )


@dataclass
class Batch:
    records: list[Record]
    tries: int = 0


@dataclass
class StreamMapping:
    """Reads records as the mapping of a function is set, until nothing is left or a test has seen enough."""

    settings: dict[str, Any]
    invoke: Callable[[bytes], Any]
    # The size of each batch that the function was given.
    invocations: list[int] = field(default_factory=list)
    # What was given up: the records of each batch.
    set_aside: list[list[Record]] = field(default_factory=list)

    @classmethod
    def deployed(cls, stack: Stack, invoke: Callable[[bytes], Any], **settings: Any) -> StreamMapping:
        """The mapping of the publisher as it is deployed, but for these settings."""
        found = stack.client("lambda").get_event_source_mapping(UUID=stack.resources["PublisherFunctionNewEvents"])
        assert found["BisectBatchOnFunctionError"] is True
        assert found["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        return cls(found | settings, invoke)

    def filtered(self, records: list[Record]) -> list[Record]:
        patterns = [json.loads(each["Pattern"]) for each in self.settings["FilterCriteria"]["Filters"]]
        return [record for record in records if any(matches(pattern, record) for pattern in patterns)]

    def run(self, records: list[Record]) -> None:
        records = self.filtered(records)
        size = self.settings["BatchSize"]
        waiting = [Batch(records[start : start + size]) for start in range(0, len(records), size)]
        while waiting:
            batch = waiting.pop(0)
            self.invocations.append(len(batch.records))
            try:
                goes_on_at = _goes_on_at(self.invoke(_event(batch.records)), batch.records)
            except InvocationFailed:
                goes_on_at = None
            if goes_on_at == len(batch.records):
                continue
            if goes_on_at is None and len(batch.records) > 1:
                # "Splitting a batch does not consume the retry quota."
                half = len(batch.records) // 2
                waiting[:0] = [Batch(batch.records[:half], batch.tries), Batch(batch.records[half:], batch.tries)]
                continue
            rest = Batch(batch.records[goes_on_at or 0 :], 0 if goes_on_at else batch.tries + 1)
            if rest.tries > self.settings["MaximumRetryAttempts"]:
                self.set_aside.append(rest.records)
            else:
                waiting.insert(0, rest)


def _event(records: list[Record]) -> bytes:
    return json.dumps({"Records": records}).encode()


def _goes_on_at(answer: Any, records: list[Record]) -> int:
    """The place of the first record that is not done: the lowest sequence number that was reported."""
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    reported = [numbers.index(failure["itemIdentifier"]) for failure in (answer or {}).get("batchItemFailures") or []]
    return min(reported, default=len(records))
