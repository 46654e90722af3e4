"""Computes what the stack costs, from its template, the price list and the measurements of the code.

A quantity is kept as a number of units of a price in prices.toml until the end, so that rows, sums and free allowances come from
the same numbers.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import provider_pages
from resolved_template import ResolvedTemplate, Resource
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[1]
PRICES: dict[str, Any] = tomllib.loads((ROOT / "deploy" / "prices.toml").read_text())
MEASURED: dict[str, Any] = tomllib.loads((ROOT / "deploy" / "measured.toml").read_text())
ASSUMED: dict[str, Any] = MEASURED["assumptions"]

HOURS = 730
MINUTES = HOURS * 60
MILLION = 1_000_000
GB = 1e9
HTTP_API_REQUEST_BYTES = 512 * 1024
BUS_EVENT_BYTES = 64 * 1024
# Maximum number of entries in a call of PutEvents, and of the publisher (shared/pipeline/src/publisher/bus.rs).
BUS_ENTRIES = 10
LOG_EVENT_BYTES = 26
# The metrics of a dashboard that may be free.
FREE_DASHBOARD_METRICS = 50
# What HTTP APIs send for each route with detailed metrics: 4xx, 5xx, Count, DataProcessed, IntegrationLatency, Latency.
DETAILED_METRICS = 6

_SOURCE = yaml_parse((ROOT / "template.yaml").read_text())
# The parameter of each provider by its name. Both are in template.yaml.
PARAMETERS = {parameter.lower(): parameter for parameter in provider_pages.providers(_SOURCE)}


def _routes() -> dict[str, str]:
    """The path of each webhook, by the name of the provider that calls it."""
    functions = [each for each in _SOURCE["Resources"].values() if each["Type"] == "AWS::Serverless::Function"]
    paths = {
        each["Metadata"]["BuildProperties"]["Binary"]: event["Properties"].get("Path", "")
        for each in functions
        for event in each["Properties"].get("Events", {}).values()
    }
    return {provider: paths[provider] for provider in PARAMETERS if paths.get(provider, "").startswith("/webhooks/")}


ROUTES = _routes()
WEBHOOKS = list(ROUTES)

# The counters with a provider that not every provider sends.
SENDERS = {
    "faults": WEBHOOKS,
    "unverified": WEBHOOKS,
    "unknown": WEBHOOKS,
    # Those whose events have an alias, and so an example of a repeat.
    "repeat": [each for each in PARAMETERS if (ROOT / "schemas" / "examples" / f"{each}-repeat.json").is_file()],
}

# Numbers of units, by the name of their price.
Units = Counter[str]
# Rows of a table, in order.
Bill = dict[str, Units]


def units(**numbers: float) -> Units:
    return Counter(numbers)


def dollars(bill: Bill | Units) -> float:
    found = total(bill) if isinstance(bill, dict) and not isinstance(bill, Counter) else bill
    return sum(number * PRICES[name]["price"] / PRICES[name]["per"] for name, number in found.items())


def total(bill: Bill) -> Units:
    return sum(bill.values(), Counter())


def dollars_by_volume(found: Units) -> float:
    """The same with the lower prices that AWS asks for large numbers of units in a month."""
    return sum(price_of_volume(PRICES[name], number) for name, number in found.items())


def price_of_volume(price: Mapping[str, Any], number: float) -> float:
    """A price's tiers are from a number of units in a month on."""
    tiers = [(0, price["price"]), *((tier["above"], tier["price"]) for tier in price.get("tiers", []))]
    ends = [*(above for above, _ in tiers[1:]), math.inf]
    return sum(max(0, min(number, end) - above) * each / price["per"] for (above, each), end in zip(tiers, ends, strict=True))


def dollars_beyond_what_is_free(bill: Bill) -> float:
    """What an account pays that has nothing else in it."""
    return dollars(Counter({name: max(0, number - PRICES[name].get("free", 0)) for name, number in total(bill).items()}))


