"""A person's data are erased and events are sent again, in a data directory and on a deployed stack."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import operator_commands
import pytest
from local_server import LocalServer
from notifications import agent, notification
from senders import Sender, new_id
from signers import MachnetSigner, PathSecret, machnet_event
from stack.stack import STACK_NAME, Stack
from stack.wait import wait_until

ON_STACK = ["--stack", STACK_NAME]
SECRET = {"keys": [{"secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}]}


@pytest.fixture
def server(tmp_path: Path, machnet_signer: MachnetSigner, path_secret: PathSecret) -> Iterator[LocalServer]:
    documents = {"machnet": {"keys": [machnet_signer.key()]}, "nurturecloud": {"keys": [path_secret.key()]}}
    server = LocalServer(tmp_path, documents)
    yield server
    server.close()


def deliver(server: LocalServer, path: str, signer: Any, body: bytes) -> dict[str, Any]:
    """Posts, and returns the record of the delivery."""
    answer = server.post(path, body, signer.headers(body) | {"Content-Type": "application/json"})
    assert answer.status == 200, answer
    delivery_id = json.loads(answer.body)["delivery_id"]
    shown = wait_until(
        lambda: (done := server.run("deliveries", "show", delivery_id, "--json")).returncode == 0 and done,
        what="the delivery's record",
    )
    return json.loads(shown.stdout)


def holds(server: LocalServer, text: str) -> bool:
    """Whether any file of the data directory holds a text, also where nothing refers to it any more."""
    files = [path for path in server.directory.rglob("*") if path.is_file() and path.name.startswith("intake.")]
    assert files
    return any(text.encode() in path.read_bytes() for path in files)


def report(done: subprocess.CompletedProcess[Any], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_an_erased_event_is_nowhere_in_the_data_directory_and_its_redelivery_is_a_duplicate(
    server: LocalServer, machnet_signer: MachnetSigner
) -> None:
    secret, large = "Ada-Lovelace", "Grace-Hopper" + "x" * 30_000
    bodies = {name: machnet_event(new_id(), new_id(), person=name) for name in (secret, large)}
    ids = {name: json.loads(body)["id"] for name, body in bodies.items()}
    for body in bodies.values():
        deliver(server, "/webhooks/machnet", machnet_signer, body)
    assert holds(server, secret) and holds(server, "Grace-Hopper")

    refused = server.run("erase", "--event", ids[secret])
    assert (refused.returncode, b"--yes" in refused.stderr) == (2, True)
    dry = report(server.run("erase", "--event", ids[secret], "--dry-run", "--json"))
    assert (dry["dry_run"], dry["events"], dry["deliveries"], len(dry["sample"])) == (True, 1, 1, 1)
    assert holds(server, secret)

    done = report(server.run("erase", "--event", ids[secret], "--event", ids[large], "--yes", "--json"))
    assert (done["events"], done["deliveries"]) == (2, 2)
    assert not holds(server, secret) and not holds(server, "Grace-Hopper")
    shown = server.run("events", "show", ids[secret])
    assert b"erased at " in shown.stdout and b"says what is left of it" in shown.stdout, shown
    raw = server.run("events", "show", ids[secret], "--raw")
    assert (raw.returncode, b"were erased at" in raw.stderr) == (1, True)

    for body in bodies.values():
        record = deliver(server, "/webhooks/machnet", machnet_signer, body)
        assert [event["outcome"] for event in record["outcomes"]] == ["duplicate"]
        assert "body_erased_at" in record and record["headers"] == []
    again = report(server.run("erase", "--event", ids[secret], "--yes", "--json"))
    assert (again["events"], again["erased_before"]) == (0, 1)
    # The message that was on the queue is in no file either.
    assert not holds(server, secret)
    assert server.run("erase", "--event", "nobody", "--yes").returncode == 1


def test_an_entity_is_erased_and_everything_before_a_time(server: LocalServer, path_secret: PathSecret) -> None:
    person, other = new_id(), new_id()
    deliver(server, path_secret.path, path_secret, notification("Created", agent(person, name="Ada-L"), component="contact"))
    deliver(server, path_secret.path, path_secret, notification("Created", agent(other, name="Grace-H"), component="contact"))
    done = report(server.run("erase", "--entity", "contacts", person, "--yes", "--json"))
    assert (done["entities"], done["events"], done["deliveries"]) == (1, 1, 1)
    assert not holds(server, "Ada-L") and holds(server, "Grace-H")
    assert b"erased at" in server.run("entities", "contact", person).stdout

    done = report(server.run("erase", "--before", "0s", "--yes", "--json"))
    assert (done["events"], done["deliveries"], done["erased_before"]) == (1, 1, 1)
    assert holds(server, "Grace-H"), "the present content of an entity stays"
    report(server.run("erase", "--entity", "contact", other, "--yes", "--json"))
    assert not holds(server, "Grace-H")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    taken: list[tuple[dict[str, str], dict[str, Any]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.append((dict(self.headers), json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_recorded_events_are_posted_again_marked_and_go_on_behind_the_last_one(
    server: LocalServer, machnet_signer: MachnetSigner, tmp_path: Path
) -> None:
    ids = [new_id() for _ in range(5)]
    for event_id in ids:
        deliver(server, "/webhooks/machnet", machnet_signer, machnet_event(event_id, new_id()))
    report(server.run("erase", "--event", ids[0], "--yes", "--json"))
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(SECRET))
    Receiver.taken = []
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_address[1]}/events"

    dry = report(server.run("replay", "--since", "1h", "--dry-run", "--json"))
    assert (dry["sent"], dry["erased"], Receiver.taken) == (4, 1, [])
    options = ["--to", url, "--secret-file", str(secret), "--rate", "1000", "--name", "again", "--json"]
    done = report(server.run("replay", "--since", "1h", *options))
    assert (done["sent"], done["erased"], done["replay"]) == (4, 1, "again")
    assert [envelope["id"] for _, envelope in Receiver.taken] == ids[1:]
    assert {envelope["replay"] for _, envelope in Receiver.taken} == {"again"}
    assert all("Webhook-Signature" in {name.title() for name in headers} for headers, _ in Receiver.taken)

    Receiver.taken.clear()
    third = next(entry for entry in dry["sample"] if entry["id"] == ids[2])
    place = f"{third['delivery_id']}.{third['index']}"
    report(server.run("replay", "--since", "1h", "--resume", place, *options))
    assert [envelope["id"] for _, envelope in Receiver.taken] == ids[3:]
    receiver.shutdown()
    failed = server.run("replay", "--since", "1h", "--provider", "machnet")
    assert (failed.returncode, b"--to" in failed.stderr) == (1, True)


def test_a_stack_s_event_is_erased_with_its_objects_and_its_redelivery_is_a_duplicate(stack: Stack, machnet: Sender) -> None:
    body = machnet_event(new_id(), new_id(), person="Ada" + "x" * 30_000)
    event_id = json.loads(body)["id"]
    sent, outcome = machnet.deliver(body)
    assert outcome == "stored"
    [event] = stack.events(delivery_id=sent.delivery_id)
    assert stack.objects(event["data_key"])

    def run(*arguments: str) -> subprocess.CompletedProcess[Any]:
        return operator_commands.run(stack, *arguments, *ON_STACK)

    dry = report(run("erase", "--event", f"{sent.delivery_id}.0", "--dry-run", "--json"))
    assert (dry["events"], dry["deliveries"], bool(stack.objects(event["data_key"]))) == (1, 1, True)
    done = report(run("erase", "--event", event_id, "--since", "1h", "--yes", "--json"))
    assert (done["events"], done["deliveries"]) == (1, 1)
    assert stack.objects(event["data_key"]) == []
    [after] = stack.events(delivery_id=sent.delivery_id)
    assert {"data_key", "subject", "attributes"}.isdisjoint(after) and "erased_at" in after
    assert (after["digest"], after["outcome"], after["pk"]) == (event["digest"], event["outcome"], event["pk"])
    again, outcome = machnet.deliver(body)
    assert outcome == "duplicate"
    record = json.loads(run("deliveries", "show", again.delivery_id, "--json").stdout)
    assert "body_erased_at" in record


def bus_and_queue(stack: Stack) -> tuple[str, str]:
    """A bus, and the queue that gets what is replayed to it."""
    events, sqs = stack.client("events"), stack.client("sqs")
    bus = f"replay-{new_id()}"
    events.create_event_bus(Name=bus)
    queue = sqs.create_queue(QueueName=bus)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["webhook-intake.machnet"], "detail": {"replay": [{"exists": True}]}}
    events.put_rule(Name=bus, EventBusName=bus, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=bus, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    return bus, queue


def received(stack: Stack, queue: str) -> list[dict[str, Any]]:
    """The messages of a queue, each of which is taken from it."""
    sqs = stack.client("sqs")
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in messages]


def test_a_stack_s_events_are_put_on_a_bus_again(stack: Stack, machnet: Sender) -> None:
    bus, queue = bus_and_queue(stack)
    event_id = new_id()
    machnet.deliver(machnet_event(event_id, new_id()))

    options = ["--since", "1h", "--provider", "machnet", "--id", event_id, "--bus", bus, "--json", *ON_STACK]
    done = report(operator_commands.run(stack, "replay", *options))
    assert done["sent"] == 1

    [message] = wait_until(lambda: received(stack, queue), what="the event on the bus's queue")
    assert (message["detail"]["id"], message["detail"]["replay"]) == (event_id, done["replay"])


def test_a_replay_to_a_bus_that_is_killed_goes_on_where_its_last_line_says(stack: Stack, machnet: Sender) -> None:
    bus, queue = bus_and_queue(stack)
    subject = new_id()
    ids = [new_id() for _ in range(45)]
    for number, event_id in enumerate(ids):
        # Of one subject, so that only these are replayed; without a state, so that none of them is a repeat.
        machnet.deliver(machnet_event(event_id, subject, event_name=f"event_{number}"))
    options = ["--since", "1h", "--provider", "machnet", "--subject", subject, "--bus", bus, "--name", "killed", *ON_STACK]

    replay = operator_commands.started(stack, "replay", *options, "--rate", "5")
    assert replay.stderr
    line = replay.stderr.readline()
    replay.kill()
    replay.wait()
    place = line.partition("last ")[2].partition(",")[0]
    assert " sent, last " in line and place.endswith(".0"), line

    resumed = report(operator_commands.run(stack, "replay", *options, "--resume", place, "--rate", "1000", "--json"))
    assert 0 < resumed["sent"] < len(ids)
    found: list[str] = []

    def all_of_them() -> bool:
        messages = received(stack, queue)
        assert {message["detail"]["replay"] for message in messages} <= {"killed"}
        found.extend(message["detail"]["id"] for message in messages)
        return set(found) == set(ids)

    wait_until(all_of_them, what="every event on the bus's queue")
    assert len(found) <= len(ids) + 10, "at most the batch that was under way is sent twice"
