"""Writes docs/scale.md and its plot: what a number of deliveries a second needs, what breaks first, and what it costs."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from bill import (
    GB,
    HOURS,
    MEASURED,
    MILLION,
    PARAMETERS,
    ROOT,
    WEBHOOKS,
    Bill,
    Units,
    dollars,
    dollars_by_volume,
    idle,
    log_metrics,
    merged,
    metrics,
    processing,
    publisher_milliseconds,
    publishing,
    requests,
    tokens,
    total,
    units,
    variables,
)
from cost import bullet, grid, paragraph
from limits import QUOTAS, Effect, Limit, Stack, drained_messages
from resolved_template import ResolvedTemplate
from scale_plot import Panel, svg
from scenarios import BURST_FACTOR, BURST_SECONDS, OUTAGE_SECONDS, Outcome, burst, outage, settings

PAGE = ROOT / "docs" / "scale.md"
PLOT = ROOT / "docs" / "scale.svg"
LEVELS = [1, 100, 10_000, 100_000, 1_000_000]
SECONDS = HOURS * 3600
KINDS = {"soft": "soft", "hard": "hard", "itself": "grows by itself"}


def rate_text(rate: float) -> str:
    return f"{rate:,.0f}"


def round_dollars(amount: float) -> str:
    return f"{amount:,.2f}" if amount < 100 else f"{float(f'{amount:.3g}'):,.0f}"


def approximately(number: float) -> str:
    """With three digits."""
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 100 else f"{number:.2g}"


# A level's bill


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


# Sections


def page(stack: Stack, outcomes: Mapping[str, list[Outcome]], new_account: Stack) -> str:
    sections = [
        "# Will it hold for us?",
        "<!-- Written by deploy/scale.py. Change that, or what it reads, and run `make scale`. -->",
        *summary_section(stack, new_account),
        *ladder_section(stack),
        *needs_section(stack),
        *knobs_section(stack),
        *dollars_section(stack),
        *queue_section(stack, outcomes),
        *cells_section(stack),
        *basis_section(stack),
        *quota_section(stack),
    ]
    return "\n\n".join(sections) + "\n"


def verdict(stack: Stack, rate: float) -> str:
    first = stack.first_limit(rate)
    if first is None:
        following = stack.limits()[0]
        return f"nothing; next is *{following.name}*, at {approximately(following.deliveries)}"
    text = f"*{first.name}*, at {approximately(first.deliveries)}"
    # What is one's own is turned at once, so the first that needs somebody else is what one really waits for.
    others = [limit for limit in stack.reached(rate) if not limit.is_own]
    if first.is_own and others:
        text += f"; then *{others[0].name}*, at {approximately(others[0].deliveries)}"
    further = len(others) - 1
    return text + (f", and {further} more" if further > 0 else "")


def knob(stack: Stack, rate: float) -> str:
    cells = stack.cells(rate, asked=True)
    if cells > 1:
        return f"{cells} accounts, as [below](#more-than-one-account), each with quotas raised"
    first = stack.first_limit(rate)
    if first is None:
        return "none"
    asked = stack.to_ask_for(rate)
    also = f", and {len(asked)} [quotas](#what-to-turn)" if asked else ""
    if first.is_own and "ProcessorMaximumConcurrency" in first.knob:
        return f"`ProcessorMaximumConcurrency={stack.planned_concurrency(rate)}`{also}"
    return first.knob + also


def summary_section(stack: Stack, new_account: Stack) -> list[str]:
    rows = []
    for rate in LEVELS:
        amount = sum(by_volume(month(stack, rate)).values())
        per_million = amount / (rate * SECONDS / MILLION)
        rows.append(
            [
                rate_text(rate),
                approximately(rate * SECONDS / MILLION),
                verdict(stack, rate),
                knob(stack, rate),
                round_dollars(amount),
                f"{per_million:.2f}",
            ]
        )
    new = new_account.limits()[0]
    usual = stack.limits()[0]
    return [
        paragraph(
            f"""As it is deployed, in an account with AWS's usual quotas, a stack takes some
            **{approximately(usual.deliveries)} deliveries a second** for as long as you like; with one parameter it takes
            {approximately(stack.capacity(asked=False))}, and with quotas that AWS has to raise first, several times that. One delivery
            a second is {LEVELS[0] * SECONDS / MILLION:.1f} million a month."""
        ),
        grid(
            [
                "deliveries a second",
                "millions a month",
                "what breaks first",
                "what to turn",
                "dollars a month",
                "dollars a million",
            ],
            rows,
            texts=["what breaks first", "what to turn"],
        ),
        paragraph(
            f"""**A new account is the exception.** Lambda gives it {new_account.quota("lambda_concurrency_of_a_new_account"):.0f}
            concurrent executions, and {new_account.quota("lambda_requests_for_each_execution"):.0f} invocations a second for each. That
            is *{new.name}*, at {approximately(new.deliveries)} deliveries a second, of all functions in the region together. Ask for
            {stack.quota("lambda_concurrency"):,.0f} before the first provider is connected
            ([before going live](operations.md#before-going-live))."""
        ),
        paragraph(
            """A delivery is one request with one event, of the size in the providers' documentation, and the four providers that call a
            webhook send the same number. A delivery of a hundred events counts as one at the API, and as a hundred at DynamoDB and on the
            event bus. "Breaks" means what the next table says: in no case is an accepted delivery lost."""
        ),
    ]