def merged(*bills: Bill) -> Bill:
    found: Bill = {}
    for bill in bills:
        for row, each in bill.items():
            found[row] = found.get(row, Counter()) + each
    return found


# What the template creates


def alarm_metrics(alarm: Resource) -> int:
    """Number of metrics that an alarm is billed for."""
    if "Metrics" not in alarm.properties:
        return 1
    return sum("MetricStat" in each for each in alarm.properties["Metrics"])


def dashboard_metrics(template: ResolvedTemplate, dashboard: Resource) -> int:
    """Number of different metrics that a dashboard shows at most."""
    shown: set[tuple[str, ...]] = set()
    found = 0
    for widget in json.loads(dashboard.properties["DashboardBody"])["widgets"]:
        before: tuple[str, ...] = ()
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                found += searched_metrics(template, metric[0]["expression"])
                continue
            names = (each for each in metric if isinstance(each, str))
            # A dot stands for what the line before has in its place.
            before = tuple(before[place] if each == "." else each for place, each in enumerate(names))
            shown.add(before)
    return len(shown) + found


def searched_metrics(template: ResolvedTemplate, expression: str) -> int:
    """Number of metrics that a search can find: of each function, or of each provider that sends them."""
    search = re.fullmatch(r"SEARCH\('\{[^,]+,(\w+)\} MetricName=(.*?)(?: FunctionName=.*)?', '\w+'\)", expression)
    if not search:
        raise NotImplementedError(f"the expression {expression}")
    dimension, names = search[1], re.findall(r'"(\w+)"', search[2])
    if dimension == "FunctionName":
        return len(names) * len(template.of_type("AWS::Lambda::Function"))
    assert dimension == "provider", expression
    there = [each for each in PARAMETERS if template.function(each)]
    return sum(provider in SENDERS.get(name, there) for name in names for provider in there)


def runs_per_month(schedule: Resource) -> float:
    if schedule.properties.get("State") == "DISABLED":
        return 0
    expression = schedule.properties["ScheduleExpression"]
    found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if not found:
        raise NotImplementedError(f"the schedule {expression}")
    return MINUTES / (int(found[1]) * {"minute": 1, "hour": 60, "day": 1440}[found[2]])


def compute(function: Resource, milliseconds: float, invocations: float) -> Units:
    """Lambda's own price of invocations that take so long."""
    gigabytes = function.properties["MemorySize"] / 1024
    architecture = function.properties["Architectures"][0]
    seconds = math.ceil(milliseconds) / 1000 * invocations
    return units(**{"lambda_request": invocations, f"lambda_{architecture}_gb_second": gigabytes * seconds})


def processor_share(function: Resource) -> float:
    return function.properties["MemorySize"] / ASSUMED["whole_processor_megabytes"]


def system_log_bytes(function: Resource) -> int:
    """What Lambda itself writes to a function's log for each invocation."""
    level = function.properties["LoggingConfig"].get("SystemLogLevel", "INFO")
    return 0 if level == "WARN" else ASSUMED["system_log_bytes"]


def access_log_bytes(template: ResolvedTemplate, path: str) -> int:
    """Size of the API's line for a request."""
    [stage] = template.of_type("AWS::ApiGatewayV2::Stage")
    values = {
        "requestTime": "26/Nov/2026:10:00:00 +0000",
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": f"POST {path}",
        "status": "200",
        "identity.sourceIp": "203.0.113.100",
        "protocol": "HTTP/1.1",
        "responseLength": "54",
        "responseLatency": "25",
        "integration.status": "200",
        "integration.integrationStatus": "200",
        "integration.latency": "24",
        "integration.error": "-",
        "error.message": "-",
    }
    line = re.sub(r"\$context\.([\w.]+)", lambda found: values[found[1]], stage.properties["AccessLogSettings"]["Format"])
    return len(line) + LOG_EVENT_BYTES


