"""Writes docs/cost.md: what the stack of template.yaml costs, row by row."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from bill import (
    ASSUMED,
    FREE_DASHBOARD_METRICS,
    GB,
    HOURS,
    MEASURED,
    MILLION,
    PARAMETERS,
    PRICES,
    ROOT,
    WEBHOOKS,
    Bill,
    batched_saving,
    dashboard_metrics,
    deliveries,
    dollars,
    dollars_beyond_what_is_free,
    further_event,
    idle,
    kept_refused,
    key_requests,
    long_delivery,
    merged,
    processing,
    publishing,
    refused,
    requests,
    total,
    units,
    unrouted,
)
from resolved_template import ResolvedTemplate, UnknownParameter

PAGE = ROOT / "docs" / "cost.md"
LINE_CHARACTERS = 125
# The concurrent executions of an account, when it is new and usually, and the maximum of KeepRefused.
COPIES = [10, 1000]
MAX_KEPT = 100
# A delivery of many events: how many, and what they are.
LONG_EVENTS = 10_000
LONG = {"sterling": "events of Sterling", "nurturecloud": "entities of NurtureCloud"}
# The columns that the sums at the top of the page are from.
ALL, MIXED = "all providers", f"{MILLION / len(PARAMETERS):,.0f} of each"
# Any value: only whether there is one matters.
ANY_KEY = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000"


class Stacks:
    """The template under several sets of parameters."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def with_parameters(self, **parameters: str) -> ResolvedTemplate:
        return ResolvedTemplate(self._file, parameters)

    def alone(self, provider: str, **parameters: str) -> ResolvedTemplate:
        others = {name: "disabled" for each, name in PARAMETERS.items() if each != provider}
        return self.with_parameters(**others, **parameters)


def idle_columns(stacks: Stacks) -> dict[str, Bill]:
    each_minute = {"NowCertsScheduleState": "ENABLED"}
    wanted: dict[str, Callable[[], ResolvedTemplate]] = {
        ALL: lambda: stacks.with_parameters(),
        f"{ALL}, NowCerts drained each minute": lambda: stacks.with_parameters(**each_minute),
        "Machnet alone": lambda: stacks.alone("machnet"),
        "NowCerts alone": lambda: stacks.alone("nowcerts"),
        "NowCerts alone, drained each minute": lambda: stacks.alone("nowcerts", **each_minute),
    }
    found = {}
    for name, template in wanted.items():
        try:
            found[name] = idle(template())
        except UnknownParameter as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    return found


def million_columns(template: ResolvedTemplate) -> dict[str, Bill]:
    each = {PARAMETERS[provider]: deliveries(template, {provider: MILLION}) for provider in PARAMETERS}
    return each | {MIXED: deliveries(template, dict.fromkeys(PARAMETERS, MILLION / len(PARAMETERS)))}


def months(idle_bill: Bill, millions: Mapping[str, Bill]) -> dict[str, Bill]:
    """Months with a million deliveries, with everything."""
    return {name: merged(idle_bill, bill) for name, bill in millions.items()}


# Tables and sentences


def money(amount: float) -> str:
    """Dollars and cents; nothing for less than a twentieth of a cent."""
    if amount < 0.000_5:
        return ""
    return "< 0.01" if amount < 0.005 else f"{amount:,.2f}"


def grid(header: list[str], rows: list[list[str]], texts: Collection[str] = ()) -> str:
    """The first column and those of `texts` are words, the others are numbers."""
    lines = [header, ["---", *("---" if name in texts else "---:" for name in header[1:])], *rows]
    return "\n".join("|" + "|".join(f" {each} " if each else " " for each in cells) + "|" for cells in lines)


def table(columns: Mapping[str, Bill], corner: str) -> str:
    """A row for each kind of cost that any column has, and the sums."""
    names = dict.fromkeys(name for bill in columns.values() for name in bill)
    rows = [[name, *(cell(bill, name) for bill in columns.values())] for name in names]
    sums = ["**sum**", *(f"**{dollars(bill):,.2f}**" for bill in columns.values())]
    return grid([corner, *columns], [row for row in rows if any(row[1:])] + [sums])


def cell(bill: Bill, name: str) -> str:
    if name not in bill:
        return ""
    number = bill[name]["alarm_metric"] or bill[name]["secret"]
    return money(dollars(bill[name])) + (f" ({number})" if number else "")


def paragraph(text: str, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()),
        LINE_CHARACTERS,
        initial_indent="- " if indent else "",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def bullet(text: str) -> str:
    return paragraph(text, indent="  ")


def parts(bill: Bill) -> str:
    found = {name: money(dollars(each)) for name, each in bill.items()}
    return ", ".join(f"{name} {amount}" for name, amount in found.items() if amount)


