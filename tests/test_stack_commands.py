"""The operator's reading commands on the deployed stack: they show what they show of a data directory."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import operator_commands
import pytest
from authority import Authority, FreshTokens, sterling_event
from local_server import LocalServer
from nowcerts import NowCerts
from notifications import agent, notification
from publisher import declare, new_ids, policy, publish
from senders import Sender, new_id
from signers import AccreditSigner, MachnetSigner, PathSecret, accredit_event, machnet_event
from stack.rabbitmq import RabbitMq
from stack.stack import STACK_NAME, Stack
from stack.wait import wait_until

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DAY = re.compile(r"\d{4}/\d\d/\d\d")
# Members that hold only times or chance, and headers that differ on the way: a gateway adds some.
ANY = {"expires_at", "time_bucket"}
HEADERS_ON_THE_WAY = re.compile(r"host|accept-encoding|content-length|x-forwarded-.*|x-amzn-.*|forwarded|via|user-agent")


@dataclass
class Posted:
    """What was sent to the stack and to the development server, in this order."""

    since: str
    bodies: list[bytes]
    on_stack: list[str]
    in_directory: list[str]
    component_ids: list[str]


class Commands:
    """The same command on the stack and on the data directory."""

    def __init__(self, stack: Stack, server: LocalServer) -> None:
        self.stack = stack
        self.server = server

    def on_stack(self, *arguments: str) -> bytes:
        return done(operator_commands.run(self.stack, *arguments, "--stack", STACK_NAME, text=False))

    def in_directory(self, *arguments: str) -> bytes:
        return done(self.server.run(*arguments))


def done(process: subprocess.CompletedProcess[bytes]) -> bytes:
    assert (process.returncode, process.stderr) == (0, b""), process
    return process.stdout


def lines(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    machnet_signer: MachnetSigner,
    accredit_signer: AccreditSigner,
    path_secret: PathSecret,
    authority: Authority,
) -> Iterator[LocalServer]:
    documents = {
        "machnet": {"keys": [machnet_signer.key()]},
        "accredit": {"keys": [accredit_signer.key()]},
        "nurturecloud": {"keys": [path_secret.key()]},
        "sterling": authority.verification(),
    }
    server = LocalServer(tmp_path_factory.mktemp("server"), documents)
    yield server
    server.close()


@pytest.fixture(scope="module")
def posted(
    stack: Stack,
    server: LocalServer,
    rabbitmq: RabbitMq,
    machnet_signer: MachnetSigner,
    accredit_signer: AccreditSigner,
    path_secret: PathSecret,
    authority: Authority,
) -> Posted:
    """Deliveries of every provider: stored, a duplicate, a conflict, in quarantine, a batch, and with a body in S3."""
    since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event_id, resource = new_id(), new_id()
    machnet = machnet_event(event_id, resource)
    ids = [new_id(), new_id()]
    to_send: list[tuple[str, Any, bytes]] = [
        ("machnet", machnet_signer, machnet),
        ("machnet", machnet_signer, machnet),
        ("machnet", machnet_signer, machnet_event(event_id, resource, event_name="transaction_failed")),
        ("machnet", machnet_signer, b"\xff\xfe not an event"),
        ("accredit", accredit_signer, accredit_event(new_id())),
        ("sterling", FreshTokens(authority), batch(10)),
        ("sterling", FreshTokens(authority), batch(8 * 1024)),
        ("nurturecloud", path_secret, notification("Created", *(agent(each, name="Zoë") for each in ids), component="contact")),
        ("nurturecloud", path_secret, notification("Updated", agent(ids[0], name="x" * 20_000), component="contact")),
        ("nurturecloud", path_secret, notification("Deleted", agent(ids[0]), component="contact")),
    ]
    found = Posted(since, [], [], [], ids)
    for provider, signer, body in to_send:
        # An API hands over as text what calls itself text.
        content_type = "application/octet-stream" if body.startswith(b"\xff") else "application/json"
        sent, _ = Sender(stack, provider, signer).deliver_batch(body, content_type=content_type)
        path = signer.path if isinstance(signer, PathSecret) else f"/webhooks/{provider}"
        answer = server.post(path, body, signer.headers(body) | {"Content-Type": content_type})
        assert answer.status == 200, answer
        local_id = json.loads(answer.body)["delivery_id"]
        wait_until(lambda id=local_id: server.run("deliveries", "show", id).returncode == 0, what="the delivery's record")
        found.bodies.append(body)
        found.on_stack.append(sent.delivery_id)
        found.in_directory.append(local_id)
    drained(stack, server, rabbitmq, found)
    return found


def batch(size: int) -> bytes:
    """A batch that no serialiser would write again in the same bytes."""
    events = [json.dumps(sterling_event(new_id(), note="Zoë ✓" + "x" * size), ensure_ascii=False) for _ in range(3)]
    return ('{"eventbatch" :\r\n[ {"channel":"\\u00e9", "events":[' + " ,\n".join(events) + "]}]}\n").encode()


def drained(stack: Stack, server: LocalServer, rabbitmq: RabbitMq, found: Posted) -> None:
    """One message of NowCerts', published for each of the two."""
    queue = f"stack-commands.{new_id()}"
    declare(rabbitmq, queue)
    drain, [message_id] = NowCerts(stack, rabbitmq, queue), new_ids(1)
    body = json.dumps(policy(1)).encode()
    publish(rabbitmq, queue, [body], [message_id])
    drain.drain_all()
    [event] = drain.events()
    publish(rabbitmq, queue, [body], [message_id])
    (server.directory / "keys" / "nowcerts.json").write_text(json.dumps(rabbitmq.secret() | {"queue": queue}))
    process = server.run("drain")
    assert process.returncode == 0, process

    def record() -> list[dict[str, Any]]:
        return lines(server.run("deliveries", "--provider", "nowcerts", "--json").stdout)

    [local] = wait_until(record, what="the record of what was drained")
    found.bodies.append(body)
    found.on_stack.append(event["delivery_id"])
    found.in_directory.append(local["delivery_id"])