def ladder_section(stack: Stack) -> list[str]:
    rows = [
        [limit.name, approximately(limit.deliveries), " ".join(limit.reckoning.split()), " ".join(limit.knob.split()), effect(limit)]
        for limit in stack.limits()
    ]
    headroom = stack.published_by_a_shard() / stack.events_of_a_full_partition()
    template = stack.template
    return [
        "## What is reached, and when",
        paragraph("From the first limit to the last, with default parameters and AWS's usual quotas in us-east-1:"),
        grid(
            ["limit", "deliveries a second", "how that comes about", "what to turn", "beyond it"],
            rows,
            texts=["how that comes about", "what to turn", "beyond it"],
        ),
        *notes(
            f"""**Lambda counts requests, not only executions.** The functions are short: {1000 * stack.webhook_seconds():.0f} ms for a
            webhook. So the quota on concurrency is reached by its {stack.quota("lambda_requests_for_each_execution"):.0f} invocations a
            second for each execution long before that many run at once. That Lambda counts invocations by a queue or a stream like
            any other is our reading; if it doesn't, this limit is higher.""",
            f"""**The publisher keeps up with any partition.** Each partition of the table has a stream of its own, which one copy of the
            publisher reads. A partition takes {stack.quota("dynamodb_partition_write_units"):,.0f} write units a second, so
            {stack.events_of_a_full_partition():.0f} events; the publisher does {stack.published_by_a_shard():.0f}, {headroom:.1f} times
            that. If a bus in your account is slower, set `ParallelizationFactor` (not in the template).""",
            f"""**Keys are spread.** Identities are digests, so partitions fill evenly. Two keys are not: an hour of a provider in the time
            index, which is widened from {stack.shards} shards to {stack.widened_shards} by the first write that DynamoDB throttles; and
            one NurtureCloud business, whose entities share a key of their index:
            {stack.quota("dynamodb_partition_write_units"):,.0f} entities a second.""",
            f"""**NowCerts has no API.** One drain takes its messages: some {approximately(drained_messages(template))} a second by its
            share of a processor at {template.function("nowcerts").properties["MemorySize"]} MB, and less with slow answers of SQS
            ([measured](operations.md#measurements)). After the queue they count like any other delivery.""",
            f"""**Large bodies.** A body that does not fit into a message of 1 MiB goes through S3, which takes
            {stack.quota("s3_puts"):,.0f} of them a second under one prefix, a provider's day, and more as it splits it.""",
        ),
    ]


