"""Makes the functions of a stack do all that they do, once: for what is recorded of a run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from authority import (
    Authority,
    Bearer,
    Client,
    SigningKey,
    put_authority,
    sterling_batch,
    sterling_delivery,
    sterling_event,
)
from consumer import PUT_EVENTS, entries
from notifications import agent, notification
from nowcerts import SEND_BATCH, NowCerts
from nurturecloud_api import BUSINESSES, COMPONENTS, NurtureCloudApi
from oauth_client import token_request
from publisher import channel, new_ids, policy, publish
from senders import Sender, new_event, new_id
from signers import AccreditSigner, MachnetSigner, PathSecret, machnet_event
from simulated import SimulatedSigner
from stack.stack import FunctionError, Stack
from stack.wait import wait_until

# More than a queue message takes, so that a body is left in the bucket.
LARGE_BYTES = 1_100 * 1024


def webhook(stack: Stack, sender: Sender, authority: Authority) -> None:
    """Accepted deliveries, proofs that do not hold, one of which is kept, and every fault of ours that a test can cause."""
    provider = sender.provider

    def event() -> bytes:
        return new_event(provider)

    body = event()
    sender.deliver(body)
    sender.deliver(body)
    sender.deliver(b"{")
    # Authentic, too large for a message, and not an event: it is kept in the bucket twice.
    released, _ = sender.deliver(b"x" * LARGE_BYTES)
    [item] = stack.items(delivery_id=released.delivery_id)
    stack.send_message(item["document"])
    stack.wait_for_record(released.delivery_id, count=2)
    _unverified(sender, authority)
    with stack.settings(provider, KEEP_REFUSED="1"):
        sender.post(b"{}", {}, f"/webhooks/{provider}{'/short' if provider == 'nurturecloud' else ''}")
    with stack.proxy.fault("AmazonSQS.SendMessage", "access-denied"):
        sender.send(event())
    with stack.settings(provider, QUEUE_URL=""):
        sender.send(event())
    for operation in ["secretsmanager.GetSecretValue", "AmazonSQS.SendMessage"]:
        with stack.settings(provider, DEADLINE_MILLISECONDS="800"), stack.proxy.fault(operation, "hang"):
            sender.send(event())
    with stack.proxy.fault("secretsmanager.GetSecretValue", "access-denied"):
        stack.restart(provider)
        sender.send(event())
    stack.invoke(provider, {})
    with _without_keys(stack, sender, authority):
        sender.send(event())


def _unverified(sender: Sender, authority: Authority) -> None:
    if isinstance(sender.signer, SimulatedSigner):
        sender.post(b"{}", {})
        sender.post(b"{}", dict.fromkeys(sender.signer.headers(b"{}"), "?"))
        sender.post(b"{}", sender.signer.headers_of_another(b"{}"))
        return
    strangers: dict[str, list[Any]] = {
        "machnet": [MachnetSigner("no-secret-of-anyone")],
        "accredit": [AccreditSigner()],
        "nurturecloud": [PathSecret(), PathSecret(secret="short")],
        "sterling": [Bearer(authority.token(sign=SigningKey().sign)), Bearer(authority.token(exp=1))],
    }
    headers = {"machnet": "x-raas-webhook-signature", "accredit": "X-Signature", "sterling": "Authorization"}
    if sender.provider in headers:
        sender.post(b"{}", {})
        sender.post(b"{}", {headers[sender.provider]: "?"})
    for stranger in strangers[sender.provider]:
        sender.send(b"{}", signer=stranger)


@contextlib.contextmanager
def _without_keys(stack: Stack, sender: Sender, authority: Authority) -> Iterator[None]:
    """Takes the active keys of a provider away inside the `with` block."""

    def put(active: bool) -> None:
        if sender.provider == "sterling":
            document = authority.verification()
            stack.put_secret("SterlingVerificationSecretArn", document if active else document | {"keys": []})
        else:
            stack.put_keys(sender.provider, *([sender.signer.key()] if active else []))
        stack.restart(sender.provider)

    put(active=False)
    try:
        yield
    finally:
        put(active=True)


def processor(stack: Stack, machnet: Sender, nurturecloud: Sender, sterling: Sender) -> None:
    """Each outcome, contents and a body that are kept in the bucket, and a record that fails."""
    event_id, resource = new_id(), new_id()
    machnet.deliver(machnet_event(event_id, resource))
    assert machnet.deliver(machnet_event(new_id(), resource, timestamp="2026-09-01T10:29:38.969"))[1] == "repeat"
    assert machnet.deliver(machnet_event(event_id, resource, payload={}))[1] == "conflict"
    entity = new_id()
    for state in ["Created", "Updated", "Deleted"]:
        nurturecloud.deliver(notification(state, agent(entity, note="x" * LARGE_BYTES)))
    nurturecloud.deliver_batch(notification("Created", *[agent(new_id(), note="x" * 20_000) for _ in range(5)]))
    # Too large to be put before it is known whether they are there.
    sterling.deliver_batch(sterling_delivery(sterling_batch(*[sterling_event(new_id(), note="x" * 5_000) for _ in range(5)])))
    failed = len(stack.lines("processor", "record failed"))
    stack.send_message("not a document")
    wait_until(lambda: len(stack.lines("processor", "record failed")) > failed, what="the failure")
    stack.client("sqs").purge_queue(QueueUrl=stack.outputs["QueueUrl"])


def publisher(stack: Stack, machnet: Sender) -> None:
    """An event of which the data are kept in the bucket, and one that the bus throttles, behind all that the others have recorded."""
    with stack.proxy.recording() as requests, stack.proxy.fault(PUT_EVENTS, "throttle-entry", times=1):
        sent, _ = machnet.deliver(machnet_event(new_id(), new_id(), payload={"text": "x" * 100_000}))
        wait_until(lambda: len(entries(requests, sent.delivery_id)) > 0, what="the publishing of the last event")


def token_endpoint(stack: Stack, authority: Authority) -> None:
    """A token, clients that are not known, a request that is kept, and each fault of ours."""
    function = "sterling-token"

    def ask(client: Client = authority.client) -> None:
        token_request(stack, client)

    ask()
    ask(Client("someone-else"))
    with stack.settings(function, KEEP_REFUSED="1"):
        stack.request("POST", "/oauth/token", b"", {})
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


def resync(stack: Stack, api: NurtureCloudApi) -> None:
    """A run that completes, one of whose calls is rejected, and one without credentials."""
    function = "nurturecloud-resync"
    api.forget()
    stack.put_secret("NurtureCloudResyncSecretArn", api.credentials)
    stack.invoke(function, {})
    with api.rejecting(404, business_id=BUSINESSES[0], component=COMPONENTS[0]):
        stack.invoke(function, {})
    stack.put_secret("NurtureCloudResyncSecretArn", {"client_id": "nobody", "client_secret": "nobody's"})
    with pytest.raises(FunctionError, match="nurturecloud refused the credentials"):
        stack.invoke(function, {})


def drain(stack: Stack, nowcerts: NowCerts) -> None:
    """Runs that drain, that find another consumer, that fail, and that are paused."""
    same, [large] = new_ids(1) * 2, new_ids(1)
    publish(nowcerts.rabbitmq, nowcerts.queue, [policy(1), policy(1)], same)
    nowcerts.drain()
    publish(nowcerts.rabbitmq, nowcerts.queue, [policy(2), b"{"], same)
    publish(nowcerts.rabbitmq, nowcerts.queue, [policy(3) | {"note": "x" * LARGE_BYTES}], [large])
    nowcerts.drain_all()
    wait_until(lambda: stack.messages() == 0, what="the processing")
    with channel(nowcerts.rabbitmq) as other:
        other.basic_consume(nowcerts.queue, lambda *_: None, exclusive=True)
        nowcerts.drain()
    nowcerts.publish(1)
    with stack.proxy.fault(SEND_BATCH, "access-denied"):
        nowcerts.drain()
    assert nowcerts.drain()["outcome"] == "paused"
    nowcerts.lift_pause()
    nowcerts.drain()
    nowcerts.account(password="wrong")
    nowcerts.drain()
    nowcerts.account()
    nowcerts.lift_pause()
    nowcerts.drain()
    assert json.dumps(nowcerts.lease()) == "{}"
