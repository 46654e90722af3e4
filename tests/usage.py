"""What a delivery uses of AWS, counted as AWS bills it: calls, write and read units, stored bytes, log bytes, counters.

Sources: "DynamoDB item sizes and formats" and "DynamoDB on-demand capacity mode" in the DynamoDB developer guide for units
and sizes; "Amazon SQS pricing" for 64 KB a request; `PutLogEvents` in the CloudWatch Logs API reference for the 26 bytes that
each line has beside its text.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from stack.proxy import Request
from stack.stack import Stack
from stack.wait import wait_until

Item = dict[str, dict[str, Any]]
# Size of a line beside its text.
LOG_EVENT_BYTES = 26
SQS_REQUEST_BYTES = 64 * 1024
WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096
# What DynamoDB adds to each stored item, and to each entry of an index.
STORED_ITEM_BYTES = 100


@dataclass
class Usage:
    """What something used, by the name of the thing."""

    log_bytes: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    amounts: Counter[str] = field(default_factory=Counter)
    # The metrics that its counters make of themselves in CloudWatch, each billed: `accepted{provider=machnet}`.
    metrics: set[str] = field(default_factory=set)


def measure(stack: Stack, binaries: list[str], act: Callable[[], Any]) -> Usage:
    """What `act` uses of these functions until the queue is empty again. They must have been called before: a cold start reads
    its secret and may log more."""
    wait_until(lambda: stack.messages() == 0, what="an empty queue")
    before = {binary: _lines(stack, binary) for binary in binaries}
    with stack.proxy.recording() as requests:
        act()
        # A message is deleted once its invocation has ended, and with that everything is written.
        wait_until(lambda: stack.messages() == 0, what="an empty queue")
    usage = Usage()
    for binary in binaries:
        after = _lines(stack, binary)
        for line in (line for file, lines in after.items() for line in lines[len(before[binary].get(file, [])) :]):
            usage.log_bytes[binary] += len(line) + LOG_EVENT_BYTES
            usage.metrics |= _metrics(line)
    tables = Tables(stack)
    for request in (each for each in requests if each.caller in binaries):
        usage.calls[request.operation] += 1
        usage.amounts.update(tables.amounts(request))
    return usage


def _lines(stack: Stack, binary: str) -> dict[Path, list[bytes]]:
    """The lines of each process of a function."""
    return {file: file.read_bytes().splitlines() for file in stack.log_files(binary)}


def _metrics(line: bytes) -> set[str]:
    """The metrics that CloudWatch makes of an embedded metric format line."""
    document = json.loads(line)
    return {
        f"{metric['Name']}{{{', '.join(f'{name}={document[name]}' for name in dimensions)}}}".removesuffix("{}")
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", [])
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    }


@dataclass(frozen=True)
class Index:
    key: list[str]
    # The attributes that the index holds; every one if there is no list.
    attributes: list[str] | None


class Tables:
    """What requests to SQS, S3 and DynamoDB amount to, with the tables and indexes of the deployed stack."""

    def __init__(self, stack: Stack) -> None:
        self._indexes: dict[str, list[Index]] = {}
        for output in ["EventsTableName", "EntitiesTableName"]:
            table = stack.client("dynamodb").describe_table(TableName=stack.outputs[output])["Table"]
            key = [each["AttributeName"] for each in table["KeySchema"]]
            self._indexes[stack.outputs[output]] = [_index(key, each) for each in table["GlobalSecondaryIndexes"]]

    def amounts(self, request: Request) -> Counter[str]:
        service, _, operation = request.operation.partition(".")
        if service == "S3":
            return Counter({f"s3_{'puts' if operation == 'PutObject' else 'gets'}": 1})
        document = json.loads(request.body)
        if service == "AmazonSQS":
            return Counter(sqs_requests=requests_of(_messages(document)) if operation.startswith("Send") else 1)
        if service == "secretsmanager":
            return Counter(secret_reads=1)
        assert service == "DynamoDB", request.operation
        return self._dynamodb(operation, document)

    def _dynamodb(self, operation: str, document: dict[str, Any]) -> Counter[str]:
        if operation == "GetItem":
            # Most reads find nothing or a small item. The answer's size is not looked at.
            return Counter(read_half_units=2 if document.get("ConsistentRead") else 1)
        if operation == "BatchGetItem":
            asked = document["RequestItems"].values()
            return Counter(read_half_units=sum(len(each["Keys"]) * (2 if each.get("ConsistentRead") else 1) for each in asked))
        if operation == "PutItem":
            return self._put(document["TableName"], document["Item"], factor=1)
        if operation in {"UpdateItem", "DeleteItem"}:
            # Only the lease is updated and deleted, an item far below a unit that is in no index.
            return Counter(write_units=1)
        assert operation == "TransactWriteItems", operation
        puts = [each["Put"] for each in document["TransactItems"]]
        return sum((self._put(put["TableName"], put["Item"], factor=2) for put in puts), Counter())

    def _put(self, table: str, item: Item, factor: int) -> Counter[str]:
        size = item_bytes(item)
        # What has a time to live does not stay.
        stays = "expires_at" not in item
        amounts = Counter(write_units=factor * write_units(size), stored_bytes=stays * (size + STORED_ITEM_BYTES))
        for index in self._indexes[table]:
            if all(name in item for name in index.key):
                kept = {name: value for name, value in item.items() if index.attributes is None or name in index.attributes}
                amounts.update(
                    # A transaction does not double what its indexes cost.
                    index_write_units=write_units(item_bytes(kept)),
                    stored_bytes=stays * (item_bytes(kept) + STORED_ITEM_BYTES),
                )
        if item.get("kind") != {"S": "delivery"}:
            amounts["event_write_units"] = amounts["write_units"] + amounts["index_write_units"]
        return amounts


def _index(table_key: list[str], description: dict[str, Any]) -> Index:
    key = [each["AttributeName"] for each in description["KeySchema"]]
    projection = description["Projection"]
    if projection["ProjectionType"] == "ALL":
        return Index(key, None)
    return Index(key, [*table_key, *key, *projection.get("NonKeyAttributes", [])])


def _messages(document: dict[str, Any]) -> list[str]:
    return [each["MessageBody"] for each in document.get("Entries", [document])]


def requests_of(messages: Iterable[str]) -> int:
    """Number of requests that SQS bills for one call with these messages."""
    return max(1, math.ceil(sum(len(message.encode()) for message in messages) / SQS_REQUEST_BYTES))


def write_units(size: int) -> int:
    return max(1, math.ceil(size / WRITE_UNIT_BYTES))


def item_bytes(item: Item) -> int:
    """An item's size as DynamoDB counts it."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, Any]) -> int:
    [(kind, content)] = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        digits = len(Decimal(content).normalize().as_tuple().digits)
        return math.ceil(digits / 2) + 1 + (Decimal(content) < 0)
    if kind in {"BOOL", "NULL"}:
        return 1
    if kind == "B":
        return len(re.sub("=", "", content)) * 3 // 4
    if kind == "M":
        return 3 + sum(len(name.encode()) + 1 + _value_bytes(each) for name, each in content.items())
    if kind == "L":
        return 3 + sum(1 + _value_bytes(each) for each in content)
    raise AssertionError(f"an attribute of the kind {kind}, whose size is not known here")
