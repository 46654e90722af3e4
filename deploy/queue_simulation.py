"""A fluid model of the queue: what arrives, what is answered, what waits, what is processed and what is lost, second by second.

Amounts are numbers of deliveries and need not be whole. Everything that arrives in a second is one cohort, so that ages and receives are
known, and the oldest are received first. Nothing is random, so a run can be repeated.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

# What is left of an amount by rounding.
NOTHING = 1e-9


@dataclass
class Bucket:
    """A token bucket: what may be used at once, and how much more with each second. Unused growth beyond its size is lost."""

    size: float
    refill: float
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.size

    def next_second(self) -> None:
        self.level = min(self.size, self.level + self.refill)

    def take(self, wanted: float) -> float:
        taken = min(wanted, self.level)
        self.level -= taken
        return taken


@dataclass
class Ramp:
    """Something that has a size at first, and then grows no faster than a bucket allows. What it has shrunk to is where it grows from."""

    first: float
    maximum: float
    growth: Bucket
    now: float = field(init=False)

    def __post_init__(self) -> None:
        self.now = min(self.first, self.maximum)

    def next_second(self, wanted: float) -> float:
        self.growth.next_second()
        floor = min(self.first, self.maximum)
        wanted = max(floor, min(wanted, self.maximum))
        self.now = wanted if wanted <= self.now else self.now + self.growth.take(wanted - self.now)
        return self.now


@dataclass(frozen=True)
class Front:
    """What answers a provider. Beyond it a request is refused, and the provider has to send it again."""

    # Requests a second of the account's APIs, and how many more in a moment.
    api_rate: float
    api_burst: float
    # Invocations a second of all functions of the account.
    invocations: float
    # By how many requests a second a function may grow at once, and in each second.
    function_burst: float
    function_growth: float


@dataclass(frozen=True)
class Processing:
    """The queue and what empties it."""

    batch: float
    # Time of a batch, from its receive to the next one.
    batch_seconds: float
    failing_batch_seconds: float
    maximum_concurrency: float
    first_pollers: float
    pollers_per_second: float
    # Deliveries a second for which the table has room at first, and at most; it doubles while more is asked for.
    table_rate: float = float("inf")
    maximum_table_rate: float = float("inf")
    table_doubling_seconds: float = 1800
    visibility_seconds: int = 180
    retention_seconds: int = 345_600
    maximum_receives: int = 25
    maximum_in_flight: float = float("inf")

    @property
    def rate_of_one(self) -> float:
        return self.batch / self.batch_seconds


@dataclass(frozen=True)
class Second:
    """The end of a second."""

    offered: float
    accepted: float
    done: float
    waiting: float
    oldest_seconds: float
    concurrency: float


@dataclass
class Run:
    """What a simulation found. `waited` is the sum of how long each delivery waited that is done."""

    seconds: list[Second] = field(default_factory=list)
    offered: float = 0
    refused: float = 0
    done: float = 0
    dead: float = 0
    expired: float = 0
    waited: float = 0

    @property
    def accepted(self) -> float:
        return self.offered - self.refused

    @property
    def waiting(self) -> float:
        return self.seconds[-1].waiting if self.seconds else 0

    @property
    def most_waiting(self) -> float:
        return max(second.waiting for second in self.seconds)

    @property
    def oldest_seconds(self) -> float:
        return max(second.oldest_seconds for second in self.seconds)

    def empty_again(self, since: int, ordinary: float) -> int | None:
        """Number of seconds from `since` on until no more waits than arrives in two seconds; `None` if that is never again."""
        for number in range(len(self.seconds) - 1, since - 1, -1):
            if self.seconds[number].waiting > 2 * ordinary:
                return None if number + 1 == len(self.seconds) else number + 1 - since
        return 0


class Simulation:
    def __init__(self, processing: Processing, front: Front | None = None) -> None:
        self._processing, self._front = processing, front
        self._pollers = Ramp(
            processing.first_pollers,
            processing.maximum_concurrency,
            Bucket(processing.pollers_per_second, processing.pollers_per_second),
        )
        self._table_rate = processing.table_rate
        self._table_asked_seconds = 0.0
        # Cohorts that can be received, by their second of arrival and their number of receives, and those that are invisible, by when
        # they no longer are.
        self._ready: dict[tuple[int, int], float] = {}
        self._order: list[tuple[int, int]] = []
        self._ready_amount = 0.0
        self._invisible: dict[int, dict[tuple[int, int], float]] = {}
        self._invisible_amount = 0.0
        self._invocations = 0.0
        self._api = Bucket(front.api_burst + front.api_rate, front.api_rate) if front else None
        self._webhooks: Ramp | None = None

    def run(
        self,
        seconds: int,
        arrivals: Callable[[int], float],
        fails: Callable[[int], bool] = lambda _: False,
        running_before: bool = False,
    ) -> Run:
        """`arrivals` is the number of requests in a second, and `fails` whether nothing can be processed in it. If it was
        `running_before` at the rate of the first second, the pollers are as many as that needs."""
        run = Run()
        if running_before:
            self._pollers.now = max(self._pollers.now, min(arrivals(0) / self._processing.rate_of_one, self._pollers.maximum))
        for now in range(seconds):
            offered = arrivals(now)
            accepted = self._accepted(offered)
            run.offered += offered
            run.refused += offered - accepted
            self._add((now, 0), accepted)
            for cohort, amount in self._invisible.pop(now, {}).items():
                self._invisible_amount -= amount
                self._add(cohort, amount)
            run.expired += self._expire(now)
            done = self._fail(now, run) if fails(now) else self._process(now, run)
            waiting = max(0.0, self._ready_amount + self._invisible_amount)
            run.seconds.append(Second(offered, accepted, done, waiting, self._oldest(now), self._pollers.now))
        return run

    # The front

    def _accepted(self, offered: float) -> float:
        if self._front is None or self._api is None:
            return offered
        if self._webhooks is None:
            # It has run at the rate of the first second for a while.
            growth = Bucket(self._front.function_burst, self._front.function_growth)
            self._webhooks = Ramp(0, float("inf"), growth)
            self._webhooks.now = offered
        self._api.next_second()
        ramped = self._webhooks.next_second(offered)
        return self._api.take(min(offered, ramped, max(0.0, self._front.invocations - self._invocations)))

    # The queue

    def _add(self, cohort: tuple[int, int], amount: float) -> None:
        if amount <= NOTHING:
            return
        if cohort not in self._ready:
            heapq.heappush(self._order, cohort)
        self._ready[cohort] = self._ready.get(cohort, 0) + amount
        self._ready_amount += amount

    def _take_oldest(self, wanted: float) -> list[tuple[tuple[int, int], float]]:
        taken = []
        while wanted > NOTHING and self._order:
            cohort = self._order[0]
            amount = min(wanted, self._ready[cohort])
            taken.append((cohort, amount))
            wanted -= amount
            self._ready[cohort] -= amount
            if self._ready[cohort] <= NOTHING:
                # What rounding left of it goes with it.
                amount += self._ready.pop(cohort)
                taken[-1] = (cohort, amount)
                heapq.heappop(self._order)
            self._ready_amount -= amount
        return taken

    def _expire(self, now: int) -> float:
        """What is older than the retention is deleted, in flight or not."""
        oldest = now - self._processing.retention_seconds
        lost = 0.0
        while self._order and self._order[0][0] < oldest:
            amount = self._ready.pop(heapq.heappop(self._order))
            self._ready_amount -= amount
            lost += amount
        for cohorts in self._invisible.values():
            for cohort in [each for each in cohorts if each[0] < oldest]:
                amount = cohorts.pop(cohort)
                self._invisible_amount -= amount
                lost += amount
        return lost

    def _oldest(self, now: int) -> float:
        arrivals = [self._order[0][0]] if self._order else []
        arrivals += [arrival for cohorts in self._invisible.values() for arrival, _ in cohorts]
        return now + 1 - min(arrivals, default=now + 1)

    # The processor

    def _concurrency(self, wanted: float, rate_of_one: float) -> float:
        return self._pollers.next_second(wanted / rate_of_one)

    def _process(self, now: int, run: Run) -> float:
        ready = max(0.0, self._ready_amount)
        one = self._processing.rate_of_one
        room = self._concurrency(ready, one) * one
        self._invocations = min(ready, room) / self._processing.batch
        received, fatal = self._received(min(room, self._table_room(min(ready, room))))
        run.dead += fatal
        for (arrival, _), amount in received:
            run.waited += amount * (now - arrival)
        done = sum(amount for _, amount in received)
        run.done += done
        return done

    def _fail(self, now: int, run: Run) -> float:
        # Lambda falls back to the pollers that it begins with.
        one = self._processing.batch / self._processing.failing_batch_seconds
        room = min(self._concurrency(0, one) * one, self._processing.maximum_in_flight - self._invisible_amount)
        received, fatal = self._received(max(0.0, room))
        run.dead += fatal
        again = self._invisible.setdefault(now + self._processing.visibility_seconds, {})
        for (arrival, receives), amount in received:
            cohort = (arrival, receives + 1)
            again[cohort] = again.get(cohort, 0) + amount
            self._invisible_amount += amount
        self._invocations = sum(amount for _, amount in received) / self._processing.batch
        return 0.0

    def _received(self, room: float) -> tuple[list[tuple[tuple[int, int], float]], float]:
        """What is received, and how much of it was received too often and goes to the dead-letter queue instead."""
        taken = self._take_oldest(room)
        fatal = sum(amount for (_, receives), amount in taken if receives >= self._processing.maximum_receives)
        return [each for each in taken if each[0][1] < self._processing.maximum_receives], fatal

    def _table_room(self, wanted: float) -> float:
        if wanted > self._table_rate:
            self._table_asked_seconds += 1
            if self._table_asked_seconds >= self._processing.table_doubling_seconds:
                self._table_asked_seconds = 0
                self._table_rate = min(2 * self._table_rate, self._processing.maximum_table_rate)
        return self._table_rate
