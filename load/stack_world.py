"""The stack on the emulator under load: all providers, killed functions, faults of AWS, an emulator that is away, a broker that restarts."""

from __future__ import annotations

import json
import random
import time
from contextlib import ExitStack
from pathlib import Path

from authority import put_authority
from balance import Recorded
from disturbing import Disturbance
from nowcerts import NowCerts
from nurturecloud_api import NurtureCloudApi
from publisher import declare
from server_world import recorded
from stack.rabbitmq import RabbitMq
from stack.stack import Stack
from stack.wait import wait_until
from traffic import WEBHOOKS, Keys

QUEUE = "events"
# Faults of AWS, each a time of its own.
FAULTS = [
    ("AmazonSQS.SendMessage", "unavailable"),
    ("AmazonSQS.SendMessage", "lose-answer"),
    ("AmazonSQS.SendMessageBatch", "lose-answer"),
    ("DynamoDB.PutItem", "internal-error"),
    ("DynamoDB.PutItem", "lose-answer"),
    ("DynamoDB.TransactWriteItems", "lose-answer"),
]


class StackWorld:
    """The deployed stack with its keys, and a broker that it drains."""

    def __init__(self, folder: Path, keys: Keys, seed: int) -> None:
        self._drawn = random.Random(seed)
        with ExitStack() as opened:
            api = NurtureCloudApi()
            opened.callback(api.close)
            self.stack = Stack(folder, api.parameters)
            opened.callback(self.stack.close)
            for provider in ["machnet", "accredit", "nurturecloud"]:
                self.stack.put_keys(provider, getattr(keys, provider).key())
            put_authority(self.stack, keys.authority)
            self.rabbitmq = RabbitMq(folder / "rabbitmq")
            opened.callback(self.rabbitmq.close)
            declare(self.rabbitmq, QUEUE)
            self.nowcerts = NowCerts(self.stack, self.rabbitmq, QUEUE)
            # What a killed processor had in hand is redelivered within a run.
            sqs, queue = self.stack.client("sqs"), self.stack.outputs["QueueUrl"]
            sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "20"})
            opened.enter_context(self.stack.settings("nowcerts", LEASE_SECONDS="5"))
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        answer = self.stack.request("POST", path, body, headers)
        return answer.status, answer.body

    # Disturbances

    def disturbances(self) -> list[dict[str, Disturbance]]:
        return [
            {"functions killed": self._kill, "emulator away": self._freeze, "AWS at fault": self._faults},
            {"broker restarted": self._restart_broker},
        ]

    def _kill(self) -> None:
        for binary in [*WEBHOOKS, "processor", "publisher", "nowcerts"]:
            self.stack.kill(binary)

    def _freeze(self) -> None:
        with self.stack.emulator_away():
            time.sleep(4)

    def _faults(self) -> None:
        operation, action = self._drawn.choice(FAULTS)
        with self.stack.proxy.fault(operation, action):
            time.sleep(2)

    def _restart_broker(self) -> None:
        self.rabbitmq.kill()
        time.sleep(0.5)
        self.rabbitmq.start()

    def drain(self) -> None:
        """One run of the drain, however it ends. What an outage has left behind, a pause, is lifted as an operator would."""
        try:
            self.stack.run_to_its_end("nowcerts")
            self.nowcerts.lift_pause()
        except Exception:
            # The emulator was away, or the function was killed.
            time.sleep(0.5)

    # Afterwards

    def settle(self, timeout: float) -> int:
        """Waits until nothing is in the broker's queue and in SQS; the number of messages that are left."""

        def left() -> int:
            waiting = sum(self.rabbitmq.depth(QUEUE))
            if waiting:
                self.drain()
            return waiting + self.stack.messages()

        try:
            wait_until(lambda: left() == 0, timeout=timeout, interval=0.5, what="an empty queue")
        except AssertionError:
            return left()
        return 0

    def recorded(self) -> dict[str, Recorded]:
        """The records in the events table."""
        return {each["delivery_id"]: recorded(each) for each in self.stack.delivery_records()}

    def dead_letters(self) -> set[str]:
        """The deliveries in the dead-letter queue."""
        return {json.loads(text)["delivery_id"] for text in self.stack.peek("DeadLetterQueueUrl")}
