"""Sends a provider's deliveries as the provider does: again until each is accepted."""

from __future__ import annotations

import contextlib
import heapq
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable

from balance import Attempt
from traffic import Delivery, Keys, deliveries

# Path, body, headers; the status and the body of the answer.
Post = Callable[[str, bytes, dict[str, str]], tuple[int, bytes]]

# Between two attempts at the same delivery, in seconds. Providers wait minutes.
RETRY_SECONDS = 0.7


class Sender:
    """One connection of a provider's, which sends at most `rate` requests a second until it is stopped, and what is due then."""

    def __init__(self, provider: str, keys: Keys, post: Post, seed: int, rate: float, started: float) -> None:
        self.provider = provider
        self.attempts: list[Attempt] = []
        self._keys, self._post, self._pause, self._started = keys, post, 1 / rate, started
        self._new = deliveries(provider, seed)
        self._due: list[tuple[float, int, Delivery]] = []
        self._number = itertools.count()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{provider} {seed}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of deliveries that are not accepted yet."""
        return len(self._due)

    def stop(self) -> None:
        """Begins no new deliveries; those that were begun go on."""
        self._stopped.set()

    def join(self, timeout: float) -> bool:
        """Whether everything that was begun is accepted within this time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set() or self._due:
            begun = time.monotonic()
            if self._due and self._due[0][0] <= begun:
                self._attempt(heapq.heappop(self._due)[2])
            elif not self._stopped.is_set():
                self._attempt(next(self._new))
            time.sleep(max(self._pause - (time.monotonic() - begun), 0.001))

    def _attempt(self, delivery: Delivery) -> None:
        path, headers = self._keys.request(delivery)
        sent = time.monotonic()
        status, found = None, {}
        # Whoever is killed leaves no answer, or half of one.
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, answer = self._post(path, delivery.body, headers)
            with contextlib.suppress(ValueError):
                found = json.loads(answer)
        now = time.monotonic()
        delivery_id, reason = found.get("delivery_id", ""), found.get("type", "").rpartition(":")[2]
        attempt = Attempt(delivery, sent - self._started, now - sent, status, delivery_id, reason)
        self.attempts.append(attempt)
        # A refusal of a genuine one is a defect, and one of a forgery is final.
        if attempt.kind in {"send again", "unanswered"} and delivery.kind != "forged":
            heapq.heappush(self._due, (now + RETRY_SECONDS, next(self._number), delivery))
