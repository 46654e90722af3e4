"""NowCerts, when a run breaks off: the broker or its queue goes away in the middle."""

from __future__ import annotations

import pytest
from nowcerts import SEND_BATCH, NowCerts
from publisher import channel
from stack.rabbitmq import RabbitMq
from stack.stack import Stack
from stack.wait import wait_until


@pytest.mark.parametrize("fault", ["close_all_connections", "stop_app", "kill"])
def test_a_broker_that_goes_away_in_the_middle_costs_no_message(
    nowcerts: NowCerts, stack: Stack, rabbitmq: RabbitMq, fault: str
) -> None:
    count = 1_000
    ids = nowcerts.publish(count)
    begun = nowcerts.accepted()
    try:
        with stack.proxy.fault(SEND_BATCH, "slow"), nowcerts.running() as run:
            nowcerts.wait_for_accepted(begun + 100)
            if fault == "kill":
                rabbitmq.kill()
            else:
                rabbitmq.control(*([fault, "a test"] if fault == "close_all_connections" else [fault]))
        assert (run[0]["outcome"], run[0]["reason"]) == ("broken-off", "connection-lost")
        assert run[0]["accepted"] < count
        if fault != "close_all_connections":
            assert nowcerts.drain()["reason"] == "broker-unreachable"
    finally:
        rabbitmq.revive()

    nowcerts.drain_all()
    events = nowcerts.events()
    assert sorted(event["id"] for event in events) == sorted(ids)
    assert {event["outcome"] for event in events} == {"stored"}


def test_a_queue_that_is_deleted_ends_the_run_after_what_was_sent_is_safe(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(1_000)
    begun = nowcerts.accepted()
    with stack.proxy.fault(SEND_BATCH, "slow"), nowcerts.running() as run:
        nowcerts.wait_for_accepted(begun + 50)
        with channel(nowcerts.rabbitmq) as owner:
            owner.queue_delete(nowcerts.queue)
    assert (run[0]["outcome"], run[0]["reason"]) == ("broken-off", "consumer-cancelled")
    assert run[0]["accepted"] == run[0]["received"] > 50
    assert len(nowcerts.events()) == run[0]["accepted"]


def test_a_memory_alarm_of_the_broker_does_not_stop_a_consumer(nowcerts: NowCerts, rabbitmq: RabbitMq) -> None:
    nowcerts.publish(200)
    rabbitmq.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        wait_until(lambda: "Memory alarm" in rabbitmq.control("status"), interval=1, what="the alarm")
        run = nowcerts.drain()
    finally:
        rabbitmq.control("set_vm_memory_high_watermark", "0.6")
    assert (run["outcome"], run["acknowledged"]) == ("drained", 200)