def log_metrics(template: ResolvedTemplate) -> int:
    """Number of metrics that filters send whenever there is a line, even one that does not match."""
    return sum(
        "DefaultValue" in transformation
        for each in template.of_type("AWS::Logs::MetricFilter")
        for transformation in each.properties["MetricTransformations"]
    )


# What it costs while nothing arrives


def idle(template: ResolvedTemplate) -> Bill:
    watched = sum(alarm_metrics(each) for each in template.of_type("AWS::CloudWatch::Alarm"))
    secrets = len(template.of_type("AWS::SecretsManager::Secret"))
    polls = ASSUMED["queue_pollers"] * HOURS * 3600 / ASSUMED["poll_seconds"]
    bill = {
        "alarms": units(alarm_metric=watched),
        "secrets": units(secret=secrets),
        "the processor's polling of the queue": units(sqs_request=polls),
        "dashboards that are not among the free ones": units(dashboard=billed_dashboards(template)),
    }
    [schedule] = [each for each in template.of_type("AWS::Scheduler::Schedule") if "NowCerts" in each.name] or [None]
    if schedule and (runs := runs_per_month(schedule)):
        bill |= drain_runs(template, runs)
        bill["NowCerts' runs: metrics"] = units(custom_metric=len(MEASURED["idle-run-nowcerts"]["metrics"]))
    return bill


def billed_dashboards(template: ResolvedTemplate) -> int:
    """Number of dashboards that are too large to be one of the free ones."""
    dashboards = template.of_type("AWS::CloudWatch::Dashboard")
    return sum(dashboard_metrics(template, each) > FREE_DASHBOARD_METRICS for each in dashboards)


def drain_runs(template: ResolvedTemplate, runs: float) -> Bill:
    """Runs that find NowCerts' queue empty."""
    function = template.function("nowcerts")
    run = MEASURED["idle-run-nowcerts"]
    log_bytes = run["log_bytes"] + system_log_bytes(function)
    return {
        "NowCerts' runs: Lambda": compute(function, ASSUMED["idle_run_milliseconds"], runs) + units(schedule_invocation=runs),
        "NowCerts' runs: the lease": units(dynamodb_write_unit=runs * run["write_units"]),
        "NowCerts' runs: the secret": units(secret_read=runs * run["secret_reads"]),
        "NowCerts' runs: the queue": units(sqs_request=runs * run["sqs_requests"]),
        "NowCerts' runs: logs": units(logs_ingestion=runs * log_bytes / GB),
    }


# What deliveries cost


def webhook_milliseconds(function: Resource, provider: str, delivery: Mapping[str, Any]) -> float:
    known = ASSUMED["cpu_milliseconds"]
    # One that was not measured counts as the slowest of the others.
    whole = known.get(provider, max(known.get(each, 0) for each in WEBHOOKS))
    computing = whole / processor_share(function)
    # A body that goes to S3 goes there before the message is sent; the other object is the processor's.
    return computing + ASSUMED["sqs_milliseconds"] * delivery["sqs_requests"] + ASSUMED["s3_milliseconds"] * delivery["s3_gets"]


def processor_milliseconds(function: Resource, delivery: Mapping[str, Any], records: float = 1) -> float:
    """What a batch of such deliveries takes. They wait side by side, compute one after the other, and share their reads."""
    latencies = {
        "GetItem": ASSUMED["dynamodb_item_milliseconds"],
        "PutItem": ASSUMED["dynamodb_item_milliseconds"],
        "TransactWriteItems": ASSUMED["dynamodb_transaction_milliseconds"],
        "S3.GetObject": ASSUMED["s3_milliseconds"],
    }
    each = ASSUMED["cpu_milliseconds"]["processor_call"] / processor_share(function)
    calls = delivery["processor_calls"].items()
    return sum(count * (latencies[name] + (1 if name == "GetItem" else records) * each) for name, count in calls)


def publisher_milliseconds(function: Resource, events: float) -> float:
    """What the publisher takes for a batch of events, which it puts on the bus ten at a time."""
    computing = events * ASSUMED["cpu_milliseconds"]["processor_call"] / processor_share(function)
    return computing + math.ceil(events / BUS_ENTRIES) * ASSUMED["eventbridge_milliseconds"]