def effect(limit: Limit) -> str:
    return {Effect.REFUSED: "refused", Effect.WAITS: "waits", Effect.LATE: "late"}[limit.effect]


def notes(*texts: str) -> list[str]:
    effects = [f"*{effect_name}*: {each.value}" for effect_name, each in zip(["refused", "waits", "late"], Effect, strict=True)]
    return [paragraph("; ".join(effects).capitalize() + "."), "\n".join(bullet(text) for text in texts)]


def needs_section(stack: Stack) -> list[str]:
    def row(name: str, value: Callable[[float], float]) -> list[str]:
        return [name, *(approximately(value(rate)) for rate in LEVELS)]

    def cell(rate: float) -> float:
        return rate / stack.cells(rate, asked=True)

    def records(rate: float) -> float:
        return stack.records_per_batch(cell(rate))

    def events(rate: float) -> float:
        return stack.events_per_batch(cell(rate))

    def in_batches(rate: float) -> float:
        return rate / records(rate) * (stack.batch_seconds(records(rate)) + stack.between_batches_seconds)

    def pollers_minutes(rate: float) -> float:
        more = in_batches(rate) / stack.cells(rate, asked=True) - stack.quota("queue_pollers_at_first")
        return max(0.0, more / stack.quota("queue_pollers_ramp"))

    def log_bytes(rate: float) -> float:
        return sum(found["logs_ingestion"] for found in month(stack, rate).values()) / HOURS * 24

    shards = [
        f"{stack.shards if cell(rate) <= stack.shards * stack.quota('dynamodb_partition_write_units') else stack.widened_shards}"
        for rate in LEVELS
    ]
    rows = [
        row("requests a second: API, or CloudFront and function URLs", lambda rate: rate),
        row("Lambda: webhooks at once", lambda rate: rate * stack.webhook_seconds()),
        row("Lambda: processors at once (SQS pollers)", in_batches),
        row("… deliveries in a batch", records),
        row("… minutes until an account's pollers are there", pollers_minutes),
        row(
            "Lambda: publishers at once",
            lambda rate: rate / events(rate) * publisher_milliseconds(stack.publisher, events(rate)) / 1000,
        ),
        row("Lambda: invocations a second", lambda rate: rate * stack.invocations(records(rate), events(rate))),
        row("SQS: calls a second", lambda rate: rate * (stack.mean("sqs_requests") + 2 / records(rate))),
        row("DynamoDB: write units a second of tables", lambda rate: rate * stack.table_units),
        row("DynamoDB: write units a second of indexes", lambda rate: rate * stack.index_units),
        row("DynamoDB: read units a second", lambda rate: rate * stack.mean("read_half_units") / 2),
        row("DynamoDB: partitions of the tables", lambda rate: stack.cells(rate, True) * stack.partitions(cell(rate))),
        ["DynamoDB: shards of an hour, if one provider sends it all", *shards],
        row("Secrets Manager: reads a second", lambda rate: secret_reads(stack, rate)),
        row("S3: objects a second, if all bodies were over 1 MiB", lambda rate: rate * MEASURED["large-delivery-machnet"]["s3_puts"]),
        row("EventBridge: calls a second", lambda rate: rate / min(events(rate), 10)),
        row("logs: GB a day", log_bytes),
        row("tables: GB more each month", lambda rate: stored_gigabytes(stack, rate)),
    ]
    ramp = stack.quota("lambda_ramp_requests")
    needed = max(0.0, cell(LEVELS[-1]) - ramp) / (ramp / 10)
    return [
        "## What each level needs",
        paragraph("Of all accounts together. What has to be raised for it stands in the table after this one."),
        grid(["a second", *map(rate_text, LEVELS)], rows),
        paragraph(
            f"""A function of Lambda grows by {stack.quota("lambda_ramp_environments"):,.0f} environments, or {ramp:,.0f} requests a second,
            in each ten seconds. From nothing to {rate_text(LEVELS[-1])} a second takes {needed:.0f} s, with the accounts of the next
            table and one function in each that gets it all. What comes faster is answered 429 or 503 meanwhile."""
        ),
    ]


