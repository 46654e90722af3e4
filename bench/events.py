"""The events that the functions are handed."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid

RECORDS = 10


def webhook(secret: str) -> bytes:
    """A genuinely signed delivery of Machnet, as an HTTP API hands it over."""
    content = {
        "id": "3f0d6c1e-6a1c-4f0e-9a55-0a2f4d1c9b77",
        "event_name": "transaction_processed",
        "resource_id": "9c1b2a70-1111-4222-8333-444455556666",
        "user_id": "u-1",
        "subscription_id": "s-1",
        "timestamp": "2026-11-01T09:29:38.969",
    }
    body = json.dumps(content, separators=(",", ":"))
    host = "x.execute-api.us-east-1.amazonaws.com"
    path = "/webhooks/machnet"
    return json.dumps(
        {
            "version": "2.0",
            "routeKey": f"POST {path}",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {
                "content-type": "application/json",
                "content-length": str(len(body)),
                "x-raas-webhook-signature": hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest(),
                "x-raas-event": "transaction_processed",
                "host": host,
            },
            "requestContext": {
                "accountId": "1",
                "apiId": "x",
                "domainName": host,
                "domainPrefix": "x",
                "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
                "requestId": "r",
                "routeKey": f"POST {path}",
                "stage": "$default",
                "time": "21/Nov/2026:00:00:00 +0000",
                "timeEpoch": 1795200000000,
            },
            "body": body,
            "isBase64Encoded": False,
        }
    ).encode()


def batch() -> bytes:
    """Ten deliveries of Machnet with one event each, as SQS hands them to the processor."""
    return json.dumps({"Records": [_record(number) for number in range(RECORDS)]}).encode()


def _record(number: int) -> dict[str, object]:
    content = {
        "id": f"evt-{number}",
        "event_name": "transaction_processed",
        "resource_id": f"res-{number}",
        "user_id": "user-1",
        "timestamp": "2026-11-21T09:30:00Z",
        "payload": {"status": "PROCESSED", "amount": "10.00", "currency": "USD", "note": "x" * 200},
    }
    body = json.dumps(content)
    message = {
        "version": 1,
        # RFC 9562, section 5.7: version 7, variant 2.
        "delivery_id": str(uuid.UUID(int=0x019AA0000000 << 80 | 7 << 76 | 2 << 62 | number)),
        "provider": "machnet",
        "authenticated_by": {"account": "main", "fingerprint": "0011223344556677"},
        "received_at": "2026-11-21T09:30:00.000Z",
        "headers": [],
        "sha256": hashlib.sha256(body.encode()).hexdigest(),
        "body": {"text": body},
    }
    return {
        "messageId": f"00000000-0000-0000-0000-{number:012}",
        "receiptHandle": "handle",
        "body": json.dumps(message, separators=(",", ":")),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1795200000000",
            "SenderId": "s",
            "ApproximateFirstReceiveTimestamp": "1795200000000",
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode()).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:1:deliveries",
        "awsRegion": "us-east-1",
    }
