"""Failures of AWS: services that are down, slow, or deny access."""

from __future__ import annotations

import pytest
from senders import Sender, new_event, new_id
from signers import machnet_event
from stack.stack import Stack
from stack.wait import wait_until

SEND_AGAIN = {"machnet": 409, "accredit": 400, "nurturecloud": 503, "sterling": 503}
SEND_MESSAGE = "AmazonSQS.SendMessage"
GET_SECRET = "secretsmanager.GetSecretValue"
DEADLINE_SECONDS = 3.5


@pytest.fixture(params=["machnet", "accredit", "nurturecloud", "sterling"])
def sender(request: pytest.FixtureRequest) -> Sender:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("action", ["unavailable", "internal-error", "access-denied"])
def test_a_failing_queue_is_answered_send_it_again_and_the_retry_is_stored_once(
    stack: Stack, sender: Sender, action: str
) -> None:
    body = new_event(sender.provider)

    with stack.proxy.fault(SEND_MESSAGE, action):
        refused = sender.send(body)
    assert refused.answer.status == SEND_AGAIN[sender.provider]
    assert refused.answer.seconds < DEADLINE_SECONDS
    assert refused.answer.problem()["type"].endswith(":send-again")
    assert refused.line["reason"] in {"queue-unavailable", "deadline-exceeded"}

    sent, outcome = sender.deliver(body)
    assert outcome == "stored"
    assert stack.records(refused.delivery_id) == []
    assert len(stack.events(delivery_id=sent.delivery_id)) == 1


def test_a_queue_that_hangs_is_answered_within_the_deadline(stack: Stack, sender: Sender) -> None:
    body = new_event(sender.provider)

    with stack.proxy.fault(SEND_MESSAGE, "hang"):
        refused = sender.send(body)

    assert refused.answer.status == SEND_AGAIN[sender.provider]
    assert refused.answer.seconds < DEADLINE_SECONDS
    assert refused.line["outcome"] == "unknown"
    assert sender.deliver(body)[1] == "stored"


def test_a_send_whose_answer_is_lost_is_not_processed_twice(stack: Stack, sender: Sender) -> None:
    body = new_event(sender.provider)

    with stack.proxy.fault(SEND_MESSAGE, "lose-answer", times=1):
        first = sender.send(body)
    stack.wait_for_record(first.delivery_id)
    if first.answer.status != 200:
        assert first.answer.status == SEND_AGAIN[sender.provider]
        assert sender.deliver(body)[1] == "duplicate"

    outcomes = [record["outcomes"] for record in stack.records(first.delivery_id)]
    assert set(outcomes) == {"0=stored"}
    assert len(stack.events(delivery_id=first.delivery_id)) == 1


def test_a_failing_bucket_is_answered_send_it_again_for_a_large_body(stack: Stack, machnet: Sender) -> None:
    body = machnet_event(new_id(), new_id(), payload="x" * 1_200_000)

    with stack.proxy.fault("S3.PutObject", "unavailable"):
        refused = machnet.send(body)
    assert refused.answer.status == 409
    assert refused.answer.seconds < DEADLINE_SECONDS

    assert machnet.deliver(body)[1] == "stored"


def test_secrets_manager_down_while_cached_changes_nothing(stack: Stack, sender: Sender) -> None:
    sender.deliver(new_event(sender.provider))

    with stack.proxy.fault(GET_SECRET, "unavailable"):
        _, outcome = sender.deliver(new_event(sender.provider))

    assert outcome == "stored"


@pytest.mark.parametrize("action", ["unavailable", "hang"])
def test_secrets_manager_down_at_a_cold_start_is_answered_send_it_again(stack: Stack, sender: Sender, action: str) -> None:
    stack.restart(sender.provider)

    with stack.proxy.fault(GET_SECRET, action):
        refused = sender.send(new_event(sender.provider))

    assert refused.answer.status == SEND_AGAIN[sender.provider]
    assert refused.answer.seconds < DEADLINE_SECONDS
    assert refused.line["reason"] in {"secrets-unavailable", "deadline-exceeded"}
    wait_until(
        lambda: sender.send(new_event(sender.provider)).answer.status == 200,
        timeout=20,
        interval=0.5,
        what="the recovery",
    )


def test_a_missing_permission_is_reported_and_nothing_is_lost(stack: Stack, machnet: Sender) -> None:
    body = machnet_event(new_id(), new_id())
    faults = ("faults", (("provider", "machnet"),))
    counted = stack.counters("machnet").get(faults, 0)

    with stack.without_permission("MachnetRole", ["sqs:SendMessage", "sqs:GetQueueAttributes"]):
        refused = machnet.send(body)

    assert refused.answer.status == 409
    assert refused.line["reason"] == "queue-unavailable"
    explained = [line for line in stack.lines("machnet") if line.get("level") == "ERROR"]
    assert any(line.get("delivery_id") == refused.delivery_id for line in explained)
    assert any("AccessDenied" in line.get("error", "") for line in explained)
    wait_until(lambda: stack.counters("machnet").get(faults, 0) == counted + 1, what="the counter")
    assert machnet.deliver(body)[1] == "stored"


def test_a_function_without_settings_starts_and_answers_send_it_again(stack: Stack, machnet: Sender) -> None:
    with stack.settings("machnet", QUEUE_URL=""):
        refused = machnet.send(machnet_event(new_id(), new_id()))

    assert refused.answer.status == 409
    assert refused.line["reason"] == "configuration-invalid"
    assert machnet.deliver(machnet_event(new_id(), new_id()))[1] == "stored"


def test_a_table_that_throttles_delays_an_event_and_loses_nothing(stack: Stack, machnet: Sender) -> None:
    event_id = new_id()

    with stack.proxy.fault("DynamoDB.PutItem", "unavailable", times=1):
        with stack.proxy.fault("DynamoDB.TransactWriteItems", "unavailable", times=1):
            sent, outcome = machnet.deliver(machnet_event(event_id, new_id()))

    assert outcome == "stored"
    assert len(stack.events(delivery_id=sent.delivery_id)) == 1