def knobs_section(stack: Stack) -> list[str]:
    rows = []
    for rate in LEVELS:
        cells = stack.cells(rate, asked=True)
        asked = stack.to_ask_for(rate / cells)
        quotas = "; ".join(f"{QUOTAS[name]['ask']}: **{value:,.0f}**" for name, value in asked.items())
        concurrency = stack.planned_concurrency(rate / cells)
        rows.append([rate_text(rate), str(cells), f"{concurrency:,}", quotas or "nothing"])
    share, factor = stack.assumed["planned_share"], stack.assumed["recovery_factor"]
    return [
        "## What to turn",
        paragraph(
            f"""For each account. The quotas leave {100 - 100 * share:.0f} % of room, and what a backlog waits for has room for
            {factor} times the rate, so that a backlog of an hour is gone an hour later."""
        ),
        grid(["deliveries a second", "accounts", "`ProcessorMaximumConcurrency`", "quotas to ask AWS for"], rows, texts=["quotas to ask AWS for"]),
        paragraph(
            """Quotas are asked for in the console under *Service Quotas*, by region. AWS may refuse, and takes some days. A table that
            was quiet takes twice its earlier peak at once and doubles within half an hour; before a known date, DynamoDB can be told
            with *warm throughput*."""
        ),
    ]


def dollars_section(stack: Stack) -> list[str]:
    bills = {rate: month(stack, rate) for rate in LEVELS}
    amounts = {rate: by_volume(bill) for rate, bill in bills.items()}
    names = dict.fromkeys(name for bill in bills.values() for name in bill)
    largest = sorted(names, key=lambda name: -amounts[LEVELS[-1]].get(name, 0))
    rows = [[name, *(round_dollars(amounts[rate].get(name, 0)) for rate in LEVELS)] for name in largest]
    rows = [row for row in rows if any(each not in ("", "0.00") for each in row[1:])]
    sums = ["**sum**", *(f"**{round_dollars(sum(amounts[rate].values()))}**" for rate in LEVELS)]
    level = LEVELS[2]
    number = level * SECONDS
    api = dollars_by_volume(units(http_api_request=number))
    access_log = amounts[level]["logs: the API"]
    front = dollars(units(cloudfront_request=number))
    write_units = bills[level]["DynamoDB: writes"]["dynamodb_write_unit"]
    on_demand = dollars(units(dynamodb_write_unit=write_units))
    per_second = write_units / SECONDS / stack.assumed["provisioned_use"]
    provisioned = dollars(units(dynamodb_provisioned_write_unit_hour=per_second * HOURS))
    logs = sum(each for name, each in amounts[level].items() if name.startswith("logs"))
    whole = sum(amounts[level].values())
    list_logs = dollars(units(logs_ingestion=sum(found["logs_ingestion"] for found in bills[level].values())))
    kept = dollars(units(dynamodb_storage=stored_gigabytes(stack, level), dynamodb_recovery=stored_gigabytes(stack, level)))
    return [
        "## What it costs",
        grid(["dollars a month", *map(rate_text, LEVELS)], [*rows, sums]),
        paragraph(
            f"""*{largest[0]}* is {100 * amounts[level][largest[0]] / whole:.0f} % of it at {rate_text(level)} a second. The table counts with the lower prices that AWS asks for large volumes, all accounts on one bill, and without discounts that you negotiate or commit to. The [prices](cost.md#prices) are those of docs/cost.md, which has the rows one by one. What would
            make a difference at {rate_text(level)} a second, and is not in the template:"""
        ),
        "\n".join(
            bullet(text)
            for text in [
                f"""**Provisioned tables.** ${round_dollars(on_demand)} of writes on demand become ${round_dollars(provisioned)} with
                provisioned capacity that is used to {100 * stack.assumed["provisioned_use"]:.0f} %, and less with reserved capacity. It is
                for a steady rate: a burst beyond the capacity is throttled, and waits in the queue.""",
                f"""**Function URLs** in place of the HTTP API save ${round_dollars(api)}, and its log lines (${round_dollars(access_log)}).
                They have neither a name of your own nor a firewall; CloudFront in front of them has both and costs
                ${round_dollars(front)} with requests from North America, so it is a way round the API's quota
                ({stack.quota("cloudfront_requests"):,.0f} requests a second of a distribution) rather than a saving.""",
                f"""**Logs** are {100 * logs / whole:.0f} % of this column: ${round_dollars(logs)}, and would be ${round_dollars(list_logs)}
                without the lower prices for volume. The lines carry the metrics that the alarms watch, so they can't be turned off.""",
                f"""**What is stored** is not in the table. Events never expire: each month adds
                {approximately(stored_gigabytes(stack, level))} GB, and with it ${round_dollars(kept)} to every later month, so
                ${round_dollars(12 * kept)} a month after a year. That is more than the sum above, and the first thing to change at such a
                rate: export old events to S3 and let them expire, which the stack does not do.""",
            ]
        ),
    ]


