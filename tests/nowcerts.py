"""NowCerts' side and ours: a queue of a test's own, and the function that empties it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from publisher import new_ids, policy, publish
from stack.rabbitmq import RabbitMq
from stack.stack import Line, Stack
from stack.wait import wait_until

SEND_BATCH = "AmazonSQS.SendMessageBatch"
# A quarter of the default window. With a quarter of the messages, as much as ever is left to do when a run breaks off.
SMALL_WINDOW = {"PREFETCH": "25", "BATCHES_IN_FLIGHT": "4"}
LEASE = {"pk": {"S": "lease#nowcerts"}, "sk": {"S": "lease"}}


class NowCerts:
    """A queue of a test's own, and the function that empties it."""

    def __init__(self, stack: Stack, rabbitmq: RabbitMq, queue: str) -> None:
        self.stack = stack
        self.rabbitmq = rabbitmq
        self.queue = queue
        self.account()

    def account(self, **changes: Any) -> None:
        """Writes the secret."""
        self.stack.put_secret("NowCertsSecretArn", self.rabbitmq.secret() | {"queue": self.queue} | changes)

    def publish(self, count: int, **properties: Any) -> list[str]:
        """Publishes messages with ids of their own, and returns the ids."""
        ids = new_ids(count)
        publish(self.rabbitmq, self.queue, (policy(number) for number in range(count)), ids, **properties)
        return ids

    def lines(self) -> list[Line]:
        """The line of each run, oldest first whichever process wrote it."""
        return sorted(self.stack.lines("nowcerts", "drain"), key=lambda line: line["timestamp"])

    def drain(self) -> Line:
        """One run to its end, and its line."""
        with self.running() as run:
            pass
        return run[0]

    @contextlib.contextmanager
    def running(self) -> Iterator[list[Line]]:
        """One run, which goes on while the `with` block does its mischief; afterwards the list holds its line."""
        before = len(self.lines())
        found: list[Line] = []
        thread = threading.Thread(target=self.stack.run_to_its_end, args=("nowcerts",))
        thread.start()
        try:
            yield found
        finally:
            thread.join(timeout=120)
        lines = wait_until(lambda: self.lines()[before:], what="the run's line")
        found.extend(lines)

    def lease(self) -> dict[str, Any]:
        """The item that holds the lease and the pause, or nothing."""
        return next(iter(self.stack.items(pk="lease#nowcerts")), {})

    def lift_pause(self) -> None:
        """As docs/operations.md says."""
        self.stack.client("dynamodb").update_item(
            TableName=self.stack.outputs["EventsTableName"], Key=LEASE, UpdateExpression="REMOVE paused_until"
        )

    def accepted(self) -> int:
        """How many deliveries were accepted so far."""
        return sum(line["outcome"] == "accepted" for line in self.stack.deliveries("nowcerts"))

    def wait_for_accepted(self, count: int) -> None:
        wait_until(lambda: self.accepted() >= count, what=f"{count} accepted deliveries")

    def drain_all(self) -> list[Line]:
        """Runs until the queue is empty."""
        runs = []
        while self.rabbitmq.depth(self.queue) != (0, 0):
            runs.append(self.drain())
            assert len(runs) < 20, runs
        return runs

    def events(self) -> list[dict[str, Any]]:
        """What was recorded of this queue, once all of it is."""
        wait_until(lambda: self.stack.messages() == 0, timeout=240, interval=0.5, what="the processing")
        return self.stack.events(**{"provider": "nowcerts", "attributes.queue": self.queue})

    def depth(self) -> tuple[int, int]:
        return self.rabbitmq.depth(self.queue)
