"""What the queue goes through: a burst, and an hour in which nothing can be processed, at several rates and settings."""

from __future__ import annotations

from dataclasses import dataclass

from limits import Stack
from queue_simulation import Front, Processing, Run, Simulation

BURST_FACTOR = 10
BURST_SECONDS = 300
OUTAGE_SECONDS = 3600
# When either begins.
QUIET_SECONDS = 300


@dataclass(frozen=True)
class Setting:
    """A rate of deliveries, and what is set for it."""

    name: str
    rate: float
    # ProcessorMaximumConcurrency.
    concurrency: float
    # Quotas that AWS was asked for.
    quotas: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    setting: Setting
    run: Run
    # Number of seconds after the end of the burst or outage after which only what has just arrived waits.
    recovered_seconds: int | None


def settings(stack: Stack) -> list[Setting]:
    usual = stack.maximum_concurrency
    more = 5 * usual
    large, cell = 10_000.0, 100_000 / stack.cells(100_000, asked=True)
    planned = [
        Setting(f"{rate:,.0f} a second, as planned", rate, stack.planned_concurrency(rate), stack.to_ask_for(rate))
        for rate in [large, cell]
    ]
    # What answers has room for the burst and no more; what follows is planned for the ordinary rate.
    for_burst = stack.to_ask_for(large) | {
        name: value * stack.assumed["planned_share"]
        for name, value in stack.to_ask_for(BURST_FACTOR * large).items()
        if name in ("http_api_requests", "lambda_concurrency")
    }
    return [
        Setting(f"100 a second, as deployed ({usual:.0f} copies)", 100, usual, {}),
        Setting(f"100 a second, {more:.0f} copies", 100, more, {}),
        *planned,
        Setting(f"{large:,.0f} a second, API and Lambda for the burst", large, planned[0].concurrency, for_burst),
    ]


def processing(stack: Stack, setting: Setting) -> Processing:
    units = stack.table_units
    table = setting.quotas.get("dynamodb_table_write_units", stack.quota("dynamodb_table_write_units"))
    # Beyond a new table, it takes twice its earlier peak.
    at_first = max(stack.quota("dynamodb_new_table_write_units"), 2 * setting.rate * units)
    [queue] = [each for each in stack.template.of_type("AWS::SQS::Queue") if each.name == "Queue"]
    return Processing(
        batch=stack.batch_size,
        batch_seconds=stack.batch_seconds(stack.batch_size) + stack.between_batches_seconds,
        failing_batch_seconds=stack.assumed["failing_batch_milliseconds"] / 1000,
        maximum_concurrency=setting.concurrency,
        first_pollers=stack.quota("queue_pollers_at_first"),
        pollers_per_second=stack.quota("queue_pollers_ramp") / 60,
        table_rate=min(at_first, table) / units,
        maximum_table_rate=table / units,
        table_doubling_seconds=60 * stack.quota("dynamodb_growth_minutes"),
        visibility_seconds=queue.properties["VisibilityTimeout"],
        retention_seconds=queue.properties["MessageRetentionPeriod"],
        maximum_receives=queue.properties["RedrivePolicy"]["maxReceiveCount"],
        maximum_in_flight=stack.quota("queue_in_flight"),
    )


def front(stack: Stack, setting: Setting) -> Front:
    def quota(name: str) -> float:
        return setting.quotas.get(name, stack.quota(name))

    return Front(
        api_rate=quota("http_api_requests"),
        api_burst=stack.quota("http_api_burst"),
        invocations=quota("lambda_concurrency") * stack.quota("lambda_requests_for_each_execution"),
        function_burst=stack.quota("lambda_ramp_requests"),
        function_growth=stack.quota("lambda_ramp_requests") / 10,
    )


def burst(stack: Stack, setting: Setting, seconds: int = 3600) -> Outcome:
    end = QUIET_SECONDS + BURST_SECONDS

    def arrivals(now: int) -> float:
        return setting.rate * (BURST_FACTOR if QUIET_SECONDS <= now < end else 1)

    run = Simulation(processing(stack, setting), front(stack, setting)).run(seconds, arrivals, running_before=True)
    return Outcome(setting, run, run.empty_again(end, setting.rate))


def outage(stack: Stack, setting: Setting, seconds: int = 3 * 3600, lasts: int = OUTAGE_SECONDS) -> Outcome:
    end = QUIET_SECONDS + lasts
    simulation = Simulation(processing(stack, setting), front(stack, setting))
    run = simulation.run(seconds, lambda _: setting.rate, lambda now: QUIET_SECONDS <= now < end, running_before=True)
    return Outcome(setting, run, run.empty_again(end, setting.rate))
