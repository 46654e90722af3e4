"""NowCerts, when the broker goes away in the middle of a run."""

from __future__ import annotations

import pytest
from nowcerts import SEND_BATCH, SMALL_WINDOW, NowCerts
from stack.rabbitmq import RabbitMq
from stack.stack import Stack


@pytest.mark.parametrize("fault", ["close_all_connections", "stop_app", "kill"])
def test_a_broker_that_goes_away_in_the_middle_costs_no_message(
    nowcerts: NowCerts, stack: Stack, rabbitmq: RabbitMq, fault: str
) -> None:
    count = 250
    ids = nowcerts.publish(count)
    begun = nowcerts.accepted()
    try:
        window = stack.settings("nowcerts", **SMALL_WINDOW)
        with window, stack.proxy.fault(SEND_BATCH, "slow"), nowcerts.running() as run:
            nowcerts.wait_for_accepted(begun + 25)
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