def queue_section(stack: Stack, outcomes: Mapping[str, list[Outcome]]) -> list[str]:
    def rows(kind: str) -> list[list[str]]:
        return [
            [
                each.setting.name,
                approximately(each.run.most_waiting),
                minutes(each.run.oldest_seconds),
                "not in the time shown" if each.recovered_seconds is None else minutes(each.recovered_seconds),
                f"{100 * each.run.refused / burst_requests(each):.0f} % of the burst" if each.run.refused else "none",
                approximately(each.run.dead + each.run.expired) if each.run.dead + each.run.expired else "none",
            ]
            for each in outcomes[kind]
        ]

    header = ["setting", "most waiting", "oldest", "gone after", "refused", "given up"]
    [queue] = [each for each in stack.template.of_type("AWS::SQS::Queue") if each.name == "Queue"]
    receives, visible = queue.properties["RedrivePolicy"]["maxReceiveCount"], queue.properties["VisibilityTimeout"]
    long = outcomes["long outage"][0]
    lasts, dead = minutes(LONG_OUTAGE_SECONDS), long.run.dead
    in_flight, share = stack.quota("queue_in_flight"), stack.assumed["planned_share"]
    return [
        "## Bursts and outages",
        paragraph(
            f"""A simulation of the queue, second by second. A *burst* is {BURST_FACTOR} times the ordinary rate for
            {BURST_SECONDS // 60} minutes; an *outage* is an hour in which every delivery fails in the processor, as when DynamoDB is away.
            Webhooks need only SQS, and go on accepting."""
        ),
        "![How many deliveries wait, over time, in a burst and an outage](scale.svg)",
        paragraph("A burst:"),
        grid(header, rows("burst")),
        paragraph("An outage:"),
        grid(header, rows("outage")),
        "\n".join(
            bullet(text)
            for text in [
                """*Gone after* is the time from the end of the burst or outage until only what has just arrived waits. *Refused* is answered
                with an error while the API's quota, or Lambda's growth, is exceeded; the provider sends it again, which is not simulated.
                The alarm *oldest message* is raised from 15 minutes on.""",
                f"""**A small rate takes such a burst; a large one is refused at the door.** What is planned with room of
                {100 / share - 100:.0f} % does not take {BURST_FACTOR} times the rate: the queue would, but the API's quota and Lambda's
                concurrency are refused before it. The last row has both raised for the burst, and is only refused what Lambda's functions
                can't grow by in the first minute.""",
                f"""**After an outage the pollers are the ramp**, not Lambda. They fall back to
                {stack.quota("queue_pollers_at_first"):.0f} while batches fail, and come back by {stack.quota("queue_pollers_ramp"):.0f} a
                minute, as the last diagram shows. Then the table is: on demand it takes twice its earlier peak at once.""",
                f"""**An outage of an hour loses nothing.** A delivery is received every {visible} s, and given up after {receives} receives:
                the last is {(receives - 1) * visible / 60:.0f} minutes after the first. In one of {lasts}, the first row would have {approximately(dead)}
                deliveries in the dead-letter queue, because its copies try no more than these so often: kept for 14 days, and
                [moved back](operations.md#alarm-dead-letter-queue) with one command.""",
                f"""**Fewer receives than one might think.** At most {in_flight:,.0f} messages are in flight, so above
                {approximately(in_flight / visible)} failing deliveries a second most are not even tried, which spares them receives.""",
            ]
        ),
    ]


