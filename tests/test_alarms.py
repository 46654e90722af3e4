"""The alarms watch metrics by name and dimensions, which are free text: nothing else would notice a slip."""

from __future__ import annotations

from typing import Any

import pytest
from authority import Authority, Bearer, Client, SigningKey, put_authority
from oauth_client import token_request
from senders import Sender, new_event, new_id
from signers import AccreditSigner, MachnetSigner, PathSecret, machnet_event
from stack import template
from stack.stack import Answer, FunctionError, Stack
from stack.wait import wait_until

Metric = tuple[str, tuple[tuple[str, str], ...]]


def watched() -> set[Metric]:
    """The stack's own metrics in alarms, by name and dimensions."""
    found = set()
    for resource in template.original()["Resources"].values():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        alarm = resource["Properties"]
        metrics = [entry["MetricStat"]["Metric"] for entry in alarm.get("Metrics", []) if "MetricStat" in entry]
        for metric in metrics or [alarm]:
            if metric["Namespace"] == {"Fn::Sub": "webhook-intake/${AWS::StackName}"}:
                dimensions = tuple(sorted((each["Name"], each["Value"]) for each in metric.get("Dimensions", [])))
                found.add((metric["MetricName"], dimensions))
    return found


@pytest.mark.parametrize("provider", ["accredit", "machnet", "nurturecloud", "sterling"])
def test_each_watched_metric_is_one_that_the_functions_send(
    stack: Stack, request: pytest.FixtureRequest, authority: Authority, provider: str
) -> None:
    sender: Sender = request.getfixturevalue(provider)
    cause_everything(stack, sender, authority)
    labels = {("provider", provider)}
    expected = {(name, dimensions) for name, dimensions in watched() if labels & set(dimensions)}
    # A panic would be a defect, and a header that comes twice does not get through the emulator.
    out_of_reach = {
        (name, dimensions)
        for name, dimensions in expected
        if dict(dimensions).get("reason") in {"panic", "signature-repeated"}
    }

    def missing() -> set[Metric]:
        sent = stack.counters(provider).keys() | stack.counters("processor").keys()
        return expected - out_of_reach - sent

    wait_until(lambda: not missing(), what=f"a metric for each of {missing()}")


def test_each_watched_metric_of_the_token_endpoint_is_one_that_it_sends(stack: Stack, authority: Authority) -> None:
    expected = {(name, dimensions) for name, dimensions in watched() if name.startswith("tokens_")}
    assert ("tokens_issued", ()) in expected
    # A panic would be a defect.
    out_of_reach = {(name, dimensions) for name, dimensions in expected if ("reason", "panic") in dimensions}

    def ask(client: Client = authority.client) -> Answer:
        return token_request(stack, client)

    function = "sterling-token"
    ask()
    ask(Client("someone-else"))
    stack.invoke(function, {})
    with stack.settings(function, SECRET_ID=""):
        ask()
    with stack.settings(function, DEADLINE_MILLISECONDS="800"):
        with stack.proxy.fault("secretsmanager.GetSecretValue", "hang"):
            ask()
    with stack.proxy.fault("secretsmanager.GetSecretValue", "access-denied"):
        stack.restart(function)
        ask()
    stack.put_secret("SterlingAuthoritySecretArn", authority.document() | {"keys": []})
    stack.restart(function)
    ask()
    put_authority(stack, authority)
    stack.restart(function)

    def missing() -> set[Metric]:
        return expected - out_of_reach - stack.counters(function).keys()

    wait_until(lambda: not missing(), what=f"a metric for each of {missing()}")


def test_each_watched_metric_of_the_resync_is_one_that_it_sends(stack: Stack) -> None:
    expected = {(name, dimensions) for name, dimensions in watched() if name.startswith("resync_")}
    assert expected == {("resync_failed", ())}

    stack.put_secret("NurtureCloudResyncSecretArn", {"client_id": "nobody", "client_secret": "nobody's"})
    with pytest.raises(FunctionError, match="nurturecloud refused the credentials"):
        stack.invoke("nurturecloud-resync", {})

    def missing() -> set[Metric]:
        return expected - stack.counters("nurturecloud-resync").keys()

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


def cause_everything(stack: Stack, sender: Sender, authority: Authority) -> None:
    provider = sender.provider
    strangers: dict[str, list[Any]] = {
        "machnet": [MachnetSigner("no-secret-of-anyone")],
        "accredit": [AccreditSigner()],
        "nurturecloud": [PathSecret(), PathSecret(secret="short")],
        "sterling": [Bearer(authority.token(sign=SigningKey().sign)), Bearer(authority.token(exp=1))],
    }

    def event() -> bytes:
        return new_event(provider)

    def put_keys(active: bool) -> None:
        if provider == "sterling":
            document = authority.verification()
            stack.put_secret("SterlingVerificationSecretArn", document if active else document | {"keys": []})
        else:
            stack.put_keys(provider, *([sender.signer.key()] if active else []))
        stack.restart(provider)

    sender.deliver(event())
    sender.deliver(b"{")
    if provider == "machnet":
        event_id, resource = new_id(), new_id()
        sender.deliver(machnet_event(event_id, resource))
        sender.deliver(machnet_event(event_id, resource, payload={}))
    headers = {"machnet": "x-raas-webhook-signature", "accredit": "X-Signature", "sterling": "Authorization"}
    if provider in headers:
        sender.post(b"{}", {})
        sender.post(b"{}", {headers[provider]: "?"})
    for stranger in strangers[provider]:
        sender.send(b"{}", signer=stranger)
    with stack.proxy.fault("AmazonSQS.SendMessage", "access-denied"):
        sender.send(event())
    with stack.settings(provider, QUEUE_URL=""):
        sender.send(event())
    with stack.settings(provider, DEADLINE_MILLISECONDS="800"):
        with stack.proxy.fault("secretsmanager.GetSecretValue", "hang"):
            sender.send(event())
    with stack.settings(provider, DEADLINE_MILLISECONDS="800"):
        with stack.proxy.fault("AmazonSQS.SendMessage", "hang"):
            sender.send(event())
    with stack.proxy.fault("secretsmanager.GetSecretValue", "access-denied"):
        stack.restart(provider)
        sender.send(event())
    stack.invoke(provider, {})
    put_keys(active=False)
    sender.send(event())
    put_keys(active=True)