def processing(
    template: ResolvedTemplate,
    delivery: Mapping[str, Any],
    number: float,
    records: float = ASSUMED["records_per_invocation"],
) -> Bill:
    """What follows once a delivery is in the queue."""
    function = template.function("processor")
    invocations = number / records
    writes = delivery["write_units"] + delivery["index_write_units"]
    log_bytes = number * delivery["processor_log_bytes"] + invocations * system_log_bytes(function)
    return {
        "Lambda: the processor": compute(function, processor_milliseconds(function, delivery, records), invocations),
        # A receive and a delete for each invocation.
        "SQS": units(sqs_request=number * delivery["sqs_requests"] + 2 * invocations),
        "DynamoDB: writes": units(dynamodb_write_unit=number * writes),
        "DynamoDB: reads": units(dynamodb_read_unit=number * delivery["read_half_units"] / 2),
        "S3": units(s3_put=number * delivery["s3_puts"], s3_get=number * delivery["s3_gets"]),
        "logs: the processor": units(logs_ingestion=log_bytes / GB),
    }


def publishing(template: ResolvedTemplate, number: float, events_per_invocation: float = ASSUMED["events_per_invocation"]) -> Bill:
    """What follows once an event is in the table. Lambda's reads of the stream cost nothing."""
    function = template.function("publisher")
    if function is None:
        return {}
    event = MEASURED["published-event"]
    invocations = number / events_per_invocation
    log_bytes = invocations * (event["log_bytes"] + system_log_bytes(function))
    return {
        "EventBridge": units(bus_event=number * math.ceil(event["entry_bytes"] / BUS_EVENT_BYTES)),
        "Lambda: the publisher": compute(function, publisher_milliseconds(function, events_per_invocation), invocations),
        "logs: the publisher": units(logs_ingestion=log_bytes / GB),
    }


def requests(template: ResolvedTemplate, provider: str, request: Mapping[str, Any], number: float) -> Bill:
    """What a webhook's requests cost before the queue."""
    function = template.function(provider)
    answer = request.get("answer_bytes", 250) + ASSUMED["answer_overhead_bytes"]
    return {
        "HTTP API": units(http_api_request=number * math.ceil(request.get("body_bytes", 1) / HTTP_API_REQUEST_BYTES)),
        "Lambda: webhooks and drain": compute(function, webhook_milliseconds(function, provider, request), number),
        "logs: the API": units(logs_ingestion=number * access_log_bytes(template, ROUTES[provider]) / GB),
        "logs: webhooks and drain": units(
            logs_ingestion=number * (request["log_bytes"] + system_log_bytes(function)) / GB
        ),
        "answers": units(transfer_out=number * answer / GB),
    }


def detailed_metrics(template: ResolvedTemplate, routes: int) -> int:
    stages = template.of_type("AWS::ApiGatewayV2::Stage")
    detailed = any(each.properties.get("DefaultRouteSettings", {}).get("DetailedMetricsEnabled") for each in stages)
    return DETAILED_METRICS * routes if detailed else 0


def secret_reads(function: Resource) -> Units:
    refresh = float(function.properties["Environment"]["Variables"]["SECRET_REFRESH_SECONDS"])
    return units(secret_read=ASSUMED["environments"] * HOURS * 3600 / refresh)


def deliveries(template: ResolvedTemplate, numbers: Mapping[str, float]) -> Bill:
    """Deliveries of each provider, spread over a month."""
    bill = merged(*(arrivals(template, provider, number) for provider, number in numbers.items()))
    webhooks = [each for each in numbers if each in WEBHOOKS]
    routes = len(webhooks) + ("sterling" in webhooks)
    sent = {metric for provider in numbers for metric in metrics(provider)}
    from_lines = log_metrics(template) if webhooks else 0
    return bill | {
        "metrics of our own": units(custom_metric=len(sent) + from_lines),
        "metrics of the API's routes": units(custom_metric=detailed_metrics(template, routes)),
    }