def largest(bill: Bill) -> str:
    name = max(bill, key=lambda each: dollars(bill[each]))
    return f"*{name}*"


# The page


def page(stacks: Stacks) -> str:
    template = stacks.with_parameters()
    idles, millions = idle_columns(stacks), million_columns(template)
    everything = months(idles[ALL], millions)
    sections = [
        "# What it costs",
        "<!-- Written by deploy/cost.py. Change that, or what it reads, and run `make cost`. -->",
        paragraph(
            f"""With all providers and default parameters, an idle stack costs **${dollars(idles[ALL]):.2f}** a month. A
            million deliveries in a month, the same number from each provider, cost ${dollars(millions[MIXED]):.2f} more, so such a month
            costs **${dollars(everything[MIXED]):.2f}** with everything."""
        ),
        paragraph(
            f"""All figures are US dollars at list prices of us-east-1 in 2026, for functions on
            {template.parameters['Architecture']}. `deploy/cost.py` computes them from [template.yaml](../template.yaml), from the
            price list in [deploy/prices.toml](../deploy/prices.toml), and from what the code uses for a delivery, which is
            measured and kept in [deploy/measured.toml](../deploy/measured.toml). Tests fail when this page or the measurements
            are out of date. Free allowances are not taken off unless a sentence says so. Not included: taxes, your domain, mails
            of alarms, and what your own rules and consumers do with the events on the bus."""
        ),
        *idle_section(template, idles),
        *million_section(template, millions, everything),
        *long_delivery_section(template),
        *optional_section(stacks, template),
        *refused_section(template),
        *retention_section(template, millions[MIXED]),
        *price_section(),
    ]
    return "\n\n".join(sections) + "\n"


def idle_section(template: ResolvedTemplate, idles: Mapping[str, Bill]) -> list[str]:
    return [
        "## A month in which nothing arrives",
        table(idles, "dollars a month"),
        paragraph(
            f"""In brackets: how many metrics the alarms watch, and how many secrets there are. The largest row is
            {largest(idles[ALL])}. Lambda's {ASSUMED['queue_pollers']} pollers ask the queue for messages every
            {ASSUMED['poll_seconds']} seconds. Tables, bucket, queues, functions, log groups and the API cost nothing while they
            are not used. {dashboard_sentence(template)} Each month's free allowances, in an account that uses them for nothing
            else, take {dollars(idles[ALL]) - dollars_beyond_what_is_free(idles[ALL]):.2f} off the first column."""
        ),
    ]


def dashboard_sentence(template: ResolvedTemplate) -> str:
    dashboards = template.of_type("AWS::CloudWatch::Dashboard")
    if not dashboards:
        return ""
    shown = max(dashboard_metrics(template, each) for each in dashboards)
    return f"""The dashboard shows up to {shown} metrics. An account's first three dashboards of up to {FREE_DASHBOARD_METRICS} metrics
        are free; if you have three already, it costs {dollars(units(dashboard=1)):.2f}."""


def million_section(template: ResolvedTemplate, millions: Mapping[str, Bill], everything: Mapping[str, Bill]) -> list[str]:
    machnet, large = MEASURED["delivery-machnet"], MEASURED["large-delivery-machnet"]
    both = [
        ["idle and a million", *(f"**{dollars(each):.2f}**" for each in everything.values())],
        ["less free allowances", *(f"{dollars_beyond_what_is_free(each):.2f}" for each in everything.values())],
    ]
    bodies = ", ".join(f"{MEASURED[f'delivery-{each}']['body_bytes']} ({PARAMETERS[each]})" for each in WEBHOOKS)
    further = [f"{dollars(further_event(template, each)):.2f} ({PARAMETERS[each]})" for each in ["sterling", "nurturecloud"]]

    def by_the_way(delivery: Mapping[str, Any]) -> float:
        return dollars(requests(template, "machnet", delivery, MILLION)) + dollars(processing(template, delivery, MILLION))

    gigabytes = MILLION * large["body_bytes"] / GB
    return [
        "## A million deliveries in a month",
        table(millions, "dollars a million"),
        paragraph(
            f"""The largest row of the last column is {largest(millions[MIXED])}. With the first column of the table before, a month
            costs:"""
        ),
        grid(["dollars a month", *everything], both),
        "\n".join(
            [
                bullet(
                    f"""A delivery has one event and a body like those in the providers' documentation, of these bytes:
                    {bodies}."""
                ),
                bullet(
                    f"""Deliveries arrive one by one. If the processor gets them ten at a time, a million costs
                    {dollars(batched_saving(template)):.2f} less."""
                ),
                bullet(
                    f"""Further events of a delivery need no message, request or line of their own: a million of them cost
                    {" and ".join(further)}."""
                ),
                bullet(
                    f"""A million published events cost {dollars(publishing(template, MILLION)):.2f}
                    ({parts(publishing(template, MILLION))}), and {dollars(publishing(template, MILLION, 10)):.2f} if the publisher
                    gets them ten at a time. Duplicates and quarantined content are not published. EventBridge counts each 64 KB of
                    an event, and an event of more than 200 KB goes without its data. Lambda's reads of the stream cost nothing."""
                ),
                bullet(
                    f"""A million bodies of 2 MiB, which go through S3, cost {by_the_way(large):.2f} instead of
                    {by_the_way(machnet):.2f} (Machnet, without its metrics). Each is stored twice: the {gigabytes:,.0f} GB that the
                    queue's messages refer to are kept for 60 days, those of the events for as long as you keep the events, at
                    {dollars(units(s3_storage=gigabytes)):.2f} a month."""
                ),
                bullet(
                    f"""*Metrics of our own* are billed by the hour in which they are sent, and counted here as if that were every
                    hour of the month. More deliveries don't raise that. A counter of a rare outcome adds
                    {dollars(units(custom_metric=1)) / HOURS:.4f} for each hour in which it is sent."""
                ),
            ]
        ),
    ]


