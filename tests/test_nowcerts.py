"""NowCerts: a real RabbitMQ is emptied into the deployed stack, whatever happens on the way."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from publisher import channel, declare, new_ids, policy, publish
from stack.rabbitmq import RabbitMq
from stack.stack import BINARIES, Line, Stack
from stack.wait import wait_until
from test_alarms import watched

SEND_BATCH = "AmazonSQS.SendMessageBatch"
PROVIDER = ("provider", "nowcerts")
LEASE = {"pk": {"S": "lease#nowcerts"}, "sk": {"S": "lease"}}


class NowCerts:
    """A queue of a test's own, and the function that empties it."""

    def __init__(self, stack: Stack, rabbitmq: RabbitMq, queue: str) -> None:
        self.stack = stack
        self.rabbitmq = rabbitmq
        self.queue = queue
        self.account()

    def account(self, **changes: Any) -> None:
        """Writes the secret."""
        self.stack.put_secret("NowCertsSecretArn", self.rabbitmq.secret() | {"queue": self.queue} | changes)

    def publish(self, count: int, **properties: Any) -> list[str]:
        """Publishes messages with ids of their own, and returns the ids."""
        ids = new_ids(count)
        publish(self.rabbitmq, self.queue, (policy(number) for number in range(count)), ids, **properties)
        return ids

    def lines(self) -> list[Line]:
        """The line of each run, oldest first whichever process wrote it."""
        return sorted(self.stack.lines("nowcerts", "drain"), key=lambda line: line["timestamp"])

    def drain(self) -> Line:
        """One run to its end, and its line."""
        with self.running() as run:
            pass
        return run[0]

    @contextlib.contextmanager
    def running(self) -> Iterator[list[Line]]:
        """One run, which goes on while the `with` block does its mischief; afterwards the list holds its line."""
        before = len(self.lines())
        found: list[Line] = []
        thread = threading.Thread(target=self.stack.run_to_its_end, args=("nowcerts",))
        thread.start()
        try:
            yield found
        finally:
            thread.join(timeout=90)
        lines = wait_until(lambda: self.lines()[before:], timeout=10, what="the run's line")
        found.extend(lines)

    def lease(self) -> dict[str, Any]:
        """The item that holds the lease and the pause, or nothing."""
        return next(iter(self.stack.items(pk="lease#nowcerts")), {})

    def lift_pause(self) -> None:
        """As docs/operations.md says."""
        self.stack.client("dynamodb").update_item(
            TableName=self.stack.outputs["EventsTableName"], Key=LEASE, UpdateExpression="REMOVE paused_until"
        )

    def accepted(self) -> int:
        """How many deliveries were accepted so far."""
        return sum(line["outcome"] == "accepted" for line in self.stack.deliveries("nowcerts"))

    def wait_for_accepted(self, count: int) -> None:
        wait_until(lambda: self.accepted() >= count, timeout=40, what=f"{count} accepted deliveries")

    def drain_all(self) -> list[Line]:
        """Runs until the queue is empty."""
        runs = []
        while self.rabbitmq.depth(self.queue) != (0, 0):
            runs.append(self.drain())
            assert len(runs) < 20, runs
        return runs

    def events(self) -> list[dict[str, Any]]:
        """What was recorded of this queue, once all of it is."""
        wait_until(lambda: self.stack.messages() == 0, timeout=120, interval=0.5, what="the processing")
        recorded = self.stack.events(provider="nowcerts")
        return [event for event in recorded if event["attributes"]["queue"] == self.queue]

    def depth(self) -> tuple[int, int]:
        return self.rabbitmq.depth(self.queue)


@pytest.fixture
def nowcerts(stack: Stack, rabbitmq: RabbitMq, request: pytest.FixtureRequest) -> NowCerts:
    queue = f"{request.node.name[:80]}.{random.randrange(10**9)}"
    declare(rabbitmq, queue)
    # An outage of an earlier test may have left a pause.
    stack.client("dynamodb").delete_item(TableName=stack.outputs["EventsTableName"], Key=LEASE)
    return NowCerts(stack, rabbitmq, queue)


@pytest.fixture
def short_lease(stack: Stack) -> Iterator[None]:
    """The lease of a run that was killed ends soon."""
    with stack.settings("nowcerts", LEASE_SECONDS="5"):
        yield