def metrics(provider: str) -> set[str]:
    """The metrics that ordinary deliveries of a provider send."""
    found = [f"{kind}-{provider}" for kind in ["delivery", "token", "idle-run"]]
    kinds = [kind for kind in found if kind in MEASURED]
    return {metric for kind in kinds for metric in MEASURED[kind]["metrics"]}


def arrivals(template: ResolvedTemplate, provider: str, number: float) -> Bill:
    delivery = MEASURED[f"delivery-{provider}"]
    if provider == "nowcerts":
        return messages(template, delivery, number)
    bill = {
        **requests(template, provider, delivery, number),
        **processing(template, delivery, number),
        **publishing(template, number),
        "Secrets Manager": secret_reads(template.function(provider)),
    }
    return merged(bill, tokens(template)) if provider == "sterling" else bill


def tokens(template: ResolvedTemplate) -> Bill:
    """The tokens of a month that IBM Sterling needs for its deliveries. Each finds a function that has to read its secret."""
    number = ASSUMED["tokens_per_month"]
    function = template.function("sterling-token")
    log_bytes = MEASURED["token-sterling"]["log_bytes"] + system_log_bytes(function)
    return {
        "HTTP API": units(http_api_request=number),
        "Lambda: webhooks and drain": compute(function, ASSUMED["sqs_milliseconds"], number),
        "logs: webhooks and drain": units(logs_ingestion=number * log_bytes / GB),
        "Secrets Manager": units(secret_read=number),
    }


def messages(template: ResolvedTemplate, message: Mapping[str, Any], number: float) -> Bill:
    """Messages of NowCerts' queue, drained by a run each minute."""
    function = template.function("nowcerts")
    milliseconds = ASSUMED["cpu_milliseconds"]["drain_message"] / processor_share(function)
    milliseconds += ASSUMED["sqs_milliseconds"] * message["sqs_requests"]
    # Messages prolong the runs; the runs themselves are a row of their own.
    longer = {name: each for name, each in compute(function, 1000, number * milliseconds / 1000).items() if "gb_second" in name}
    return {
        "Lambda: webhooks and drain": units(**longer),
        **processing(template, message, number),
        **publishing(template, number),
        "logs: webhooks and drain": units(logs_ingestion=number * message["log_bytes"] / GB),
        "NowCerts' runs, one each minute": total(drain_runs(template, MINUTES)),
    }


def further_event(template: ResolvedTemplate, provider: str) -> Bill:
    """A million events beside the first of their deliveries. The processor records them side by side, so they cost its
    processor time and no waiting."""
    event, delivery = MEASURED[f"further-event-{provider}"], MEASURED[f"delivery-{provider}"]
    function = template.function("processor")
    calls = sum(delivery["processor_calls"].values())
    milliseconds = calls * ASSUMED["cpu_milliseconds"]["processor_call"] / processor_share(function)
    bill = processing(template, {**event, "processor_calls": {}, "sqs_requests": 0}, MILLION)
    time = {name: each * milliseconds for name, each in compute(function, 1, MILLION).items() if "gb_second" in name}
    return {
        "Lambda: the processor": units(**time),
        "logs: the processor": units(logs_ingestion=MILLION * event["processor_log_bytes"] / GB),
        **{row: bill[row] for row in ["DynamoDB: writes", "DynamoDB: reads"]},
        "EventBridge": publishing(template, MILLION).get("EventBridge", Counter()),
    }


@dataclass(frozen=True)
class LongDelivery:
    """What the processor uses for the events of one delivery."""

    calls: float
    write_units: float
    read_units: float
    seconds: float
    dollars: float