def long_delivery_section(template: ResolvedTemplate) -> list[str]:
    long = {f"{LONG_EVENTS:,} {what}": long_delivery(template, each, LONG_EVENTS) for each, what in LONG.items()}
    rows = {
        "calls to DynamoDB": [f"{each.calls:,.0f}" for each in long.values()],
        "write units, indexes included": [f"{each.write_units:,.0f}" for each in long.values()],
        "read units": [f"{each.read_units:,.0f}" for each in long.values()],
        "seconds": [f"{each.seconds:.1f}" for each in long.values()],
        "dollars": [f"{each.dollars:.3f}" for each in long.values()],
    }
    return [
        "## A delivery of ten thousand events",
        grid(["", *long], [[name, *cells] for name, cells in rows.items()]),
        paragraph(
            f"""This is what the processor uses for one delivery whose events are all new. Its share of a processor limits it with
            Sterling's events: with twice the memory they take half the time, for the same money. Entities are limited by DynamoDB's
            latencies as well, and entities of one business by an index, which takes 1,000 of them a second. An event is put by a
            call of its own, because several under conditions of their own are a transaction, which costs twice as much. Entities
            are put in transactions anyway, with their events, and read about {ASSUMED["entities_in_a_read"]} in a call."""
        ),
    ]


def optional_section(stacks: Stacks, usual: ResolvedTemplate) -> list[str]:
    usually = dollars(idle(usual))
    rows: list[list[str]] = []

    def add(name: str, more: str, **parameters: str) -> None:
        if parameters.keys() <= usual.parameters.keys():
            difference = dollars(idle(stacks.with_parameters(**parameters))) - usually
            rows.append([name, f"{difference:.2f}", more])

    def add_outside(parameter: str, name: str, amount: float, more: str) -> None:
        if parameter in usual.parameters:
            rows.append([f"{name} (`{parameter}`)", f"{amount:.2f}", more])

    silences = {each: "1d" for each in usual.parameters if each.endswith("Silence")}
    if silences:
        add("an alarm for each provider's silence (`MachnetSilence`, …)", "", **silences)
    add("NowCerts drained each minute (`NowCertsScheduleState`)", "", NowCertsScheduleState="ENABLED")
    add(
        "a resync with NurtureCloud once a day (`NurtureCloudBaseUrl`)",
        "what NurtureCloud sends again are deliveries",
        NurtureCloudBaseUrl="https://example.com/v1",
        NurtureCloudResyncBusinesses="1",
    )
    if "KmsKeyArn" in usual.parameters:
        requests_of_key = dollars(key_requests(stacks.with_parameters(KmsKeyArn=ANY_KEY)))
        add_outside(
            "KmsKeyArn",
            "a key of your own",
            dollars(units(kms_key=1)),
            f"up to {requests_of_key:.2f} a month, once there are some every few minutes",
        )
    add_outside(
        "NowCertsSubnetIds",
        "a NAT gateway, for a fixed address",
        dollars(units(nat_gateway_hour=HOURS, public_address_hour=HOURS)),
        f"{dollars(units(nat_gateway_gb=1)):.3f} a GB, that of the drain's calls to AWS included",
    )
    add_outside(
        "Tracing",
        "X-Ray",
        0,
        f"up to {dollars(units(trace=2 * MILLION)):.2f} a million, if webhook and processor are traced each time",
    )
    return [
        "## What optional settings add",
        grid(["Setting", "dollars a month", "deliveries"], rows),
        paragraph(
            """Deletion protection, gradual deployment, a route throttle, closing the API's own host name and a budget cost nothing. A
            disabled provider takes its alarms out of the first table, and its secret once you delete the one that is kept."""
        ),
    ]


