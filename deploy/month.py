"""What a month of a number of deliveries a second costs, and adds to the tables."""

from __future__ import annotations

from collections import Counter

from bill import (
    GB,
    HOURS,
    MEASURED,
    WEBHOOKS,
    Bill,
    dollars_by_volume,
    idle,
    log_metrics,
    merged,
    metrics,
    processing,
    publishing,
    requests,
    tokens,
    total,
    units,
    variables,
)
from limits import Stack

SECONDS = HOURS * 3600


def copies_of_webhooks(stack: Stack, rate: float) -> float:
    """Each webhook has a copy at least."""
    return max(len(WEBHOOKS), rate * stack.webhook_seconds())


def secret_reads(stack: Stack, rate: float) -> float:
    """A second: each copy of a webhook reads its secret again and again."""
    refresh = float(variables(stack.template.function(WEBHOOKS[0]))["SECRET_REFRESH_SECONDS"])
    return copies_of_webhooks(stack, rate) / refresh


def month(stack: Stack, rate: float) -> Bill:
    """A month of a rate, the same number of deliveries from each webhook, with everything that costs when nothing arrives."""
    cells = stack.cells(rate, asked=True)
    of_cell = rate / cells
    number = rate * SECONDS
    records, events = stack.records_per_batch(of_cell), stack.events_per_batch(of_cell)
    bills = []
    for provider in WEBHOOKS:
        delivery, share = MEASURED[f"delivery-{provider}"], number / len(WEBHOOKS)
        bills += [requests(stack.template, provider, delivery, share), processing(stack.template, delivery, share, records)]
    sent = {metric for provider in WEBHOOKS for metric in metrics(provider)}
    fixed = {
        "what costs when nothing arrives": total(idle(stack.template)),
        "metrics of our own": units(custom_metric=len(sent) + log_metrics(stack.template)),
    }
    return merged(
        *bills,
        publishing(stack.template, number, events),
        {"Secrets Manager": units(secret_read=secret_reads(stack, rate) * SECONDS)},
        {name: Counter({unit: cells * each for unit, each in found.items()}) for name, found in fixed.items()},
        {"tokens of IBM Sterling": total(tokens(stack.template))},
    )


def by_volume(bill: Bill) -> dict[str, float]:
    """Dollars of each row. A lower tier of a price is shared by the rows that use it."""
    everything = total(bill)
    share = {name: dollars_by_volume(units(**{name: number})) / number for name, number in everything.items() if number}
    return {row: sum(number * share.get(name, 0) for name, number in found.items()) for row, found in bill.items()}


def stored_gigabytes(stack: Stack, rate: float) -> float:
    """What a month adds to tables and indexes for good."""
    return rate * SECONDS * stack.mean("stored_bytes") / GB
