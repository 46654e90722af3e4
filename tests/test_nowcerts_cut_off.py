"""NowCerts, while a run goes on: the function is killed, the queue is deleted, or the broker raises an alarm."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from nowcerts import SEND_BATCH, SMALL_WINDOW, NowCerts
from publisher import channel, publish
from stack.rabbitmq import RabbitMq
from stack.stack import Stack
from stack.wait import wait_until


@pytest.fixture
def short_lease(stack: Stack) -> Iterator[None]:
    """The lease of a run that was killed ends soon, and a run has few messages in flight."""
    with stack.settings("nowcerts", LEASE_SECONDS="5", **SMALL_WINDOW):
        yield


def kill_again_and_again(nowcerts: NowCerts, times: int) -> None:
    """Kills the function in the middle of its work, at varying moments."""
    for number in range(times):
        begun = nowcerts.accepted()
        with nowcerts.stack.proxy.fault(SEND_BATCH, "slow"):
            thread = threading.Thread(target=invoke_in_vain, args=(nowcerts.stack,))
            thread.start()
            nowcerts.wait_for_accepted(begun + 1)
            time.sleep(0.4 * number)
            nowcerts.stack.restart("nowcerts")
            thread.join(timeout=120)
        wait_until(lambda: nowcerts.lease().get("expires_at", 0) < time.time(), what="the end of the killed run's lease")


def invoke_in_vain(stack: Stack) -> None:
    """An invocation that is cut off; the emulator's answer is ignored."""
    with contextlib.suppress(Exception):
        stack.run_to_its_end("nowcerts")


def test_a_function_that_is_killed_loses_nothing_and_stores_once_what_has_an_id(
    nowcerts: NowCerts, stack: Stack, short_lease: None
) -> None:
    count = 375
    ids = nowcerts.publish(count)
    before = Counter(stack.records_outcomes())
    kill_again_and_again(nowcerts, times=4)
    assert nowcerts.depth()[0] > 0, "killed in the middle of the work"
    nowcerts.drain_all()

    events = nowcerts.events()
    outcomes = Counter(stack.records_outcomes()) - before
    lost = set(ids) - {event["id"] for event in events}
    print(f"published {count}, stored {len(events)}, duplicates {outcomes['duplicate']}, lost {len(lost)}")
    assert not lost
    assert len(events) == count
    assert {event["outcome"] for event in events} == {"stored"}


def test_a_function_that_is_killed_loses_nothing_and_marks_what_has_no_id(
    nowcerts: NowCerts, stack: Stack, short_lease: None
) -> None:
    count = 375
    bodies = [{"anonymous": number, "run": nowcerts.queue} for number in range(count)]
    publish(nowcerts.rabbitmq, nowcerts.queue, bodies)
    kill_again_and_again(nowcerts, times=4)
    assert nowcerts.depth()[0] > 0, "killed in the middle of the work"
    nowcerts.drain_all()

    events = nowcerts.events()
    copies = Counter(json.loads(event["data"])["anonymous"] for event in events)
    extra = [event for event in events if event["outcome"] == "repeat"]
    print(f"published {count}, kept {len(events)}, marked repeat {len(extra)}, lost {count - len(copies)}")
    assert set(copies) == set(range(count)), "nothing is lost"
    assert len(extra) == len(events) - count, "every copy but the first is marked"


def test_a_deleted_queue_ends_the_run_after_sent_messages_are_safe(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(250)
    begun = nowcerts.accepted()
    window = stack.settings("nowcerts", **SMALL_WINDOW)
    with window, stack.proxy.fault(SEND_BATCH, "slow"), nowcerts.running() as run:
        nowcerts.wait_for_accepted(begun + 15)
        with channel(nowcerts.rabbitmq) as owner:
            owner.queue_delete(nowcerts.queue)
    assert (run[0]["outcome"], run[0]["reason"]) == ("broken-off", "consumer-cancelled")
    assert run[0]["accepted"] == run[0]["received"] > 15
    assert len(nowcerts.events()) == run[0]["accepted"]


def test_a_memory_alarm_of_the_broker_does_not_stop_a_consumer(nowcerts: NowCerts, rabbitmq: RabbitMq) -> None:
    nowcerts.publish(200)
    rabbitmq.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        wait_until(rabbitmq.has_memory_alarm, what="the alarm")
        run = nowcerts.drain()
    finally:
        rabbitmq.control("set_vm_memory_high_watermark", "0.6")
    assert (run["outcome"], run["acknowledged"]) == ("drained", 200)