@pytest.fixture
def commands(stack: Stack, server: LocalServer) -> Commands:
    return Commands(stack, server)


def comparable(value: Any, deliveries: list[str]) -> Any:
    """A value without what is different by time or chance; the deliveries' ids become their place in this list."""
    match value:
        case dict():
            # The document of what is quarantined holds headers, which differ on the way.
            return {
                name: headers(member) if name == "headers" else comparable(member, deliveries)
                for name, member in value.items()
                if name not in ANY and name != "document"
            }
        case list():
            return [comparable(member, deliveries) for member in value]
        case str():
            place = {id: f"<delivery {number}>" for number, id in enumerate(deliveries)}
            text = UUID.sub(lambda found: place.get(found[0], found[0]), value)
            return DAY.sub("<day>", TIME.sub("<time>", text))
    return value


def headers(recorded: list[Any]) -> list[Any]:
    return sorted(
        ([name, text] for name, text in recorded if not HEADERS_ON_THE_WAY.fullmatch(name)),
        key=lambda header: (header[0], str(header[1])),
    )


def test_deliveries_are_listed_as_of_a_data_directory(commands: Commands, posted: Posted) -> None:
    arguments = ("deliveries", "list", "--since", posted.since, "--limit", "1000", "--json")

    of_stack = [record for record in lines(commands.on_stack(*arguments)) if record["delivery_id"] in posted.on_stack]
    of_directory = lines(commands.in_directory(*arguments))

    assert [record["delivery_id"] for record in of_stack] == posted.on_stack
    assert comparable(of_stack, posted.on_stack) == comparable(of_directory, posted.in_directory)
    outcomes = [{event["outcome"] for event in record["outcomes"]} for record in of_stack]
    assert outcomes[:4] == [{"stored"}, {"duplicate"}, {"conflict"}, {"quarantined"}]
    assert {record["provider"] for record in of_stack} == {"accredit", "machnet", "nurturecloud", "sterling", "nowcerts"}


