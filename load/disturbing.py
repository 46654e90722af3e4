"""What goes wrong during a run: one disturbance after the other, with pauses in which everything works."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Does its harm, and has put it right when it returns.
Disturbance = Callable[[], None]


@dataclass(frozen=True)
class Outage:
    """When a disturbance was at work, in seconds of the run."""

    name: str
    begin: float
    end: float


class Disturber:
    """Draws disturbances until it is stopped; each kind once before any is repeated."""

    def __init__(self, kinds: Mapping[str, Disturbance], seed: int, started: float, pause_seconds: float = 2.0) -> None:
        self.outages: list[Outage] = []
        self.failures: list[BaseException] = []
        self._kinds, self._started, self._pause = dict(kinds), started, pause_seconds
        self._drawn = random.Random(seed)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        names: list[str] = []
        while not self._stopped.wait(self._pause):
            if not names:
                names = self._drawn.sample(list(self._kinds), len(self._kinds))
            name = names.pop()
            begin = time.monotonic() - self._started
            try:
                self._kinds[name]()
            except BaseException as failure:
                self.failures.append(failure)
                return
            self.outages.append(Outage(name, begin, time.monotonic() - self._started))

    def stop(self) -> None:
        """Waits until the last one is over."""
        self._stopped.set()
        self._thread.join(timeout=120)
        if self.failures:
            raise self.failures[0]