def test_messages_are_stored_once_with_all_that_is_said_of_them(nowcerts: NowCerts) -> None:
    properties = {"type": "PolicyUpdated", "timestamp": 1_795_257_000, "content_type": "application/json"}
    ids = nowcerts.publish(25, headers={"tenant": 7}, **properties)

    run = nowcerts.drain()

    assert (run["outcome"], run["received"], run["acknowledged"], run["returned"]) == ("drained", 25, 25, 0)
    assert nowcerts.depth() == (0, 0)
    events = nowcerts.events()
    assert sorted(event["id"] for event in events) == sorted(ids)
    for event in events:
        assert (event["outcome"], event["type"], event["source"]) == (
            "stored",
            "nowcerts.PolicyUpdated",
            "/queues/nowcerts/main",
        )
        assert event["time"] == "2026-11-21T10:30:00.000Z"
        assert json.loads(event["data"])["Insured"] == "Zoë & Sons"
        assert event["attributes"] == {
            "identified_by": "message-id",
            "redelivered": "false",
            "queue": nowcerts.queue,
            "routing_key": nowcerts.queue,
            "timestamp": "1795257000",
        }


def test_a_replay_on_a_queue_of_its_own_is_recognised(nowcerts: NowCerts, rabbitmq: RabbitMq) -> None:
    replay = f"{nowcerts.queue}.replay"
    declare(rabbitmq, replay)
    nowcerts.account(replay_queue=replay)
    ids = nowcerts.publish(12)
    anonymous = [{"anonymous": number, "run": nowcerts.queue} for number in range(5)]
    publish(rabbitmq, nowcerts.queue, anonymous)
    nowcerts.drain()
    assert len(nowcerts.events()) == 17

    publish(rabbitmq, replay, (policy(number) for number in range(12)), ids)
    publish(rabbitmq, replay, anonymous)
    assert nowcerts.drain()["acknowledged"] == 17

    assert len(nowcerts.events()) == 17, "nothing with an id is stored again"
    replayed = [event for event in nowcerts.stack.events(provider="nowcerts") if event["attributes"]["queue"] == replay]
    firsts = {event["id"] for event in nowcerts.events()}
    assert len(replayed) == 5, "what has no id is kept"
    assert {event["outcome"] for event in replayed} == {"repeat"}
    assert {event["repeat_of"] for event in replayed} < firsts


def test_a_pointer_to_the_id_makes_duplicates_of_what_comes_again(nowcerts: NowCerts, stack: Stack) -> None:
    bodies = [{"data": {"Id": identifier}} for identifier in new_ids(4)]
    with stack.settings("processor", NOWCERTS_ID_POINTER="/data/Id"):
        publish(nowcerts.rabbitmq, nowcerts.queue, bodies + bodies)
        nowcerts.drain()
        events = nowcerts.events()

    assert sorted(event["id"] for event in events) == sorted(body["data"]["Id"] for body in bodies)
    assert {event["outcome"] for event in events} == {"stored"}


def test_other_content_under_an_id_is_a_conflict(nowcerts: NowCerts) -> None:
    publish(nowcerts.rabbitmq, nowcerts.queue, [policy(1), policy(2)], new_ids(1) * 2)
    nowcerts.drain()

    assert sorted(event["outcome"] for event in nowcerts.events()) == ["conflict", "stored"]