def refused_section(template: ResolvedTemplate) -> list[str]:
    return [
        "## A flood of requests that are refused",
        paragraph(
            f"""A million requests with a wrong signature, spread over a month, cost {dollars(refused(template)):.2f}:
            {parts(refused(template))}. They reach neither the queue nor a table; the secret is read again at most every
            {ASSUMED['reread_seconds']} seconds. A million requests to paths without a route cost
            {dollars(unrouted(template)):.2f}. Nothing limits either by default, because a limit would also refuse the
            provider."""
        ),
        paragraph(
            f"""`KeepRefused` adds at most one write to S3 ({PRICES["s3_put"]["price"] / PRICES["s3_put"]["per"]:.6f}) to a refused
            request, and only to a few of them: a function keeps at most that number an hour, and a copy of it stops for the hour after
            {ASSUMED["kept_failed_writes"]} writes that failed. The worst that a flood can cause in a month, if it keeps all copies that
            the account allows busy in each of its hours and each request holds the largest document:"""
        ),
        grid(
            ["`KeepRefused`", *(f"{copies:,} copies" for copies in COPIES)],
            [
                [str(number), *(money(dollars(kept_refused(template, number, copies))) for copies in COPIES)]
                for number in [20, MAX_KEPT]
            ],
        ),
        paragraph(
            f"""An account has {COPIES[0]} copies when it is new, and usually {COPIES[1]:,}. Of the largest sum,
            {parts(kept_refused(template, MAX_KEPT, COPIES[1]))}. Without a flood it is next to nothing: a hundred refused requests
            add {dollars(units(s3_put=100)):.4f}."""
        ),
    ]


def retention_section(template: ResolvedTemplate, million: Bill) -> list[str]:
    stored = {PARAMETERS[each]: MEASURED[f"delivery-{each}"]["stored_bytes"] * MILLION / GB for each in PARAMETERS}
    kept = {name: dollars(units(dynamodb_storage=each, dynamodb_recovery=each)) for name, each in stored.items()}
    days = float(template.parameters["LogRetentionDays"])
    compressed = total(million)["logs_ingestion"] * ASSUMED["log_compression"]
    written = dollars(units(logs_ingestion=total(million)["logs_ingestion"]))
    return [
        "## What is kept",
        paragraph(
            """Events are never deleted, and their tables have point-in-time recovery. A million of them cost in every further
            month:"""
        ),
        grid(
            ["", *stored],
            [
                ["GB in tables and indexes", *(f"{each:.1f}" for each in stored.values())],
                ["dollars a month", *(f"{each:.2f}" for each in kept.values())],
            ],
        ),
        paragraph(
            f"""The log lines of a million deliveries cost {written:.2f} to write. To keep those of a million a month costs
            {money(dollars(units(logs_storage=compressed * days / 30)))} a month with `LogRetentionDays` at {days:.0f}, and
            {money(dollars(units(logs_storage=compressed * 365 / 30)))} with 365."""
        ),
    ]


def price_section() -> list[str]:
    def amount(price: Mapping[str, Any]) -> list[str]:
        number = 1 if price["per"] == 1 else MILLION
        return [f"{price['price'] / price['per'] * number:.4f}".rstrip("0").rstrip("."), "1" if number == 1 else "a million"]

    def page_of(price: Mapping[str, Any]) -> str:
        return f"[{price['source'].removeprefix('https://').rstrip('/')}]({price['source']})"

    rows = [[each["unit"], *amount(each), each["date"], page_of(each)] for each in PRICES.values()]
    return [
        "## Prices",
        grid(["Unit", "dollars", "for", "copy of", "AWS's page"], rows),
        paragraph(
            """What is assumed and not measured, such as the latencies inside a region, which Lambda's time follows from, is at the
            top of [deploy/measured.toml](../deploy/measured.toml)."""
        ),
    ]


def summary(stacks: Stacks) -> str:
    """The sums alone, for a template of which no page is written."""
    idles, millions = idle_columns(stacks), million_columns(stacks.with_parameters())
    everything = {name: f"{dollars(each):.2f}" for name, each in months(idles[ALL], millions).items()}
    sums = grid(["dollars a month", *everything], [["idle and a million", *everything.values()]])
    return "\n\n".join([table(idles, "idle"), table(millions, "a million"), sums])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    parser.add_argument("--summary", action="store_true", help="print the sums and write nothing")
    parser.add_argument("--check", action="store_true", help="fail if docs/cost.md is out of date, and write nothing")
    arguments = parser.parse_args()
    stacks = Stacks(arguments.template)
    if arguments.summary:
        print(summary(stacks))
        return 0
    text = page(stacks)
    if not arguments.check:
        PAGE.write_text(text)
    elif not PAGE.is_file() or PAGE.read_text() != text:
        print(f"{PAGE} is out of date; run `make cost`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
