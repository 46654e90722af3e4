"""NowCerts: a real RabbitMQ is emptied into the deployed stack."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from nowcerts import NowCerts
from publisher import channel, declare, new_ids, policy, publish
from stack.rabbitmq import RabbitMq
from stack.stack import BINARIES, Stack
from stack.wait import wait_until

PROVIDER = ("provider", "nowcerts")


def test_messages_are_stored_once_with_all_their_properties(nowcerts: NowCerts) -> None:
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


def test_with_a_pointer_to_the_id_redeliveries_are_duplicates(nowcerts: NowCerts, stack: Stack) -> None:
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
def test_a_run_that_cannot_consume_fails_visibly_and_the_next_run_catches_up(
    nowcerts: NowCerts, stack: Stack, changes: dict[str, Any], reason: str
) -> None:
    nowcerts.publish(3)
    failed = ("drain_failed", (PROVIDER,))
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


def test_a_placeholder_account_is_reported(nowcerts: NowCerts, stack: Stack) -> None:
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


def test_a_queue_or_a_lease_held_by_another_ends_the_run_without_an_error(nowcerts: NowCerts, stack: Stack) -> None:
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
    written = data_points(stack, "drain_busy")
    assert nowcerts.drain()["acknowledged"] == 2, "an expired lease does not prevent a run"
    assert stack.items(pk="lease#nowcerts") == []
    # Those of the runs before may still be on their way.
    wait_until(lambda: data_points(stack, "drain_busy")[len(written) :][-1:] == [0], what="the data point of a run that was not busy")


def data_points(stack: Stack, name: str) -> list[float]:
    """The values of a metric of this function, one for each time that it was written."""
    values = [line[name] for line in stack.lines("nowcerts") if "_aws" in line and name in line]
    return [point for value in values for point in (value if isinstance(value, list) else [value])]


def test_no_line_shows_the_password(nowcerts: NowCerts, stack: Stack) -> None:
    nowcerts.publish(1)
    nowcerts.drain()
    assert nowcerts.rabbitmq.password not in stack.output("nowcerts")
    assert "the connection is not encrypted" in stack.output("nowcerts")


def test_the_command_drains_into_the_development_server(nowcerts: NowCerts, tmp_path: Path) -> None:
    nowcerts.publish(15)
    given = {
        "NOWCERTS_CONNECTION_STRING": nowcerts.rabbitmq.connection_string(),
        "NOWCERTS_PASSWORD": nowcerts.rabbitmq.password,
        "NOWCERTS_QUEUE": nowcerts.queue,
    }

    def run(*arguments: str, **environment: str) -> str:
        command = [BINARIES / "webhook-intake", *arguments, "--data-directory", tmp_path / "data"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # Shorter than the time that a run keeps for what it has taken.
    drained = run("drain", "--time", "5", **given)
    assert "drained. 15 messages came, 15 are on our queue and acknowledged" in drained
    events = [json.loads(line) for line in run("events", "--provider", "nowcerts", "--json").splitlines()]
    assert len(events) == 15
    nowcerts.publish(3)
    shown = run("demo", "--exit", "--listen", "127.0.0.1:0", **given)
    assert "drained. 3 messages came" in shown
    assert nowcerts.depth() == (0, 0)
