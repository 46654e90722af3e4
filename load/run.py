"""One run: everything is sent while things go wrong, then all is put right, and every id is looked for."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from balance import Account, Attempt, Recorded, balance
from disturbing import Disturbance, Disturber, Outage
from publisher import publish
from sending import Sender
from stack.rabbitmq import RabbitMq
from traffic import WEBHOOKS, Delivery, Keys, deliveries

QUEUE = "events"


class World(Protocol):
    """What is under load."""

    rabbitmq: RabbitMq

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]: ...
    def disturbances(self) -> list[dict[str, Disturbance]]: ...
    def drain(self) -> None: ...
    def settle(self, timeout: float) -> int: ...
    def recorded(self) -> Mapping[str, Recorded]: ...
    def dead_letters(self) -> set[str]: ...


@dataclass
class Run:
    """What a run came to."""

    title: str
    seconds: float
    attempts: list[Attempt]
    outages: list[Outage]
    account: Account
    # From the end of the disturbances until everything was accepted and recorded.
    settled_seconds: float


class Publisher:
    """NowCerts: publishes to its broker, and again what the broker has not confirmed."""

    def __init__(self, world: World, seed: int, rate: float) -> None:
        self.published: list[Delivery] = []
        self._world, self._rate = world, rate
        self._new = deliveries("nowcerts", seed)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in [self._publish, self._drain]]
        for thread in self._threads:
            thread.start()

    def _publish(self) -> None:
        batch: list[Delivery] = []
        while not self._stopped.is_set() or batch:
            batch = batch or list(itertools.islice(self._new, max(int(self._rate / 2), 1)))
            ids = [each.identity or None for each in batch]
            try:
                publish(self._world.rabbitmq, QUEUE, [each.body for each in batch], ids)
            except Exception:
                # The broker is away; whatever of it arrived is published a second time.
                time.sleep(0.3)
                continue
            self.published += batch
            batch = []
            time.sleep(0.5)

    def _drain(self) -> None:
        while not self._stopped.is_set():
            self._world.drain()
            time.sleep(0.3)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=120)


def run(title: str, world: World, keys: Keys, seconds: float, seed: int, rate: float) -> Run:
    """Sends `rate` requests a second for each webhook, for this long."""
    started = time.monotonic()
    senders = [Sender(provider, keys, world.post, seed, rate, started) for provider in WEBHOOKS]
    publisher = Publisher(world, seed, rate)
    disturbers = [Disturber(kinds, seed, started) for kinds in world.disturbances()]
    time.sleep(seconds)
    for disturber in disturbers:
        disturber.stop()
    healed = time.monotonic()
    for sender in senders:
        sender.stop()
    publisher.stop()
    unfinished = [sender for sender in senders if not sender.join(timeout=90)]
    left = world.settle(timeout=240)
    settled = time.monotonic() - healed
    attempts = sorted((each for sender in senders for each in sender.attempts), key=lambda each: each.at)
    account = balance(attempts, publisher.published, world.recorded(), world.dead_letters(), left)
    for sender in unfinished:
        account.problems.append(f"{sender.waiting} deliveries of {sender.provider} were still not accepted after all was put right")
    return Run(title, healed - started, attempts, [outage for disturber in disturbers for outage in disturber.outages], account, settled)


def as_json(each: Run) -> dict[str, Any]:
    """For whoever wants to compute more."""
    return {
        "title": each.title,
        "seconds": each.seconds,
        "settled_seconds": each.settled_seconds,
        "table": {provider: dict(row) for provider, row in each.account.table.items()},
        "problems": each.account.problems,
        "outages": [[outage.name, outage.begin, outage.end] for outage in each.outages],
        "attempts": len(each.attempts),
    }


def dumped(runs: list[Run]) -> str:
    return json.dumps([as_json(each) for each in runs], indent=1)
