"""Deliveries in the form in which the intake queues them, for a processor that is invoked directly."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stack.stand_in import StandIn

BUCKET = "payloads"
MAX_DOCUMENT_BYTES = 1024 * 1024

# The processor's settings; the stand-in accepts any table name.
SETTINGS = {"EVENTS_TABLE": "events", "ENTITIES_TABLE": "entities", "PAYLOADS_BUCKET": BUCKET}


@dataclass
class Record:
    """A message of the queue."""

    delivery_id: str
    document: str
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    receive_count: int = 0


def record(stand_in: StandIn, provider: str, body: bytes, headers: dict[str, str] | None = None) -> Record:
    """A delivery, with its body in the bucket if the message would be too large for the queue."""
    delivery_id = str(_uuid7())
    received_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    document: dict[str, Any] = {
        "version": 1,
        "delivery_id": delivery_id,
        "provider": provider,
        "authenticated_by": {"account": "main", "fingerprint": "0011223344556677"},
        "received_at": received_at,
        "headers": [[name, {"text": value}] for name, value in (headers or {}).items()],
        "sha256": hashlib.sha256(body).hexdigest(),
        "body": {"text": body.decode()},
    }
    text = json.dumps(document, separators=(",", ":"))
    if len(text) > MAX_DOCUMENT_BYTES:
        key = f"deliveries/{provider}/{delivery_id}"
        stand_in.objects[f"/{BUCKET}/{key}"] = body
        document["body"] = {"payload": {"key": key, "size_bytes": len(body)}}
        text = json.dumps(document, separators=(",", ":"))
    return Record(delivery_id, text)


def batch(records: list[Record]) -> bytes:
    """The records as Lambda hands them to the processor, each received once more."""
    for each in records:
        each.receive_count += 1
    return json.dumps(
        {
            "Records": [
                {
                    "messageId": each.message_id,
                    "body": each.document,
                    "attributes": {"ApproximateReceiveCount": str(each.receive_count)},
                }
                for each in records
            ]
        }
    ).encode()


def failed(answer: dict[str, Any], records: list[Record]) -> list[Record]:
    """The records that the processor reported as failed."""
    ids = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    return [each for each in records if each.message_id in ids]


def neighbours(stand_in: StandIn) -> list[Record]:
    """Nine small, good deliveries, of every provider."""
    def fresh() -> str:
        return str(uuid.uuid4())

    def machnet() -> Record:
        content = {"id": fresh(), "event_name": "transaction_processed", "resource_id": fresh(), "payload": {"amount": "1"}}
        return record(stand_in, "machnet", json.dumps(content).encode())

    def accredit() -> Record:
        content = {"Event": "Registration.Created", "Timestamp": "2026-11-21T09:30:00Z", "EId": fresh()}
        return record(stand_in, "accredit", json.dumps(content).encode(), {"x-jobid": fresh()})

    def nowcerts() -> Record:
        return record(stand_in, "nowcerts", b'{"Policy":"P-1"}', {"amqp-message-id": fresh()})

    def sterling() -> Record:
        event = {"code": "supplyChange", "attributes": [{"name": "itemId", "type": "String", "value": fresh()}]}
        return record(stand_in, "sterling", json.dumps({"eventbatch": [{"channel": "c", "events": [event]}]}).encode())

    def nurturecloud() -> Record:
        entity = {"id": fresh(), "organisationName": "o", "businessId": "b", "name": "n"}
        content = {"domainComponentName": "agent", "state": "Updated", "payload": entity}
        return record(stand_in, "nurturecloud", json.dumps(content).encode())

    return [make() for make in (machnet, accredit, nowcerts, sterling, nurturecloud, machnet, accredit, nowcerts, sterling)]


def _uuid7() -> uuid.UUID:
    value = int(time.time() * 1000) << 80 | uuid.uuid4().int & ((1 << 80) - 1)
    # RFC 9562, section 5.7: version 7, variant 2.
    return uuid.UUID(int=value & ~(0xF << 76 | 0x3 << 62) | 7 << 76 | 2 << 62)