def burst_requests(outcome: Outcome) -> float:
    return outcome.setting.rate * BURST_FACTOR * BURST_SECONDS


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


LONG_OUTAGE_SECONDS = 2 * OUTAGE_SECONDS


def cells_section(stack: Stack) -> list[str]:
    share = stack.assumed["planned_share"]
    rows = [[rate_text(rate), str(stack.cells(rate, asked=False)), str(stack.cells(rate, asked=True))] for rate in LEVELS]
    return [
        "## More than one account",
        paragraph(
            f"""One account takes {approximately(stack.capacity(asked=False))} deliveries a second without asking AWS for anything, and
            {approximately(stack.capacity(asked=True))} if AWS raises each soft quota to {stack.assumed["raised_factor"]} times its
            default and one provider sends everything. Used to {100 * share:.0f} %, a level needs so many accounts:"""
        ),
        grid(["deliveries a second", "accounts with default quotas", "accounts with quotas raised"], rows),
        "\n".join(
            bullet(text)
            for text in [
                """An account with a stack is a **cell**: API, functions, queue, tables, bus, alarms, all its own. Nothing is shared, so a
                flood or a mistake stays in its cell, and a release goes to one cell first. Each is deployed by `make deploy` with that account's credentials.""",
                """Divide by **subscription**: one account of a provider, or one business, has one URL and so one cell. Whether an event was
                seen before is known in its cell only, so a subscription must not be spread over two. One that exceeds a cell alone has to
                be divided at the provider.""",
                """Give each cell a **host name** of its own (`DomainName`), and keep a table of which subscription has which. Consumers read
                from all buses: a rule of each cell's bus can send to a bus in one account.""",
                """A **region** divides the quotas in the same way as an account, at the price of calls between regions.""",
            ]
        ),
    ]


def basis_section(stack: Stack) -> list[str]:
    assumed = stack.assumed
    return [
        "## Computed, measured, assumed",
        "\n".join(
            bullet(text)
            for text in [
                """**Measured**, on the emulated stack: calls, write and read units, bytes stored and logged for a delivery, and the metrics
                that are sent ([deploy/measured.toml](../deploy/measured.toml)). Measured as whole processes on one machine: the processor
                time of a webhook.""",
                """**Computed**, by `deploy/scale.py` from those, from [template.yaml](../template.yaml), from
                [deploy/quotas.toml](../deploy/quotas.toml) and [deploy/prices.toml](../deploy/prices.toml): everything in the tables. Tests fail when
                this page is out of date.""",
                f"""**Assumed**: the latencies of SQS, DynamoDB and EventBridge inside a region (top of measured.toml);
                {assumed["between_batches_milliseconds"]} ms between two batches of a poller; that batches are as full as what arrives while
                the first pollers are busy; that a batch which fails does so in {assumed["failing_batch_milliseconds"]} ms and that Lambda then
                falls back to its first pollers; that the oldest messages are received first; that AWS grants {assumed["raised_factor"]} times a soft quota for which its page names
                no maximum; that EventBridge counts calls and not their entries.""",
                """**Not tried.** None of these rates was run on AWS. Before you depend on one above the first limit, load a stack of your
                own with it. Not considered: other things in the account that use the same quotas, quotas of your consumers, CloudWatch's own,
                a region with lower ones, and a surcharge on messages with a group, which others report of SQS.""",
            ]
        ),
    ]


