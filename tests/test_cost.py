"""What the code uses of AWS is what deploy/measured.toml says, and docs/cost.md is what deploy/cost.py makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from authority import Authority, sterling_batch, sterling_delivery, sterling_event
from bill import (
    FREE_DASHBOARD_METRICS,
    MILLION,
    PARAMETERS,
    WEBHOOKS,
    dashboard_metrics,
    deliveries,
    dollars,
    idle,
    merged,
)
from consumer import entries
from notifications import agent, notification
from nowcerts import NowCerts
from oauth_client import token_request
from publisher import policy, publish
from resolved_template import ResolvedTemplate
from senders import Sender, new_event, new_id
from signers import MachnetSigner, machnet_event
from stack import template
from stack.function_process import FunctionProcess
from stack.stack import SAM, Stack
from stack.stream import StreamMapping, stream_records
from usage import LOG_EVENT_BYTES, Usage, measure

PYTHON = SAM.parent / "python"
MEASURED = template.ROOT / "deploy" / "measured.toml"
README = template.ROOT / "README.md"
COST = template.ROOT / "deploy" / "cost.py"
# Of a month with everything, in which nothing arrives, or a million deliveries do.
MAX_IDLE_DOLLARS = 7
MAX_MILLION_DOLLARS = 22
# Of one event as in the provider's documentation, with its aliases and the time index, without the record of its delivery.
MAX_EVENT_WRITE_UNITS = {
    "delivery-accredit": 4,
    "delivery-machnet": 4,
    "delivery-nowcerts": 3,
    "delivery-without-an-id-nowcerts": 3,
    "delivery-nurturecloud": 8,
    "delivery-sterling": 3,
}
MARK = "# Everything below is measured: `make measure-cost` writes it.\n"
# Log lines differ by the digits of a duration.
BYTES_TOLERANCE = 0.03
# Enough messages that a run sends most of them in whole batches of ten.
MESSAGES = 40

Measured = dict[str, dict[str, Any]]


def test_the_page_is_current() -> None:
    done = subprocess.run([PYTHON, COST, "--check"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_an_idle_stack_and_a_million_deliveries_stay_affordable() -> None:
    everything = ResolvedTemplate(template.TEMPLATE, {})
    equal = dict.fromkeys(PARAMETERS, MILLION / len(PARAMETERS))
    nothing, million = (dollars(each) for each in [idle(everything), merged(idle(everything), deliveries(everything, equal))])

    assert nothing <= MAX_IDLE_DOLLARS
    assert million <= MAX_MILLION_DOLLARS
    assert f"costs about ${nothing:.0f} a month, and about ${million:.0f} if" in README.read_text()


def test_an_event_takes_no_more_write_units_than_it_may() -> None:
    measured = tomllib.loads(MEASURED.read_text())

    assert {name: measured[name]["event_write_units"] <= units for name, units in MAX_EVENT_WRITE_UNITS.items()} == (
        dict.fromkeys(MAX_EVENT_WRITE_UNITS, True)
    )


def test_the_dashboard_is_one_of_those_that_may_be_free() -> None:
    everything = ResolvedTemplate(template.TEMPLATE, {})
    [dashboard] = everything.of_type("AWS::CloudWatch::Dashboard")

    assert dashboard_metrics(everything, dashboard) <= FREE_DASHBOARD_METRICS


def delivery(usage: Usage, function: str) -> dict[str, Any]:
    """One delivery, or refused request, of a function and what the processor does with it."""
    return {
        "log_bytes": usage.log_bytes[function],
        "processor_log_bytes": usage.log_bytes["processor"],
        "processor_calls": {
            name.removeprefix("DynamoDB."): count
            for name, count in sorted(usage.calls.items())
            if name.startswith(("DynamoDB.", "S3.GetObject"))
        },
        **amounts(usage),
        "metrics": sorted(usage.metrics),
    }


AMOUNTS = [
    "sqs_requests",
    "write_units",
    "index_write_units",
    # Of these two, those of events and their aliases; the others are those of the delivery's record.
    "event_write_units",
    "read_half_units",
    "stored_bytes",
    "s3_puts",
    "s3_gets",
]


def amounts(usage: Usage) -> dict[str, int]:
    return {name: usage.amounts[name] for name in AMOUNTS}


def further_event(one: Usage, many: Usage, further: int) -> dict[str, Any]:
    """What each event of a delivery adds to the first."""
    return {
        "processor_log_bytes": (many.log_bytes["processor"] - one.log_bytes["processor"]) / further,
        **{name: (many.amounts[name] - one.amounts[name]) / further for name in AMOUNTS},
    }


def test_measurements_are_those_of_the_code(
    stack: Stack,
    sender_of: Callable[[str], Sender],
    authority: Authority,
    nowcerts: NowCerts,
    tmp_path: Path,
) -> None:
    found: Measured = {}
    ones: dict[str, Usage] = {}
    for provider in WEBHOOKS:
        sender = sender_of(provider)
        # The first delivery starts the functions.
        sender.deliver_batch(new_event(provider))
        body = new_event(provider)
        # Each request of Accredit's names its job.
        headers = {"job_id": new_id(), "attempt": 0} if provider == "accredit" else {}
        answers: list[int] = []
        ones[provider] = measure(
            stack,
            [provider, "processor"],
            lambda: answers.append(len(sender.deliver_batch(body, **headers)[0].answer.body)),
        )
        found[f"delivery-{provider}"] = {
            "body_bytes": len(body),
            "answer_bytes": answers[0],
            **delivery(ones[provider], provider),
        }
    machnet, nurturecloud, sterling = (sender_of(each) for each in ["machnet", "nurturecloud", "sterling"])
    events = sterling_delivery(sterling_batch(*(sterling_event(new_id()) for _ in range(11))))
    many = measure(stack, ["sterling", "processor"], lambda: sterling.deliver_batch(events))
    found["further-event-sterling"] = further_event(ones["sterling"], many, 10)
    entities = notification("Created", *(agent(new_id()) for _ in range(11)))
    many = measure(stack, ["nurturecloud", "processor"], lambda: nurturecloud.deliver_batch(entities))
    found["further-event-nurturecloud"] = further_event(ones["nurturecloud"], many, 10)

    large = machnet_event(new_id(), new_id(), payload={"text": "x" * 2 * 1024 * 1024})
    usage = measure(stack, ["machnet", "processor"], lambda: machnet.deliver(large))
    found["large-delivery-machnet"] = {"body_bytes": len(large), **delivery(usage, "machnet")}

    stranger = MachnetSigner("not-the-secret-of-anyone")
    usage = measure(stack, ["machnet", "processor"], lambda: machnet.send(new_event("machnet"), signer=stranger))
    found["refused-machnet"] = delivery(usage, "machnet")
    # A signature that does not hold may be one of a key that was just added.
    assert usage.calls.keys() <= {"secretsmanager.GetSecretValue"}

    token_request(stack, authority.client)
    usage = measure(stack, ["sterling-token"], lambda: token_request(stack, authority.client))
    found["token-sterling"] = {"log_bytes": usage.log_bytes["sterling-token"], "metrics": sorted(usage.metrics)}

    # The first run starts the function, and the processor may have ended meanwhile.
    nowcerts.publish(1)
    nowcerts.drain()
    idle = measure(stack, ["nowcerts"], nowcerts.drain)
    found["idle-run-nowcerts"] = run(idle)
    nowcerts.publish(1)
    one = measure(stack, ["nowcerts", "processor"], nowcerts.drain)
    nowcerts.publish(1 + MESSAGES)
    many = measure(stack, ["nowcerts", "processor"], nowcerts.drain)
    found["delivery-nowcerts"] = message(one, many)
    publish(nowcerts.rabbitmq, nowcerts.queue, [policy(0) | {"Id": new_id()}])
    # It may be a repeat of one that was seen.
    usage = measure(stack, ["nowcerts", "processor"], nowcerts.drain)
    found["delivery-without-an-id-nowcerts"] = {"event_write_units": usage.amounts["event_write_units"]}

    found["published-event"] = published_event(stack, machnet, tmp_path)

    check(found)


def published_event(stack: Stack, machnet: Sender, folder: Path) -> dict[str, Any]:
    """An event that is alone in its batch, in a process that was invoked before."""
    delivery_id = machnet.deliver(new_event("machnet"))[0].delivery_id
    [record] = StreamMapping.deployed(stack, invoke=lambda _: None).filtered(
        [each for each in stream_records(stack) if each["dynamodb"].get("NewImage", {}).get("delivery_id") == {"S": delivery_id}]
    )
    event, log = json.dumps({"Records": [record]}).encode(), folder / "publisher.log"
    with FunctionProcess.deployed(stack, "publisher", log, AWS_SDK_UA_APP_ID="measured-publisher") as process:
        process.invoke(event)
        before = len(log.read_bytes().splitlines())
        with stack.proxy.recording() as requests:
            process.invoke(event)
        lines = log.read_bytes().splitlines()[before:]
    [request] = [each for each in requests if each.caller == "measured-publisher"]
    [entry] = entries([request], delivery_id)
    return {
        "log_bytes": sum(len(line) + LOG_EVENT_BYTES for line in lines),
        "entry_bytes": sum(len(entry[name].encode()) for name in ["Source", "DetailType", "Detail"]),
    }


def run(usage: Usage) -> dict[str, Any]:
    return {
        "log_bytes": usage.log_bytes["nowcerts"],
        **{name: usage.amounts[name] for name in ["secret_reads", "sqs_requests", "write_units"]},
        "metrics": sorted(usage.metrics),
    }


def message(one: Usage, many: Usage) -> dict[str, Any]:
    """What a message adds to a run, and what the processor does with it when it comes alone."""
    each = {name: (many.amounts[name] - one.amounts[name]) / MESSAGES for name in AMOUNTS}
    return {
        "log_bytes": (many.log_bytes["nowcerts"] - one.log_bytes["nowcerts"]) / MESSAGES,
        "processor_log_bytes": one.log_bytes["processor"],
        "processor_calls": {"PutItem": one.calls["DynamoDB.PutItem"]},
        **each,
        "metrics": sorted(one.metrics),
    }


def check(found: Measured) -> None:
    """Compares measurements with the file, or writes what differs to it if the environment says so."""
    above, below = MEASURED.read_text().split(MARK)
    recorded = tomllib.loads(below)
    if os.environ.get("MEASURED") == "write":
        written = {name: kept(recorded.get(name, {}), table) for name, table in found.items()}
        MEASURED.write_text(above + MARK + "".join(in_toml(name, table) for name, table in written.items()))
        return
    assert recorded.keys() == found.keys()
    differences = [
        f"{table}.{name}: {recorded[table].get(name)} is recorded, {value} is measured"
        for table, values in found.items()
        for name, value in values.items()
        if not alike(name, recorded[table].get(name), value)
    ]
    assert not differences, "\n".join([*differences, "if the code should use that, run `make measure-cost cost`"])


def kept(recorded: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was found, with what is recorded in place of what is like it."""
    return {
        name: recorded[name] if name in recorded and alike(name, recorded[name], value) else value
        for name, value in found.items()
    }


def alike(name: str, recorded: Any, found: Any) -> bool:
    if name.endswith("_bytes") and recorded is not None:
        return abs(found - recorded) <= max(4, BYTES_TOLERANCE * recorded)
    if name == "sqs_requests" and recorded is not None:
        # How a run's messages fall into batches differs with their timing.
        return abs(found - recorded) <= 0.1
    return recorded == found


def in_toml(name: str, table: dict[str, Any]) -> str:
    def value(each: Any) -> str:
        if isinstance(each, str):
            return f'"{each}"'
        if isinstance(each, list):
            return "[" + ", ".join(value(element) for element in each) + "]"
        if isinstance(each, dict):
            return "{ " + ", ".join(f'"{key}" = {value(element)}' for key, element in each.items()) + " }"
        return f"{each:.3f}".rstrip("0").rstrip(".")

    return f"\n[{name}]\n" + "".join(f"{key} = {value(each)}\n" for key, each in table.items())
