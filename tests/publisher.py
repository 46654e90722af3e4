"""NowCerts' side of the stories: declares queues and publishes to them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from stack.rabbitmq import RabbitMq


@contextmanager
def channel(rabbitmq: RabbitMq) -> Iterator[BlockingChannel]:
    credentials = pika.PlainCredentials("publisher", "publisher")
    connection = pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", rabbitmq.port, credentials=credentials)
    )
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def declare(rabbitmq: RabbitMq, queue: str, kind: str = "classic", **arguments: Any) -> None:
    with channel(rabbitmq) as declaring:
        declaring.queue_declare(queue, durable=True, arguments={"x-queue-type": kind} | arguments)


def policy(number: int) -> dict[str, Any]:
    return {"Event": "PolicyUpdated", "Id": f"policy-{number}", "Insured": "Zoë & Sons", "Premium": 1234.50}


def new_ids(count: int) -> list[str]:
    return [uuid.uuid4().hex for _ in range(count)]


def publish(
    rabbitmq: RabbitMq, queue: str, bodies: Iterable[Any], message_ids: Iterable[str] | None = None, **properties: Any
) -> None:
    """Publishes bodies (bytes as they are, anything else as JSON), and returns once the broker has them on its disk."""
    ids = iter(message_ids) if message_ids is not None else None
    with channel(rabbitmq) as publishing:
        publishing.confirm_delivery()
        for body in bodies:
            publishing.basic_publish(
                "",
                queue,
                body if isinstance(body, bytes) else json.dumps(body).encode(),
                pika.BasicProperties(
                    delivery_mode=2, message_id=next(ids) if ids is not None else None, **properties
                ),
                mandatory=True,
            )
