"""NowCerts, while our own queue and bucket fail: messages are requeued once, and nothing is lost."""

from __future__ import annotations

import time

import pytest
from nowcerts import LEASE, SEND_BATCH, NowCerts
from publisher import declare, new_ids, policy, publish
from stack.rabbitmq import RabbitMq
from stack.stack import Stack
from stack.wait import wait_until

PROVIDER = ("provider", "nowcerts")


def test_our_queue_is_probed_before_any_message_is_taken(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(5)
    with stack.proxy.fault("AmazonSQS.GetQueueAttributes", "unavailable"):
        run = nowcerts.drain()
    assert (run["outcome"], run["reason"], run["received"]) == ("failed", "queue-unavailable", 0)
    assert nowcerts.drain()["redelivered"] == 0


@pytest.mark.parametrize("action", ["access-denied", "unavailable", "hang"])
def test_a_failing_queue_of_ours_ends_the_run_and_everything_is_requeued_once(
    nowcerts: NowCerts, stack: Stack, action: str
) -> None:
    ids = nowcerts.publish(60)
    with stack.proxy.fault(SEND_BATCH, action):
        run = nowcerts.drain()
    assert (run["outcome"], run["reason"]) == ("failed", "queue-unavailable")
    assert (run["received"], run["acknowledged"], run["returned"]) == (1, 0, 1), "one message, until one was accepted"
    assert nowcerts.depth() == (60, 0)

    nowcerts.lift_pause()
    again = nowcerts.drain()
    assert (again["acknowledged"], again["redelivered"]) == (60, 1)
    events = nowcerts.events()
    assert sorted(event["id"] for event in events) == sorted(ids)
    assert {event["outcome"] for event in events} == {"stored"}
    assert nowcerts.lease() == {}, "success clears the pause"


def test_a_run_in_a_pause_ends_without_an_error_and_says_until_when_and_why(nowcerts: NowCerts, stack: Stack) -> None:
    paused = ("drain_paused", (PROVIDER,))
    counted = stack.counters("nowcerts").get(paused, 0)
    nowcerts.publish(3)
    with stack.proxy.fault(SEND_BATCH, "access-denied"):
        failed = nowcerts.drain()
    pause = nowcerts.lease()
    assert (pause["failed_runs"], pause["pause_reason"]) == (1, "queue-unavailable")
    assert 50 < int(pause["paused_until"]) - time.time() < 70

    run = nowcerts.drain()
    assert (run["outcome"], run["reason"], run["received"]) == ("paused", "queue-unavailable", 0)
    assert run["paused_until"] == failed["paused_until"]
    assert nowcerts.lease() == pause
    wait_until(lambda: stack.counters("nowcerts").get(paused, 0) == counted + 1, what="the counter")

    table, dynamodb = stack.outputs["EventsTableName"], stack.client("dynamodb")
    over = {":now": {"N": str(int(time.time()) - 1)}}
    dynamodb.update_item(
        TableName=table, Key=LEASE, UpdateExpression="SET paused_until = :now", ExpressionAttributeValues=over
    )
    assert nowcerts.drain()["acknowledged"] == 3


@pytest.mark.parametrize("operation", [SEND_BATCH, "S3.PutObject"], ids=["queue", "store"])
def test_an_outage_of_ours_costs_no_message_of_a_quorum_queue(
    nowcerts: NowCerts, stack: Stack, rabbitmq: RabbitMq, operation: str
) -> None:
    queue = f"{nowcerts.queue}.quorum"
    declare(rabbitmq, queue, kind="quorum", **{"x-delivery-limit": 20})
    nowcerts.queue = queue
    nowcerts.account()
    large = b'{"large": "' + b"x" * 1_200_000 + b'"}'
    ids = new_ids(40)
    publish(rabbitmq, queue, [large if number % 4 == 0 else policy(number) for number in range(40)], ids)

    runs = []
    with stack.proxy.fault(operation, "access-denied"):
        for _ in range(25):
            runs.append(nowcerts.drain())
            # Each pause is over at once: as many runs as in a day.
            nowcerts.lift_pause()
    assert {run["outcome"] for run in runs} == {"failed"}
    assert nowcerts.lease()["failed_runs"] == 25
    drained = nowcerts.drain()

    assert (drained["outcome"], drained["acknowledged"]) == ("drained", 40 - sum(run["acknowledged"] for run in runs))
    events = nowcerts.events()
    assert sorted(event["id"] for event in events) == sorted(ids), "nothing is lost"
    assert {event["outcome"] for event in events} == {"stored"}
    returns = max(int(event["attributes"].get("delivery_count", "0")) for event in events)
    print(f"{len(runs)} failed runs, at most {1 + returns} deliveries of a message")
    assert returns <= 7


def test_messages_that_our_queue_refuses_are_requeued_and_others_are_drained(nowcerts: NowCerts, stack: Stack) -> None:
    ids = nowcerts.publish(30)
    with stack.proxy.fault(SEND_BATCH, "refuse-entry", times=1):
        run = nowcerts.drain()
    assert (run["outcome"], run["reason"]) == ("failed", "messages-refused")
    assert (run["acknowledged"], run["returned"]) == (29, 1)
    assert nowcerts.depth() == (1, 0)
    assert nowcerts.lease() == {}, "the others are not held up"

    assert nowcerts.drain()["redelivered"] == 1
    assert sorted(event["id"] for event in nowcerts.events()) == sorted(ids)


def test_a_batch_whose_answer_is_lost_is_recorded_once(nowcerts: NowCerts, stack: Stack) -> None:
    ids = nowcerts.publish(20)
    with stack.proxy.fault(SEND_BATCH, "lose-answer", times=1):
        nowcerts.drain()
    nowcerts.drain_all()
    assert sorted(event["id"] for event in nowcerts.events()) == sorted(ids)


def test_the_connection_survives_a_slow_queue_of_ours(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(90)
    with stack.settings("nowcerts", PREFETCH="10", BATCHES_IN_FLIGHT="1"), stack.proxy.fault(SEND_BATCH, "slow"):
        run = nowcerts.drain()
    assert run["duration_microseconds"] > 25_000_000, "longer than two heartbeats"
    assert (run["outcome"], run["acknowledged"]) == ("drained", 90)