def test_every_body_is_written_as_it_came(commands: Commands, posted: Posted) -> None:
    places = set()
    for body, delivery_id in zip(posted.bodies, posted.on_stack, strict=True):
        assert commands.on_stack("deliveries", "show", delivery_id, "--raw") == body
        [record] = lines(commands.on_stack("deliveries", "show", delivery_id, "--json"))
        places |= {name for name in record if name.startswith("body") and name != "body_bytes"}
    assert places == {"body", "body_key", "body_of_event", "body_of_quarantine"}


def test_a_delivery_is_shown_as_of_a_data_directory(commands: Commands, posted: Posted) -> None:
    for on_stack, in_directory in zip(posted.on_stack, posted.in_directory, strict=True):
        [of_stack] = lines(commands.on_stack("deliveries", "show", on_stack, "--json"))
        [of_directory] = lines(commands.in_directory("deliveries", "show", in_directory, "--json"))
        assert comparable(of_stack, posted.on_stack) == comparable(of_directory, posted.in_directory)
        assert on_stack.encode() in commands.on_stack("deliveries", "show", on_stack)


def test_entities_and_their_histories_are_those_of_a_data_directory(commands: Commands, posted: Posted) -> None:
    of_stack = [
        entity for entity in lines(commands.on_stack("entities", "--json")) if entity["id"] in posted.component_ids
    ]
    of_directory = lines(commands.in_directory("entities", "--json"))

    assert len(of_stack) == 2
    assert comparable(of_stack, posted.on_stack) == comparable(of_directory, posted.in_directory)
    for component_id, changes in zip(posted.component_ids, [["created", "changed", "deleted"], ["created"]], strict=True):
        [one] = lines(commands.on_stack("entities", "contact", component_id, "--json"))
        [same] = lines(commands.in_directory("entities", "contact", component_id, "--json"))
        assert comparable(one, posted.on_stack) == comparable(same, posted.in_directory)
        assert [event["entity"]["change"] for event in one["history"]] == changes


def test_events_are_those_of_a_data_directory(commands: Commands, posted: Posted) -> None:
    def events(output: bytes) -> list[dict[str, Any]]:
        return [event for event in lines(output) if event["delivery_id"] in posted.on_stack + posted.in_directory]

    for filters in (
        [],
        ["--outcome", "conflict"],
        ["--outcome", "quarantined"],
        ["--provider", "nurturecloud", "--outcome", "stored"],
        ["--type", "supplyChange", "--provider", "sterling"],
        ["--reason", "utf-8"],
    ):
        arguments = ("events", "--since", posted.since, "--limit", "1000", "--json", *filters)
        of_stack, of_directory = events(commands.on_stack(*arguments)), events(commands.in_directory(*arguments))
        assert of_stack, filters
        assert comparable(of_stack, posted.on_stack) == comparable(of_directory, posted.in_directory), filters


def test_an_event_is_shown_with_its_data_as_of_a_data_directory(commands: Commands, posted: Posted) -> None:
    for on_stack, in_directory in zip(posted.on_stack, posted.in_directory, strict=True):
        # A duplicate has no event of its own.
        if on_stack == posted.on_stack[1]:
            continue
        for arguments in (["--raw"], ["--json"]):
            of_stack = commands.on_stack("events", "show", f"{on_stack}.0", *arguments)
            of_directory = commands.in_directory("events", "show", f"{in_directory}.0", *arguments)
            if arguments == ["--raw"]:
                assert of_stack == of_directory
            else:
                assert comparable(lines(of_stack), posted.on_stack) == comparable(
                    lines(of_directory), posted.in_directory
                )


def test_the_latest_are_kept_and_a_range_is_respected(commands: Commands, posted: Posted) -> None:
    machnet = posted.on_stack[:4]

    def listed(*arguments: str) -> list[str]:
        output = commands.on_stack("deliveries", "--json", "--provider", "machnet", *arguments)
        return [record["delivery_id"] for record in lines(output)]

    assert listed("--limit", "2") == machnet[2:]
    assert listed("--since", posted.since) == machnet
    third = lines(commands.on_stack("deliveries", "show", machnet[2], "--json"))[0]["received_at"]
    assert listed("--since", third) == machnet[2:]