def test_bytes_of_any_kind_and_size_are_kept(nowcerts: NowCerts, stack: Stack) -> None:
    bodies = [b"", b"\xff\x00 no text", b'{"large": "' + b"x" * 1_200_000 + b'"}']
    ids = new_ids(3)
    publish(nowcerts.rabbitmq, nowcerts.queue, bodies, ids)
    run = nowcerts.drain()
    assert (run["outcome"], run["acknowledged"]) == ("drained", 3)

    events = {event["id"]: event for event in nowcerts.events()}
    for identifier, body in zip(ids, bodies, strict=True):
        event = events[identifier]
        assert (stack.object(event["data_key"]) if "data_key" in event else event["data"].encode()) == body
    assert [events[identifier]["datacontenttype"] for identifier in ids] == [
        "application/octet-stream",
        "application/octet-stream",
        "application/json",
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"password": "wrong"}, "login-refused"),
        ({"queue": "no.such.queue"}, "unknown-queue"),
        ({"connection_string": "host=127.0.0.1:1;username=agency"}, "broker-unreachable"),
        ({"connection_string": "host=127.0.0.1:{port};username=agency;virtualHost=other"}, "virtual-host-refused"),
        ({"tls": True}, "tls-failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_consumed_fails_visibly_and_the_next_run_catches_up(
    nowcerts: NowCerts, stack: Stack, changes: dict[str, Any], reason: str
) -> None:
    nowcerts.publish(3)
    failed = ("drain_failed", (PROVIDER, ("reason", reason)))
    counted = stack.counters("nowcerts").get(failed, 0)
    if "connection_string" in changes:
        changes = {"connection_string": changes["connection_string"].format(port=nowcerts.rabbitmq.port)}
    nowcerts.account(**changes)

    run = nowcerts.drain()
    assert (run["outcome"], run["reason"]) == ("cannot-consume", reason)
    assert nowcerts.depth() == (3, 0)
    wait_until(lambda: stack.counters("nowcerts").get(failed, 0) == counted + 1, what="the counter")

    nowcerts.account()
    assert nowcerts.drain()["acknowledged"] == 3


def test_an_account_that_nobody_filled_in_is_explained(nowcerts: NowCerts, stack: Stack) -> None:
    stack.put_secret("NowCertsSecretArn", {})
    run = nowcerts.drain()
    assert (run["outcome"], run["reason"]) == ("failed", "account-unusable")
    problems = [line["problems"] for line in stack.lines("nowcerts") if "problems" in line][-1]
    assert "connection_string is missing" in problems
    assert "queue is missing" in problems