def long_delivery(template: ResolvedTemplate, provider: str, events: int) -> LongDelivery:
    """A delivery of that many events, all of them new, without the webhook, the queue and the bus."""
    event = MEASURED[f"further-event-{provider}"]
    # A read names the version that the transaction depends on; other events are put without one.
    is_entity = bool(event["read_half_units"])
    reads = 1 / ASSUMED["entities_in_a_read"] if is_entity else 0
    item = ASSUMED["dynamodb_item_milliseconds"]
    latency = item + ASSUMED["dynamodb_transaction_milliseconds"] if is_entity else item
    calls = events * (1 + reads) + 1
    function = template.function("processor")
    computing = calls * ASSUMED["cpu_milliseconds"]["processor_call"] / processor_share(function)
    milliseconds = max(computing, events * latency / ASSUMED["events_at_once"])
    writes = events * event["event_write_units"]
    read_units = events * event["read_half_units"] / 2
    bill = {
        "Lambda": compute(function, milliseconds, 1),
        "DynamoDB": units(dynamodb_write_unit=writes, dynamodb_read_unit=read_units),
    }
    return LongDelivery(calls, writes, read_units, milliseconds / 1000, dollars(bill))


def batched_saving(template: ResolvedTemplate, batch: int = 10) -> Bill:
    """What a million deliveries of Machnet cost less if the processor gets them in batches."""
    function, invocations = template.function("processor"), MILLION - MILLION / batch
    return {
        "SQS": units(sqs_request=2 * invocations),
        "Lambda: the processor": units(lambda_request=invocations),
        "logs: the processor": units(logs_ingestion=invocations * system_log_bytes(function) / GB),
    }


# Requests without a delivery, and to a key


def key_requests(template: ResolvedTemplate) -> Bill:
    """Requests to a key of one's own in a month in which every provider delivers in every five minutes."""
    periods = HOURS * 12
    senders = len(WEBHOOKS) + 1
    # Amazon SQS developer guide, "Estimating costs": (period / reuse) * (2 * senders + receivers), for a reuse of 5 minutes.
    queue = periods * (2 * senders + 1)
    # DynamoDB asks for a table's key at most every 5 minutes per caller; Secrets Manager at each read.
    tables = periods * len(template.of_type("AWS::DynamoDB::Table"))
    secrets = periods * ASSUMED["environments"] * len(template.of_type("AWS::SecretsManager::Secret"))
    return {"KMS": units(kms_request=queue + tables + secrets)}


def refused(template: ResolvedTemplate) -> Bill:
    """A million requests with a signature that does not hold, spread over a month."""
    request = MEASURED["refused-machnet"]
    sent = set(request["metrics"]) - set(MEASURED["delivery-machnet"]["metrics"])
    return requests(template, "machnet", request, MILLION) | {
        "metrics of our own": units(custom_metric=len(sent)),
        "Secrets Manager": units(secret_read=min(MILLION, HOURS * 3600 / ASSUMED["reread_seconds"])),
    }


def kept_refused(template: ResolvedTemplate, per_hour: int, copies: int) -> Bill:
    """What keeping refused requests costs at most in a month in which a flood keeps so many copies of the functions busy."""
    functions = [each for each in template.of_type("AWS::Lambda::Function") if "KEEP_REFUSED" in variables(each)]
    kept = per_hour * len(functions)
    writes = HOURS * (kept + ASSUMED["kept_failed_writes"] * copies)
    waiting = compute(functions[0], ASSUMED["kept_milliseconds"], writes)
    stored = kept * 24 * ASSUMED["kept_days"] * ASSUMED["kept_document_bytes"] / GB
    return {
        "S3: writes": units(s3_put=writes),
        "Lambda": units(**{name: each for name, each in waiting.items() if "gb_second" in name}),
        "S3: storage": units(s3_storage=stored),
    }


def variables(function: Resource) -> dict[str, Any]:
    return function.properties["Environment"]["Variables"]


def unrouted(template: ResolvedTemplate) -> Bill:
    line = access_log_bytes(template, ROUTES["machnet"])
    return {"HTTP API": units(http_api_request=MILLION), "logs: the API": units(logs_ingestion=MILLION * line / GB)}
