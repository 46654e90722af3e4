"""The local server under load: all providers, kills, a broker that restarts, and a disk that is full."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from balance import Recorded
from disturbing import Disturbance
from local_server import LocalServer
from publisher import declare
from stack.rabbitmq import RabbitMq
from stack.wait import wait_until
from traffic import Keys

QUEUE = "events"


class Server(LocalServer):
    """A server whose files can be kept from growing, as on a full disk."""

    # A write beyond the limit is an error, as on a full disk, and not a signal: Python ignores that signal, and what it starts does too.
    options = {"restore_signals": False}

    @property
    def pid(self) -> int:
        return self._process.process.pid

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """No file of the server grows inside the `with` block. No right of root is needed, because the hard limit stays."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (4096, hard))
        try:
            yield
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def memory_peak_bytes(self) -> int:
        """The most memory that the process has had."""
        [line] = [each for each in Path(f"/proc/{self.pid}/status").read_text().splitlines() if each.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024


class ServerWorld:
    """`webhook-intake serve` on a data directory, and a broker that is drained into it."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.rabbitmq = RabbitMq(folder / "rabbitmq")
        declare(self.rabbitmq, QUEUE)
        documents = keys.documents() | {"nowcerts": self.rabbitmq.secret() | {"queue": QUEUE}}
        self.server = Server(folder, documents)
        # A kill and what needs a living server exclude one another.
        self._lock = threading.Lock()

    def close(self) -> None:
        self.server.close()
        self.rabbitmq.close()

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.server.address, timeout=10)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    # Disturbances

    def disturbances(self) -> list[dict[str, Disturbance]]:
        return [
            {"server killed": self._kill, "disk full": self._fill_disk, "process stopped": self._freeze},
            {"broker restarted": self._restart_broker},
        ]

    def _kill(self) -> None:
        with self._lock:
            self.server.kill()
            self.server.start()

    def _restart_broker(self) -> None:
        self.rabbitmq.kill()
        time.sleep(0.5)
        self.rabbitmq.start()

    def _fill_disk(self) -> None:
        with self._lock, self.server.full_disk():
            time.sleep(3)

    def _freeze(self) -> None:
        with self._lock:
            os.kill(self.server.pid, signal.SIGSTOP)
            time.sleep(1.5)
            os.kill(self.server.pid, signal.SIGCONT)

    def drain(self) -> None:
        """One run of the drain, however it ends."""
        self.server.run("drain", "--time", "5")

    # Afterwards

    def settle(self, timeout: float) -> int:
        """Waits until nothing is in the broker's queue and the server's; the number of messages that are left."""

        def left() -> int:
            waiting = sum(self.rabbitmq.depth(QUEUE))
            if waiting:
                self.drain()
            health = self._health()
            return waiting + health["queued"]

        try:
            wait_until(lambda: left() == 0, timeout=timeout, interval=0.5, what="an empty queue")
        except AssertionError:
            return left()
        return 0

    def _health(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.server.address, timeout=10)
        try:
            connection.request("GET", "/health")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def recorded(self) -> dict[str, Recorded]:
        """What `webhook-intake deliveries` says of each delivery."""
        return {each["delivery_id"]: recorded(each) for each in self._listed("deliveries", "--limit", "1000000")}

    def dead_letters(self) -> set[str]:
        """The deliveries of the dead letters."""
        bodies = self._listed("dead-letters", "--limit", "1000000")
        return {json.loads(each["body"])["delivery_id"] for each in bodies}

    def _listed(self, *command: str) -> list[dict[str, Any]]:
        done = self.server.run(*command, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]


def recorded(record: dict[str, Any]) -> Recorded:
    """The record of a delivery, as the ledger has it on both platforms."""
    outcomes = tuple(each["outcome"] for each in record["outcomes"])
    return Recorded(record["delivery_id"], record["provider"], record["sha256"], outcomes)
