"""The alarms watch metrics by name and dimensions, which are free text: nothing else would notice a slip."""

from __future__ import annotations

from typing import Any

import pytest
from accounting import PROVIDERS
from authority import Authority, Bearer, Client, SigningKey
from nurturecloud_api import NurtureCloudApi
from oauth_client import token_request
from senders import Sender, new_event, new_id
from signers import AccreditSigner, MachnetSigner, PathSecret, machnet_event
from stack import template
from stack.stack import FunctionError, Stack
from stack.wait import wait_until

Metric = tuple[str, tuple[tuple[str, str], ...]]

NAMESPACE = {"Fn::Sub": "webhook-intake/${AWS::StackName}"}


def watched() -> set[Metric]:
    """The stack's own metrics in alarms, by name and dimensions."""
    found = set()
    for resource in template.original()["Resources"].values():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        alarm = resource["Properties"]
        metrics = [entry["MetricStat"]["Metric"] for entry in alarm.get("Metrics", []) if "MetricStat" in entry]
        for metric in metrics or [alarm]:
            if metric["Namespace"] == NAMESPACE:
                dimensions = tuple(sorted((each["Name"], each["Value"]) for each in metric.get("Dimensions", [])))
                found.add((metric["MetricName"], dimensions))
    return found


FROM_THE_ACCESS_LOG: set[Metric] = {("unrouted", ()), ("unanswered", ())}
OF_THE_PROCESSOR: set[Metric] = {("failed", ()), ("conflict", ()), ("quarantined", ())}
OF_THE_TOKEN_ENDPOINT: set[Metric] = {("tokens_faults", ()), ("tokens_unverified", ())}
OF_THE_RESYNC: set[Metric] = {("resync_failed", ()), ("resync_completed", ())}


def of_webhook(provider: str) -> set[Metric]:
    return {(name, (("provider", provider),)) for name in ["accepted", "faults", "unverified"]}


def of_drain(provider: str) -> set[Metric]:
    return {(name, (("provider", provider),)) for name in ["accepted", "drained", "drain_failed", "drain_busy"]}


def test_each_watched_metric_is_in_one_of_the_tests_that_send_it() -> None:
    """Those of NowCerts are in `test_nowcerts.py`, where its broker is."""
    sent = FROM_THE_ACCESS_LOG | OF_THE_PROCESSOR | OF_THE_TOKEN_ENDPOINT | OF_THE_RESYNC | of_drain("nowcerts")
    for provider in PROVIDERS:
        sent |= of_webhook(provider)

    assert watched() == sent


def test_the_metric_filters_of_the_access_log_count_what_the_alarms_watch() -> None:
    counted = {
        (each["MetricName"], tuple(sorted(dimension["Key"] for dimension in each.get("Dimensions", []))))
        for resource in template.original()["Resources"].values()
        if resource["Type"] == "AWS::Logs::MetricFilter"
        for each in resource["Properties"]["MetricTransformations"]
        if each["MetricNamespace"] == NAMESPACE
    }

    assert counted == FROM_THE_ACCESS_LOG


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_webhook_sends_each_metric_that_is_watched(
    stack: Stack, request: pytest.FixtureRequest, authority: Authority, provider: str
) -> None:
    sender: Sender = request.getfixturevalue(provider)
    strangers: dict[str, Any] = {
        "machnet": MachnetSigner("no-secret-of-anyone"),
        "accredit": AccreditSigner(),
        "nurturecloud": PathSecret(),
        "sterling": Bearer(authority.token(sign=SigningKey().sign)),
    }

    sender.deliver(new_event(provider))
    sender.send(b"{}", signer=strangers[provider])
    with stack.proxy.fault("AmazonSQS.SendMessage", "access-denied"):
        sender.send(new_event(provider))

    wait_for(of_webhook(provider), stack, provider)


def test_the_processor_sends_each_metric_that_is_watched(stack: Stack, machnet: Sender, impatient_queue: int) -> None:
    event_id, resource = new_id(), new_id()
    machnet.deliver(machnet_event(event_id, resource))
    machnet.deliver(machnet_event(event_id, resource, payload={}))
    machnet.deliver(b"{")
    dead = stack.messages("DeadLetterQueueUrl")
    stack.send_message("not a document")

    wait_for(OF_THE_PROCESSOR, stack, "processor")
    wait_until(lambda: stack.messages("DeadLetterQueueUrl") == dead + 1, what="the end of the poison")


def test_the_token_endpoint_sends_each_metric_that_is_watched(stack: Stack, authority: Authority) -> None:
    token_request(stack, Client("someone-else"))
    stack.invoke("sterling-token", {})

    wait_for(OF_THE_TOKEN_ENDPOINT, stack, "sterling-token")


def test_the_resync_sends_each_metric_that_is_watched(stack: Stack, nurturecloud_api: NurtureCloudApi) -> None:
    stack.put_secret("NurtureCloudResyncSecretArn", nurturecloud_api.credentials)
    stack.invoke("nurturecloud-resync", {})
    stack.put_secret("NurtureCloudResyncSecretArn", {"client_id": "nobody", "client_secret": "nobody's"})
    with pytest.raises(FunctionError, match="nurturecloud refused the credentials"):
        stack.invoke("nurturecloud-resync", {})

    wait_for(OF_THE_RESYNC, stack, "nurturecloud-resync")


def wait_for(expected: set[Metric], stack: Stack, *binaries: str) -> None:
    """Waits until functions have sent a metric with exactly these dimensions for each that an alarm watches."""

    def missing() -> set[Metric]:
        return expected.difference(*(stack.counters(binary) for binary in binaries))

    wait_until(lambda: not missing(), what=f"a metric for each of {missing()}")


def test_the_metrics_are_in_the_namespace_that_the_alarms_watch(stack: Stack, machnet: Sender) -> None:
    machnet.deliver(machnet_event(new_id(), new_id()))

    directives = [
        directive
        for binary in ["machnet", "processor"]
        for line in stack.lines(binary)
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", [])
    ]
    assert {directive["Namespace"] for directive in directives} == {"webhook-intake/webhook-intake-test"}
