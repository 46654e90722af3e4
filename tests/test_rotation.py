"""A secret that is changed while deliveries are in flight."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from senders import Sender, new_id
from signers import MachnetSigner, machnet_event
from stack.stack import Stack
from stack.wait import wait_until

MAX_WAIT_SECONDS = 20


@pytest.fixture
def next_signer(stack: Stack, machnet: Sender) -> Iterator[MachnetSigner]:
    """A second secret; the first one is restored afterwards."""
    stack.restart("machnet")
    yield MachnetSigner("the-next-machnet-secret-in-line")
    stack.put_keys("machnet", machnet.signer.key())
    stack.restart("machnet")


def test_a_rotation_needs_no_deployment(stack: Stack, machnet: Sender, next_signer: MachnetSigner) -> None:
    old = machnet.signer
    assert machnet.deliver(machnet_event(new_id(), new_id()))[1] == "stored"

    # Both are active.
    stack.put_keys("machnet", old.key(), next_signer.key())
    event_id = new_id()
    body = machnet_event(event_id, new_id())

    def taken() -> bool:
        sent = machnet.send(body, signer=next_signer)
        assert sent.answer.status in {200, 409}, "a genuine delivery that comes too early has to come again"
        return sent.answer.status == 200

    wait_until(taken, timeout=MAX_WAIT_SECONDS, interval=1, what="the new key's use")
    [item] = wait_until(lambda: stack.events(id=event_id))
    assert item["source"] == "/webhooks/machnet/main"
    sent, outcome = machnet.deliver(body, signer=old)
    assert outcome == "duplicate", "the account is the same, so the event is"
    assert sent.line["account"] == "main"
    assert sent.line["key_fingerprint"] != item["key_fingerprint"]

    # The old one is taken out. Cached keys are used until they are due, or until something does not match.
    stack.put_keys("machnet", next_signer.key())
    stranger = MachnetSigner("a-stranger-who-knows-no-secret")

    def refused() -> bool:
        machnet.send(machnet_event(new_id(), new_id()), signer=stranger)
        return machnet.send(machnet_event(new_id(), new_id()), signer=old).answer.status == 409

    wait_until(refused, timeout=MAX_WAIT_SECONDS, interval=1, what="the old key's end")
    assert machnet.deliver(machnet_event(new_id(), new_id()), signer=next_signer)[1] == "stored"


def test_wrong_signatures_do_not_drive_up_calls(stack: Stack, machnet: Sender) -> None:
    stranger = MachnetSigner("a-stranger-who-knows-no-secret")
    calls = stack.proxy.count("secretsmanager.GetSecretValue")

    for _ in range(10):
        assert machnet.send(machnet_event(new_id(), new_id()), signer=stranger).answer.status == 409

    assert stack.proxy.count("secretsmanager.GetSecretValue") <= calls + 2


def test_the_placeholder_verifies_nothing(stack: Stack, machnet: Sender) -> None:
    stack.put_keys("machnet")
    stack.restart("machnet")
    try:
        empty = machnet.send(machnet_event(new_id(), new_id()), signer=MachnetSigner(""))
        signed = machnet.send(machnet_event(new_id(), new_id()))
    finally:
        stack.put_keys("machnet", machnet.signer.key())
        stack.restart("machnet")

    assert (empty.answer.status, signed.answer.status) == (409, 409)
    assert (empty.line["reason"], signed.line["reason"]) == ("no-active-key", "no-active-key")