def quota_section(stack: Stack) -> list[str]:
    def source(quota: Mapping[str, object]) -> str:
        return f"[{str(quota['source']).rsplit('/', 1)[-1].removesuffix('.html')[:40]}]({quota['source']})"

    def kind(quota: Mapping[str, object]) -> str:
        most = f", to {quota['documented_maximum']}" if "documented_maximum" in quota else ""
        return KINDS[str(quota["kind"])] + most

    rows = [
        [f"{each['value']:,}", str(each["unit"]), kind(each), str(each.get("note", "")), str(each["date"]), source(each)]
        for name, each in stack.quotas.items()
        if name != "assumptions"
    ]
    return [
        "## Quotas",
        paragraph("*Soft*: AWS raises it on request. *Hard*: it can't be raised, or nothing says that it can."),
        grid(["quota", "of what", "kind", "", "copy of", "AWS's page"], rows, texts=["of what", "kind", "", "AWS's page"]),
    ]


# The files


def simulated(stack: Stack) -> dict[str, list[Outcome]]:
    wanted = settings(stack)
    return {
        "burst": [burst(stack, each) for each in wanted],
        # The last is set for the burst.
        "outage": [outage(stack, each) for each in wanted[:-1]],
        "long outage": [outage(stack, wanted[0], 4 * 3600, LONG_OUTAGE_SECONDS)],
    }


def plot(outcomes: Mapping[str, list[Outcome]]) -> str:
    bursts, outages = outcomes["burst"], outcomes["outage"]
    planned = range(2, len(outages))

    def waiting(outcome: Outcome, second: object) -> float:
        return second.waiting / outcome.setting.rate / 60  # type: ignore[attr-defined]

    panels = [
        Panel(
            f"Waiting in the queue: {BURST_FACTOR} times the rate for {BURST_SECONDS // 60} minutes",
            "minutes of arrivals",
            bursts,
            waiting,
            30,
            BURST_SECONDS,
            "burst",
            range(len(bursts)),
        ),
        Panel(
            "Waiting in the queue: an hour in which nothing can be processed",
            "minutes of arrivals",
            outages,
            waiting,
            150,
            OUTAGE_SECONDS,
            "outage",
            range(len(outages)),
        ),
        Panel(
            "Copies of the processor at work in that outage and after it",
            "copies",
            [outages[each] for each in planned],
            lambda _, second: second.concurrency,
            150,
            OUTAGE_SECONDS,
            "outage",
            list(planned),
        ),
    ]
    legend = [each.setting.name for each in bursts]
    description = "; ".join(
        f"{each.setting.name}: at most {each.run.most_waiting:,.0f} wait in the {kind}"
        for kind, found in [("burst", bursts), ("outage", outages)]
        for each in found
    )
    return svg(panels, legend, description)


def written(template: Path) -> dict[Path, str]:
    resolved = ResolvedTemplate(template, {})
    stack = Stack(resolved)
    outcomes = simulated(stack)
    return {PAGE: page(stack, outcomes, Stack(resolved, new_account=True)), PLOT: plot(outcomes)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    parser.add_argument("--check", action="store_true", help="fail if the page or its plot is out of date, and write nothing")
    arguments = parser.parse_args()
    outdated = []
    for file, text in written(arguments.template).items():
        if not arguments.check:
            file.write_text(text)
        elif not file.is_file() or file.read_text() != text:
            outdated.append(str(file))
    if outdated:
        print(f"out of date; run `make scale`: {', '.join(outdated)}", file=sys.stderr)
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
