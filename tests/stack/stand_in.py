"""A stand-in for DynamoDB and S3 that answers at a settable pace.

It keeps items and objects in memory and knows exactly the conditions that the ledger writes. It holds nothing back but time,
so that a function process can be watched at the latencies of the real services, thousands of calls a second.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

Item = dict[str, dict[str, Any]]
Key = tuple[str, str, str]

# Source: AWS, "Quotas in Amazon DynamoDB", 400 KB.
MAX_ITEM_BYTES = 400 * 1024

ERROR = "com.amazonaws.dynamodb.v20120810#"


@dataclass(frozen=True)
class Latencies:
    """How long each kind of call takes, in seconds."""

    item: float = 0.0
    transaction: float = 0.0
    object: float = 0.0


class StandIn:
    """One server for both services, in a thread of its own."""

    def __init__(self, latencies: Latencies | None = None) -> None:
        self.latencies = latencies or Latencies()
        self.objects: dict[str, bytes] = {}
        self.calls: Counter[str] = Counter()
        self.max_objects_read_at_once = 0
        self.accepted_puts: Counter[Key] = Counter()
        self._items: dict[Key, bytes | Item] = {}
        self._objects_being_read = 0
        self._loop = asyncio.new_event_loop()
        self._thread_id = 0
        started = threading.Event()
        threading.Thread(target=self._run, args=[started], daemon=True).start()
        started.wait()
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def items(self) -> list[Item]:
        return [self._read(key) for key in list(self._items)]

    def busy_seconds(self) -> float:
        """Processor time of the server's thread so far."""
        fields = open(f"/proc/self/task/{self._thread_id}/schedstat").read().split()
        return int(fields[0]) / 1e9

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._thread_id = threading.get_native_id()
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()

    def count_reads(self, more: int) -> None:
        self._objects_being_read += more
        self.max_objects_read_at_once = max(self.max_objects_read_at_once, self._objects_being_read)

    def answer(self, method: bytes, path: bytes, target: bytes, body: bytes) -> tuple[float, int, bytes]:
        """How long the call takes, and the status and body of its answer."""
        if not target:
            return self.latencies.object, *self._object(method, path.partition(b"?")[0].decode(), body)
        operation = target.rpartition(b".")[2].decode()
        self.calls[operation] += 1
        request = json.loads(body)
        if operation == "PutItem":
            return self.latencies.item, *self._put_item(request, body)
        if operation == "GetItem":
            found = self._find((request["TableName"], *_key(request["Key"])))
            return self.latencies.item, 200, json.dumps({"Item": found} if found else {}).encode()
        if operation == "BatchGetItem":
            return self.latencies.item, 200, json.dumps({"Responses": self._batch(request), "UnprocessedKeys": {}}).encode()
        if operation == "TransactWriteItems":
            return self.latencies.transaction, *self._transact(request)
        return 0, 400, _error("UnknownOperationException", operation)

    def _object(self, method: bytes, path: str, body: bytes) -> tuple[int, bytes]:
        self.calls[f"{method.decode()} object"] += 1
        if method == b"PUT":
            self.objects[path] = body
            return 200, b""
        if path in self.objects:
            return 200, self.objects[path]
        return 404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"

    def _batch(self, request: dict[str, Any]) -> dict[str, list[Item]]:
        wanted = {table: [self._find((table, *_key(key))) for key in of["Keys"]] for table, of in request["RequestItems"].items()}
        return {table: [item for item in items if item is not None] for table, items in wanted.items()}

    def _put_item(self, request: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        key = (request["TableName"], *_key(request["Item"]))
        if len(body) > MAX_ITEM_BYTES:
            return 400, _error("ValidationException", "Item size has exceeded the maximum allowed size")
        in_the_way = self._in_the_way(key, request)
        if in_the_way is not None:
            return 400, _error("ConditionalCheckFailedException", "The conditional request failed", Item=in_the_way)
        # Reading it once more costs less than keeping every item as an object.
        self._items[key] = body
        self.accepted_puts[key] += 1
        return 200, b"{}"

    def _transact(self, request: dict[str, Any]) -> tuple[int, bytes]:
        puts = [action["Put"] for action in request["TransactItems"]]
        keys = [(put["TableName"], *_key(put["Item"])) for put in puts]
        in_the_way = [self._in_the_way(key, put) for key, put in zip(keys, puts, strict=True)]
        if any(item is not None for item in in_the_way):
            reasons = [
                {"Code": "None"}
                if item is None
                else {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": item}
                for item in in_the_way
            ]
            return 400, _error("TransactionCanceledException", "Transaction cancelled", CancellationReasons=reasons)
        for key, put in zip(keys, puts, strict=True):
            self._items[key] = put["Item"]
            self.accepted_puts[key] += 1
        return 200, b"{}"

    def _in_the_way(self, key: Key, put: dict[str, Any]) -> Item | None:
        """The existing item that fails the put's condition; an empty one if the condition requires an item and there is none."""
        condition = put.get("ConditionExpression")
        if condition is None:
            return None
        old = self._find(key)
        if condition == "attribute_not_exists(pk)":
            return old
        values = put["ExpressionAttributeValues"]
        if condition == "attribute_not_exists(pk) OR expires_at <= :now OR #owner = :owner":
            free = old is None or int(old["expires_at"]["N"]) <= int(values[":now"]["N"]) or old["owner"] == values[":owner"]
            return None if free else old
        assert condition == "version = :version", condition
        return None if old is not None and old["version"] == values[":version"] else old or {}

    def _find(self, key: Key) -> Item | None:
        return self._read(key) if key in self._items else None

    def _read(self, key: Key) -> Item:
        kept = self._items[key]
        item: Item = json.loads(kept)["Item"] if isinstance(kept, bytes) else kept
        return item


def _key(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _error(name: str, message: str, **members: Any) -> bytes:
    return json.dumps({"__type": ERROR + name, "Message": message, "message": message, **members}).encode()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as the SDK speaks it: one request at a time, with a length or in the chunks of S3's clients."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._received = bytearray()
        self._head: tuple[bytes, bytes, dict[bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._head is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            lines = bytes(self._received[:end]).split(b"\r\n")
            del self._received[: end + 4]
            method, path, _ = lines[0].split(b" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
            self._head = method, path, headers
            if b"expect" in headers:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method, path, headers = self._head
        size = int(headers.get(b"content-length", b"0"))
        if len(self._received) < size:
            return
        body = bytes(self._received[:size])
        del self._received[:size]
        self._head = None
        if headers.get(b"content-encoding") == b"aws-chunked":
            body = _unchunked(body)
        target = headers.get(b"x-amz-target", b"")
        seconds, status, answer = self._stand_in.answer(method, path, target, body)
        head = b"HTTP/1.1 %d OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: %d\r\n\r\n" % (
            status,
            len(answer),
        )
        is_read = method == b"GET" and not target
        self._stand_in.count_reads(+is_read)
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._write, head + answer, is_read)
        else:
            self._write(head + answer, is_read)

    def _write(self, answer: bytes, is_read: bool) -> None:
        self._stand_in.count_reads(-is_read)
        if not self._transport.is_closing():
            self._transport.write(answer)


def _unchunked(body: bytes) -> bytes:
    content = b""
    while body:
        head, _, rest = body.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if size == 0:
            break
        content, body = content + rest[:size], rest[size + 2 :]
    return content
