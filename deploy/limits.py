"""At which number of deliveries a second each limit of the stack and of AWS is reached.

A limit's numbers come from the template, from what the code uses of AWS for a delivery (measured.toml), from AWS's quotas (quotas.toml)
and from the constants of the code. A delivery is the mean of the webhooks' deliveries, each with one event.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from bill import (
    ASSUMED,
    BUS_ENTRIES,
    MEASURED,
    ROOT,
    WEBHOOKS,
    processor_milliseconds,
    publisher_milliseconds,
    variables,
    webhook_milliseconds,
)
from resolved_template import ResolvedTemplate

QUOTAS: dict[str, Any] = tomllib.loads((ROOT / "deploy" / "quotas.toml").read_text())


class Effect(Enum):
    """What happens beyond a limit."""

    REFUSED = "the provider is answered 429 or 503, and has to send it again"
    WAITS = "deliveries wait in the queue; nothing is refused or lost until they are older than its retention"
    LATE = "events are recorded, and reach consumers later"


@dataclass(frozen=True)
class Limit:
    """`deliveries` a second reach it as it is, and `raised` ones once its knob is turned as far as it goes."""

    name: str
    deliveries: float
    raised: float
    # How the number comes about.
    reckoning: str
    knob: str
    effect: Effect
    # Whether a parameter of the template or time alone raises it, without anybody at AWS.
    is_own: bool = False
    # The quota that AWS has to raise.
    quota: str = ""


def rate_at(needed: Callable[[float], float], available: float) -> float:
    """The rate at which what is needed reaches what is available."""
    low, high = 0.0, 1.0
    while needed(high) < available:
        low, high = high, 2 * high
    # To a millionth.
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if needed(middle) >= available else (middle, high)
    return high


def rounded_up(number: float) -> float:
    """To two digits, as one asks for a quota."""
    unit = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit) * unit


def constant(file: str, name: str) -> int:
    """A number that is a constant of the code."""
    found = re.search(rf"const {name}: \w+ = ([\d_]+);", (ROOT / file).read_text())
    if not found:
        raise LookupError(f"{file} has no constant {name}")
    return int(found[1])


class Stack:
    """A deployed template and what a delivery needs of it."""

    def __init__(self, template: ResolvedTemplate, quotas: Mapping[str, Any] = QUOTAS, new_account: bool = False) -> None:
        self.template, self.quotas = template, quotas
        self.assumed: Mapping[str, Any] = quotas["assumptions"]
        self._concurrency = "lambda_concurrency_of_a_new_account" if new_account else "lambda_concurrency"
        self.processor, self.publisher = template.function("processor"), template.function("publisher")
        # The code's own numbers of shards of an hour, at first and once it is widened.
        self.shards = constant("shared/pipeline/src/ledger/entry.rs", "TIME_SHARDS")
        self.widened_shards = constant("shared/aws/src/time_shards.rs", "WIDENED_SHARDS")

    def quota(self, name: str) -> float:
        return self.quotas[name]["value"]

    def raised_quota(self, name: str) -> float:
        quota = self.quotas[name]
        if name == "lambda_concurrency_of_a_new_account":
            return self.quota("lambda_concurrency")
        return quota["value"] * (self.assumed["raised_factor"] if quota["kind"] == "soft" else 1)

    @cached_property
    def _mapping(self) -> Mapping[str, Any]:
        [found] = [each for each in self._mappings() if "ScalingConfig" in each.properties]
        return found.properties

    def _mappings(self) -> list[Any]:
        return self.template.of_type("AWS::Lambda::EventSourceMapping")

    # What a delivery needs

    def mean(self, name: str) -> float:
        return sum(MEASURED[f"delivery-{provider}"][name] for provider in WEBHOOKS) / len(WEBHOOKS)

    @property
    def table_units(self) -> float:
        """Write units of a delivery, without those of indexes. Those of NurtureCloud's entities are in a table of their own,
        and are counted as if they weren't."""
        return self.mean("write_units")

    @property
    def index_units(self) -> float:
        return self.mean("index_write_units")

    def webhook_seconds(self) -> float:
        each = [
            webhook_milliseconds(self.template.function(provider), provider, MEASURED[f"delivery-{provider}"]) for provider in WEBHOOKS
        ]
        return sum(each) / len(each) / 1000

    def batch_seconds(self, records: float) -> float:
        """Time of an invocation of the processor."""
        each = [processor_milliseconds(self.processor, MEASURED[f"delivery-{provider}"], records) for provider in WEBHOOKS]
        return sum(each) / len(each) / 1000

    @property
    def between_batches_seconds(self) -> float:
        return self.assumed["between_batches_milliseconds"] / 1000

    @property
    def batch_size(self) -> int:
        return self._mapping["BatchSize"]

    @property
    def maximum_concurrency(self) -> float:
        return min(float(self._mapping["ScalingConfig"]["MaximumConcurrency"]), self.quota("queue_pollers"))

    def rate_of_one(self, records: float | None = None) -> float:
        """Deliveries a second of one copy of the processor, with full batches unless said otherwise."""
        records = records or self.batch_size
        return records / (self.batch_seconds(records) + self.between_batches_seconds)

    def records_per_batch(self, rate: float) -> float:
        """How full batches are: what arrives while each of the first pollers is busy, if they share it equally."""
        pollers = min(self.quota("queue_pollers_at_first"), max(self.maximum_concurrency, 1))
        return min(max(1.0, rate * (self.batch_seconds(1) + self.between_batches_seconds) / pollers), self.batch_size)

    def partitions(self, rate: float) -> int:
        """Partitions of the table: those of a new one, and more if the rate needs them."""
        at_first = self.quota("dynamodb_new_table_write_units") / self.quota("dynamodb_partition_write_units")
        return math.ceil(max(at_first, rate * self.table_units / self.quota("dynamodb_partition_write_units")))

    def events_per_batch(self, rate: float) -> int:
        """How full the publisher's batches are: what a partition's stream brings while the batch before is published."""
        most = next(each.properties["BatchSize"] for each in self._mappings() if "StartingPosition" in each.properties)
        of_a_shard = rate / self.partitions(rate)
        fitting = (size for size in range(1, most) if size >= of_a_shard * publisher_milliseconds(self.publisher, size) / 1000)
        return next(fitting, most)

    def published_by_a_shard(self) -> float:
        """Events a second that one stream of a partition's changes can publish, with full batches."""
        most = next(each.properties["BatchSize"] for each in self._mappings() if "StartingPosition" in each.properties)
        return most / (publisher_milliseconds(self.publisher, most) / 1000)

    def events_of_a_full_partition(self) -> float:
        return self.quota("dynamodb_partition_write_units") / self.table_units

    def invocations(self, records: float, events: float) -> float:
        """Invocations of all functions for a delivery."""
        return 1 + 1 / records + 1 / events

    def executions(self, records: float, events: float) -> float:
        """Seconds of execution for a delivery, so that its product with a rate is the number of executions at once."""
        publishing = publisher_milliseconds(self.publisher, events) / 1000
        return self.webhook_seconds() + self.batch_seconds(records) / records + publishing / events

    # Limits

    def limits(self) -> list[Limit]:
        """All limits, the first to be reached first. Batches are as full as they are under load."""
        found = [
            self._processor(),
            self._new_table(),
            self._lambda_requests(),
            self._lambda_executions(),
            self._table(),
            self._index(),
            self._api(),
            self._rules(),
            self._bus(),
            self._one_provider(),
            self._secrets(),
        ]
        return sorted(found, key=lambda limit: limit.deliveries)

    def first_limit(self, rate: float) -> Limit | None:
        """What breaks first on the way to this rate."""
        return next((limit for limit in self.limits() if limit.deliveries < rate), None)

    def reached(self, rate: float) -> list[Limit]:
        return [limit for limit in self.limits() if limit.deliveries < rate]

    def capacity(self, asked: bool) -> float:
        """What one account takes once its own knobs are turned, and, if AWS was asked, its soft quotas are raised too."""
        return min(limit.raised if asked or limit.is_own else limit.deliveries for limit in self.limits())

    def cells(self, rate: float, asked: bool) -> int:
        """Accounts that a rate needs, each used to the planned share."""
        return math.ceil(rate / (self.capacity(asked) * self.assumed["planned_share"]))

    def to_ask_for(self, rate: float) -> dict[str, float]:
        """The quotas that this rate needs more of than there is, and how much: room for bursts, and for a backlog where one can
        wait."""
        wanted: dict[str, float] = {}
        for limit in self.limits():
            room = 1 / self.assumed["planned_share"]
            if limit.effect is Effect.WAITS:
                room = max(room, self.assumed["recovery_factor"])
            share = room * rate / limit.deliveries
            if limit.quota and share > 1:
                needed = rounded_up(self.quota(limit.quota) * share)
                wanted[limit.quota] = max(needed, wanted.get(limit.quota, 0))
        return wanted

    def planned_concurrency(self, rate: float) -> int:
        """A `ProcessorMaximumConcurrency` with which a backlog becomes smaller soon."""
        low, high = self.parameter_range("ProcessorMaximumConcurrency")
        return min(max(low, math.ceil(self.assumed["recovery_factor"] * rate / self.rate_of_one())), high)

    def parameter_range(self, name: str) -> tuple[int, int]:
        parameter = self.template.source_parameters[name]
        return parameter["MinValue"], parameter["MaxValue"]

    def invoked(self, rate: float) -> float:
        """Invocations a second of all functions."""
        return rate * self.invocations(self.records_per_batch(rate), self.events_per_batch(rate))

    def executing(self, rate: float) -> float:
        """Executions at once of all functions."""
        return rate * self.executions(self.records_per_batch(rate), self.events_per_batch(rate))

    def bus_calls(self, rate: float) -> float:
        """Calls of PutEvents a second."""
        return rate / min(self.events_per_batch(rate), BUS_ENTRIES)

    def _processor(self) -> Limit:
        one, copies = self.rate_of_one(), self.maximum_concurrency
        most = min(self.parameter_range("ProcessorMaximumConcurrency")[1], self.quota("queue_pollers"))
        milliseconds = 1000 * (self.batch_seconds(self.batch_size) + self.between_batches_seconds)
        return Limit(
            "copies of the processor",
            one * copies,
            one * most,
            f"{copies:,.0f} copies (`ProcessorMaximumConcurrency`), {self.batch_size} deliveries in {milliseconds:.0f} ms each",
            f"`ProcessorMaximumConcurrency`, up to {most:,.0f}",
            Effect.WAITS,
            is_own=True,
        )

    def _new_table(self) -> Limit:
        of_new, of_table = self.quota("dynamodb_new_table_write_units"), self.raised_quota("dynamodb_table_write_units")
        return Limit(
            "a new table",
            of_new / self.table_units,
            of_table / self.table_units,
            f"{of_new:,.0f} write units, {self.table_units:g} for a delivery",
            f"""none: it doubles within {self.quota("dynamodb_growth_minutes"):.0f} minutes of such traffic; for a known
            date, warm throughput (not in the template)""",
            Effect.WAITS,
            is_own=True,
        )

    def _lambda_requests(self) -> Limit:
        name, each = self._concurrency, self.quota("lambda_requests_for_each_execution")
        rate = rate_at(self.invoked, self.quota(name) * each)
        return Limit(
            "Lambda's invocations",
            rate,
            rate_at(self.invoked, self.raised_quota(name) * each),
            f"""{self.quota(name) * each:,.0f} a second with {self.quota(name):,.0f} concurrent executions,
            {self.invoked(rate) / rate:.2f} for a delivery""",
            self._asked(name),
            Effect.REFUSED,
            quota=name,
        )

    def _lambda_executions(self) -> Limit:
        name = self._concurrency
        rate = rate_at(self.executing, self.quota(name))
        return Limit(
            "Lambda's executions at once",
            rate,
            rate_at(self.executing, self.raised_quota(name)),
            f"{self.quota(name):,.0f}, each delivery takes {1000 * self.executing(rate) / rate:.0f} ms of them",
            self._asked(name),
            Effect.REFUSED,
            quota=name,
        )

    def _table(self) -> Limit:
        return self._written("the table's write units", self.table_units)

    def _index(self) -> Limit:
        return self._written("its indexes' write units", self.index_units)

    def _written(self, what: str, units: float) -> Limit:
        name = "dynamodb_table_write_units"
        return Limit(
            what,
            self.quota(name) / units,
            self.raised_quota(name) / units,
            f"{self.quota(name):,.0f} a second, {units:g} for a delivery",
            self._asked(name),
            Effect.WAITS,
            quota=name,
        )

    def _api(self) -> Limit:
        name = "http_api_requests"
        return Limit(
            "the HTTP API",
            self.quota(name),
            self.raised_quota(name),
            f"{self.quota(name):,.0f} requests a second, one for a delivery",
            f"{self._asked(name)}; or function URLs behind CloudFront (not in the template)",
            Effect.REFUSED,
            quota=name,
        )

    def _bus(self) -> Limit:
        name = "bus_requests"
        rate = rate_at(self.bus_calls, self.quota(name))
        return Limit(
            "the event bus",
            rate,
            rate_at(self.bus_calls, self.raised_quota(name)),
            f"{self.quota(name):,.0f} calls a second, {rate / self.bus_calls(rate):g} events each",
            self._asked(name),
            Effect.LATE,
            quota=name,
        )

    def _rules(self) -> Limit:
        name = "bus_invocations"
        return Limit(
            "rules on the bus",
            self.quota(name),
            self.raised_quota(name),
            f"{self.quota(name):,.0f} events a second to targets, if one rule matches each event",
            self._asked(name),
            Effect.LATE,
            quota=name,
        )

    def _one_provider(self) -> Limit:
        of_a_shard = self.quota("dynamodb_partition_write_units")
        return Limit(
            "a provider's hour in the time index",
            self.widened_shards * of_a_shard,
            self.widened_shards * of_a_shard,
            f"""{self.widened_shards} shards of {of_a_shard:,.0f} write units, one for an event, if one provider sends
            everything; the first {self.shards} are widened without anybody""",
            "none: a constant of the code ([decision 32](decisions/0032-hours-are-widened.md)), or another stack",
            Effect.WAITS,
        )

    def _secrets(self) -> Limit:
        refresh = min(float(variables(self.template.function(provider))["SECRET_REFRESH_SECONDS"]) for provider in WEBHOOKS)
        copies = self.quota("secret_reads") * refresh
        return Limit(
            "reads of secrets",
            copies / self.webhook_seconds(),
            copies / self.webhook_seconds(),
            f"{self.quota('secret_reads'):,.0f} a second, and each copy of a webhook reads its secret every {refresh:.0f} s",
            "`SecretRefreshSeconds`",
            Effect.REFUSED,
        )

    def _asked(self, name: str) -> str:
        return f"ask AWS: {self.quotas[name]['ask']}"


def drained_messages(template: ResolvedTemplate) -> float:
    """Messages of NowCerts' queue a second that the drain's share of a processor allows."""
    share = template.function("nowcerts").properties["MemorySize"] / ASSUMED["whole_processor_megabytes"]
    return 1000 * share / ASSUMED["cpu_milliseconds"]["drain_message"]