def test_a_run_without_settings_takes_nothing(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(2)
    with stack.settings("nowcerts", QUEUE_URL=""):
        run = nowcerts.drain()
    assert (run["outcome"], run["reason"]) == ("failed", "configuration-invalid")
    assert nowcerts.depth() == (2, 0)
    nowcerts.drain()


def test_a_queue_or_a_lease_in_somebody_elses_hands_ends_the_run_quietly(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(2)
    busy = ("drain_busy", (PROVIDER,))
    counted = stack.counters("nowcerts").get(busy, 0)
    with channel(nowcerts.rabbitmq) as other:
        tag = other.basic_consume(nowcerts.queue, lambda *_: None, exclusive=True)
        run = nowcerts.drain()
        assert (run["outcome"], run["reason"]) == ("held-by-another", "queue-in-use")
        other.basic_cancel(tag)

    lease = {"pk": {"S": "lease#nowcerts"}, "sk": {"S": "lease"}, "holder": {"S": "another"}}
    table, dynamodb = stack.outputs["EventsTableName"], stack.client("dynamodb")
    dynamodb.put_item(TableName=table, Item=lease | {"expires_at": {"N": str(int(time.time()) + 60)}})
    run = nowcerts.drain()
    assert (run["outcome"], run["reason"]) == ("held-by-another", "lease-taken")
    wait_until(lambda: stack.counters("nowcerts").get(busy, 0) == counted + 2, what="the counter")

    dynamodb.put_item(TableName=table, Item=lease | {"expires_at": {"N": str(int(time.time()) - 1)}})
    assert nowcerts.drain()["acknowledged"] == 2, "a lease whose time is over is no hindrance"
    assert stack.items(pk="lease#nowcerts") == []


def test_our_queue_is_asked_before_anything_is_taken(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(5)
    with stack.proxy.fault("AmazonSQS.GetQueueAttributes", "unavailable"):
        run = nowcerts.drain()
    assert (run["outcome"], run["reason"], run["received"]) == ("failed", "queue-unavailable", 0)
    assert nowcerts.drain()["redelivered"] == 0


@pytest.mark.parametrize("action", ["access-denied", "unavailable", "hang"])
def test_a_queue_of_ours_that_fails_ends_the_run_and_everything_returns_once(
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


def test_a_run_in_a_pause_ends_quietly_and_says_until_when_and_why(nowcerts: NowCerts, stack: Stack) -> None:
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


def test_what_our_queue_refuses_returns_and_its_neighbours_are_done(nowcerts: NowCerts, stack: Stack) -> None:
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
        wait_until(lambda: "Memory alarm" in rabbitmq.control("status"), timeout=30, interval=1, what="the alarm")
        run = nowcerts.drain()
    finally:
        rabbitmq.control("set_vm_memory_high_watermark", "0.6")
    assert (run["outcome"], run["acknowledged"]) == ("drained", 200)


def kill_again_and_again(nowcerts: NowCerts, times: int) -> None:
    """Kills the function in the middle of its work, at moments that differ."""
    for number in range(times):
        begun = nowcerts.accepted()
        with nowcerts.stack.proxy.fault(SEND_BATCH, "slow"):
            thread = threading.Thread(target=invoke_in_vain, args=(nowcerts.stack,))
            thread.start()
            nowcerts.wait_for_accepted(begun + 1)
            time.sleep(0.4 * number)
            nowcerts.stack.restart("nowcerts")
            thread.join(timeout=90)
        # The lease of the run that was killed ends first.
        time.sleep(5.5)


def invoke_in_vain(stack: Stack) -> None:
    """An invocation that is cut off; what the emulator answers then is its own matter."""
    with contextlib.suppress(Exception):
        stack.run_to_its_end("nowcerts")


def test_a_function_that_is_killed_loses_nothing_and_stores_once_what_has_an_id(
    nowcerts: NowCerts, stack: Stack, short_lease: None
) -> None:
    count = 1_500
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
    count = 1_500
    bodies = [{"anonymous": number, "run": nowcerts.queue} for number in range(count)]
    publish(nowcerts.rabbitmq, nowcerts.queue, bodies)
    kill_again_and_again(nowcerts, times=4)
    nowcerts.drain_all()

    events = nowcerts.events()
    copies = Counter(json.loads(event["data"])["anonymous"] for event in events)
    extra = [event for event in events if event["outcome"] == "repeat"]
    print(f"published {count}, kept {len(events)}, marked repeat {len(extra)}, lost {count - len(copies)}")
    assert set(copies) == set(range(count)), "nothing is lost"
    assert len(extra) == len(events) - count, "every copy but the first is marked"


def test_no_line_shows_the_password(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(1)
    nowcerts.drain()
    assert nowcerts.rabbitmq.password not in stack.output("nowcerts")
    assert "the connection is not encrypted" in stack.output("nowcerts")


def test_each_watched_metric_is_one_that_the_functions_send(nowcerts: NowCerts, stack: Stack) -> None:
    publish(nowcerts.rabbitmq, nowcerts.queue, [policy(1), policy(2)], new_ids(1) * 2)
    nowcerts.drain()
    with channel(nowcerts.rabbitmq) as other:
        other.basic_consume(nowcerts.queue, lambda *_: None, exclusive=True)
        nowcerts.drain()
    nowcerts.account(password="wrong")
    nowcerts.drain()
    expected = {(name, dimensions) for name, dimensions in watched() if PROVIDER in dimensions}
    assert len(expected) == 4

    def missing() -> set[Any]:
        return expected - stack.counters("nowcerts").keys() - stack.counters("processor").keys()

    wait_until(lambda: not missing(), timeout=20, what=f"a metric for each of {missing()}")


def test_the_command_drains_into_the_development_server(nowcerts: NowCerts, tmp_path: Path) -> None:
    nowcerts.publish(15)
    given = {
        "NOWCERTS_CONNECTION_STRING": nowcerts.rabbitmq.connection_string(),
        "NOWCERTS_PASSWORD": nowcerts.rabbitmq.password,
        "NOWCERTS_QUEUE": nowcerts.queue,
    }

    def run(*arguments: str, **environment: str) -> str:
        command = [BINARIES / "webhook-intake", *arguments, "--data-directory", tmp_path / "data"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "drained. 15 messages came, 15 are on our queue and acknowledged" in run("drain", **given)
    events = [json.loads(line) for line in run("events", "--provider", "nowcerts", "--json").splitlines()]
    assert len(events) == 15
    nowcerts.publish(3)
    shown = run("demo", "--exit", "--listen", "127.0.0.1:0", **given)
    assert "drained. 3 messages came" in shown
    assert nowcerts.depth() == (0, 0)
