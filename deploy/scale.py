"""Writes docs/scale.md and its plot: what a number of deliveries a second needs, what breaks first, and what it costs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bill import HOURS, MEASURED, MILLION, ROOT, dollars, dollars_by_volume, publisher_milliseconds, units
from cost import bullet, grid, paragraph
from limits import QUOTAS, Effect, Limit, Stack, drained_messages
from month import SECONDS, by_volume, month, secret_reads, stored_gigabytes
from plot import svg
from queue_simulation import Second
from resolved_template import ResolvedTemplate
from rounding import approximately, minutes, rate_text, round_dollars
from scale_basis import basis_section, cells_section, quota_section
from scale_plot import Panel
from scenarios import BURST_FACTOR, BURST_SECONDS, OUTAGE_SECONDS, Outcome, burst, outage, settings

PAGE = ROOT / "docs" / "scale.md"
PLOT = ROOT / "docs" / "scale.svg"
LEVELS = [1, 100, 10_000, 100_000, 1_000_000]


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
        *cells_section(stack, LEVELS),
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
            f"""As it is deployed, in an account with AWS's usual quotas, a stack takes some **{approximately(usual.deliveries)}
            deliveries a second** for as long as you like; with one parameter it takes
            {approximately(stack.capacity(asked=False))}, and with quotas that AWS has to raise first, several times that. One
            delivery a second is {LEVELS[0] * SECONDS / MILLION:.1f} million a month."""
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
            f"""**A new account is the exception.** Lambda gives it
            {new_account.quota("lambda_concurrency_of_a_new_account"):.0f} concurrent executions, and
            {new_account.quota("lambda_requests_for_each_execution"):.0f} invocations a second for each. That is *{new.name}*,
            at {approximately(new.deliveries)} deliveries a second, of all functions in the region together. Ask for
            {stack.quota("lambda_concurrency"):,.0f} before the first provider is connected ([before going
            live](operations.md#before-going-live))."""
        ),
        paragraph(
            """A delivery is one request with one event, of the size in the providers' documentation, and the four providers
            that call a webhook send the same number. A delivery of a hundred events counts as one at the API, and as a hundred
            at DynamoDB and on the event bus. "Breaks" means what the next table says: in no case is an accepted delivery lost."""
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
            f"""**Lambda counts requests, not only executions.** The functions are short: {1000 * stack.webhook_seconds():.0f}
            ms for a webhook. So the quota on concurrency is reached by its
            {stack.quota("lambda_requests_for_each_execution"):.0f} invocations a second for each execution long before that
            many run at once. That Lambda counts invocations by a queue or a stream like any other is our reading; if it
            doesn't, this limit is higher.""",
            f"""**The publisher keeps up with any partition.** Each partition of the table has a stream of its own, which one
            copy of the publisher reads. A partition takes {stack.quota("dynamodb_partition_write_units"):,.0f} write units a
            second, so {stack.events_of_a_full_partition():.0f} events; the publisher does {stack.published_by_a_shard():.0f},
            {headroom:.1f} times that. If a bus in your account is slower, set `ParallelizationFactor` (not in the template).""",
            f"""**Keys are spread.** Identities are digests, so partitions fill evenly. Two keys are not: an hour of a provider
            in the time index, which is widened from {stack.shards} shards to {stack.widened_shards} by the first write that
            DynamoDB throttles; and one NurtureCloud business, whose entities share a key of their index:
            {stack.quota("dynamodb_partition_write_units"):,.0f} entities a second.""",
            f"""**NowCerts has no API.** One drain takes its messages: some {approximately(drained_messages(template))} a second
            by its share of a processor at {template.function("nowcerts").properties["MemorySize"]} MB, and less with slow
            answers of SQS ([measured](operations.md#measurements)). After the queue they count like any other delivery.""",
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
            f"""A function of Lambda grows by {stack.quota("lambda_ramp_environments"):,.0f} environments, or {ramp:,.0f}
            requests a second, in each ten seconds. From nothing to {rate_text(LEVELS[-1])} a second takes {needed:.0f} s, with
            the accounts of the next table and one function in each that gets it all. What comes faster is answered 429 or 503
            meanwhile."""
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
        grid(
            ["deliveries a second", "accounts", "`ProcessorMaximumConcurrency`", "quotas to ask AWS for"],
            rows,
            texts=["quotas to ask AWS for"],
        ),
        paragraph(
            """Quotas are asked for in the console under *Service Quotas*, by region. AWS may refuse, and takes some days. A
            table that was quiet takes twice its earlier peak at once and doubles within half an hour; before a known date,
            DynamoDB can be told with *warm throughput*."""
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
            f"""*{largest[0]}* is {100 * amounts[level][largest[0]] / whole:.0f} % of it at {rate_text(level)} a second. The
            table counts with the lower prices that AWS asks for large volumes, all accounts on one bill, and without discounts
            that you negotiate or commit to. The [prices](cost.md#prices) are those of docs/cost.md, which has the rows one by
            one. What would make a difference at {rate_text(level)} a second, and is not in the template:"""
        ),
        "\n".join(
            bullet(text)
            for text in [
                f"""**Provisioned tables.** ${round_dollars(on_demand)} of writes on demand become ${round_dollars(provisioned)}
                with provisioned capacity that is used to {100 * stack.assumed["provisioned_use"]:.0f} %, and less with reserved
                capacity. It is for a steady rate: a burst beyond the capacity is throttled, and waits in the queue.""",
                f"""**Function URLs** in place of the HTTP API save ${round_dollars(api)}, and its log lines
                (${round_dollars(access_log)}). They have neither a name of your own nor a firewall; CloudFront in front of them
                has both and costs ${round_dollars(front)} with requests from North America, so it is a way round the API's
                quota ({stack.quota("cloudfront_requests"):,.0f} requests a second of a distribution) rather than a saving.""",
                f"""**Logs** are {100 * logs / whole:.0f} % of this column: ${round_dollars(logs)}, and would be
                ${round_dollars(list_logs)} without the lower prices for volume. The lines carry the metrics that the alarms
                watch, so they can't be turned off.""",
                f"""**What is stored** is not in the table. Events never expire: each month adds
                {approximately(stored_gigabytes(stack, level))} GB, and with it ${round_dollars(kept)} to every later month, so
                ${round_dollars(12 * kept)} a month after a year, {12 * kept / whole:.1f} times the sum above. At such a rate it is
                the first thing to change: export old events to S3 and let them expire, which the stack does not do.""",
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
            {BURST_SECONDS // 60} minutes; an *outage* is an hour in which every delivery fails in the processor, as when
            DynamoDB is away. Webhooks need only SQS, and go on accepting."""
        ),
        "![How many deliveries wait, over time, in a burst and an outage](scale.svg)",
        paragraph("A burst:"),
        grid(header, rows("burst")),
        paragraph("An outage:"),
        grid(header, rows("outage")),
        "\n".join(
            bullet(text)
            for text in [
                """*Gone after* is the time from the end of the burst or outage until only what has just arrived waits.
                *Refused* is answered with an error while the API's quota, or Lambda's growth, is exceeded; the provider sends
                it again, which is not simulated. The alarm *oldest message* is raised from 15 minutes on.""",
                f"""**A small rate takes such a burst; a large one is refused at the door.** What is planned with room of
                {100 / share - 100:.0f} % does not take {BURST_FACTOR} times the rate: the queue would, but the API's quota and
                Lambda's concurrency are refused before it. The last row has both raised for the burst, and is only refused what
                Lambda's functions can't grow by in the first minute.""",
                f"""**After an outage the pollers are the ramp**, not Lambda. They fall back to
                {stack.quota("queue_pollers_at_first"):.0f} while batches fail, and come back by
                {stack.quota("queue_pollers_ramp"):.0f} a minute, as the last diagram shows. Then the table is: on demand it
                takes twice its earlier peak at once.""",
                f"""**An outage of an hour loses nothing.** A delivery is received every {visible} s, and given up after
                {receives} receives: the last is {(receives - 1) * visible / 60:.0f} minutes after the first. In one of {lasts},
                the first row would have {approximately(dead)} deliveries in the dead-letter queue, because its copies try no
                more than these so often: kept for 14 days, and [moved back](operations.md#alarm-dead-letter-queue) with one
                command.""",
                f"""**Fewer receives than one might think.** At most {in_flight:,.0f} messages are in flight, so above
                {approximately(in_flight / visible)} failing deliveries a second most are not even tried, which spares them
                receives.""",
            ]
        ),
    ]


def burst_requests(outcome: Outcome) -> float:
    return outcome.setting.rate * BURST_FACTOR * BURST_SECONDS


LONG_OUTAGE_SECONDS = 2 * OUTAGE_SECONDS


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

    def waiting(outcome: Outcome, second: Second) -> float:
        return second.waiting / outcome.setting.rate / 60

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
    return svg([panel.diagram() for panel in panels], legend, description)


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