def test_what_is_not_there_is_not_found(stack: Stack) -> None:
    unknown = "01990000-0000-7000-8000-000000000000"
    process = operator_commands.run(stack, "deliveries", "show", unknown, "--stack", STACK_NAME)
    assert process.returncode == 1
    assert unknown in process.stderr


def test_events_are_listed_and_shown_as_of_a_data_directory(commands: Commands, posted: Posted) -> None:
    arguments = ("events", "--since", posted.since, "--limit", "1000", "--json")
    of_stack = [event for event in lines(commands.on_stack(*arguments)) if event["delivery_id"] in posted.on_stack]
    of_directory = lines(commands.in_directory(*arguments))

    # The documents of what is quarantined hold headers, which differ on the way.
    without = [[{**event, "document": None} for event in events] for events in (of_stack, of_directory)]
    assert comparable(without[0], posted.on_stack) == comparable(without[1], posted.in_directory)
    places = [[f"{event['delivery_id']}.{event['index']}" for event in events] for events in (of_stack, of_directory)]
    assert {event.get("outcome") for event in of_stack} == {"stored", "conflict", "quarantined"}
    for on_stack, in_directory, event in zip(*places, of_stack, strict=True):
        assert lines(commands.on_stack("events", "show", on_stack, "--json")) == [event]
        raw = commands.on_stack("events", "show", on_stack, "--raw")
        assert raw == commands.in_directory("events", "show", in_directory, "--raw")
        assert raw in posted.bodies[posted.on_stack.index(event["delivery_id"])]
        assert on_stack.encode() in commands.on_stack("events", "show", on_stack)


def test_an_event_is_found_by_its_own_id_and_the_search_says_how_far_it_looked(
    stack: Stack, commands: Commands, posted: Posted
) -> None:
    first, _, conflict, quarantined = posted.on_stack[:4]
    [stored] = lines(commands.on_stack("events", "show", first, "--json"))
    shown = commands.on_stack("events", "show", stored["id"], "--since", "1h", "--outcome", "conflict").decode()
    assert f"conflict: event {first}.0 came first" in shown
    assert f"webhook-intake deliveries show {conflict} --stack {STACK_NAME}" in shown
    listed = commands.on_stack("events", "--delivery", quarantined, "--reason", "utf-8").decode()
    assert f"{quarantined}.0" in listed

    both = operator_commands.run(stack, "events", "show", stored["id"], "--since", "1h", "--stack", STACK_NAME)
    assert both.returncode == 1
    assert f"{first}.0" in both.stdout and f"{conflict}.0" in both.stdout
    unknown = operator_commands.run(stack, "events", "show", "evt_none", "--provider", "machnet", "--stack", STACK_NAME)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("Looked back to 20") and "; --since looks further.\n" in unknown.stderr
    assert "Looked back to 20" in commands.on_stack("events", "--provider", "machnet", "--subject", "nobody").decode()
    assert "queue" not in commands.on_stack("events").decode()


def test_what_comes_is_printed_as_it_comes(stack: Stack, machnet_signer: MachnetSigner) -> None:
    since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sender = Sender(stack, "machnet", machnet_signer)
    events = [machnet_event(new_id(), new_id()) for _ in range(2)]
    first, _ = sender.deliver_batch(events[0], content_type="application/json")
    with operator_commands.started(stack, "deliveries", "tail", "--since", since, "--json", "--stack", STACK_NAME) as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["delivery_id"] == first.delivery_id
        second, _ = sender.deliver_batch(events[1], content_type="application/json")
        assert json.loads(tail.stdout.readline())["delivery_id"] == second.delivery_id
        tail.send_signal(signal.SIGINT)
        rest, errors = tail.communicate(timeout=30)
    assert (tail.returncode, rest, errors) == (0, "", "")
