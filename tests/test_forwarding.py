"""`serve --forward-to`: each event reaches the consumer's own endpoint, signed, in order for each entity, whatever happens."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confidential import SIGNING_SECRET, confidential
from event_receiver import EventReceiver, Post
from local_server import LocalServer
from notifications import agent, notification
from senders import new_id
from signers import MachnetSigner, PathSecret, machnet_event
from stack.wait import wait_until

MACHNET = MachnetSigner(secrets.token_hex(32))
NURTURECLOUD = PathSecret()


class Forwarded:
    """A server, the receiver that it forwards to, and the providers before it."""

    def __init__(self, folder: Path) -> None:
        self.receiver = EventReceiver([])
        self.attempts: list[str] = []
        documents = {"machnet": {"keys": [MACHNET.key()]}, "nurturecloud": {"keys": [NURTURECLOUD.key()]}}
        self.server = LocalServer(folder, documents)
        self.server.close()
        self.receiver.secrets.append(self.add_secret())
        self.start()

    def add_secret(self) -> str:
        added = self.server.run("keys", "add", "forwarding")
        assert added.returncode == 0, added.stderr
        return confidential(added.stdout.decode().strip(), SIGNING_SECRET)

    def start(self) -> None:
        self.server.start(["--forward-to", self.receiver.url, *self.attempts])

    def restart(self) -> None:
        self.server.kill()
        self.start()

    def machnet(self, body: bytes | None = None) -> None:
        body = machnet_event(new_id(), new_id()) if body is None else body
        assert self.server.post("/webhooks/machnet", body, MACHNET.headers(body)).status == 200

    def nurturecloud(self, body: bytes) -> None:
        answer = self.server.post(NURTURECLOUD.path, body, NURTURECLOUD.headers(body))
        assert 200 <= answer.status < 300, answer

    def recorded(self) -> list[dict[str, Any]]:
        """The entries of events that a consumer receives."""
        listed = self.server.run("events", "--json", "--limit", "100000")
        assert listed.returncode == 0, listed.stderr
        entries = [json.loads(line) for line in listed.stdout.splitlines()]
        return [entry for entry in entries if entry["outcome"] in ("stored", "repeat", "conflict")]

    def dead_letters(self) -> list[dict[str, Any]]:
        listed = self.server.run("dead-letters", "--json")
        assert listed.returncode == 0, listed.stderr
        return [json.loads(line) for line in listed.stdout.splitlines()]

    def wait_for(self, number: int) -> list[Post]:
        """Waits until this number of different events was taken."""
        wait_until(lambda: len({post.key for post in self.receiver.taken()}) >= number, what=f"{number} events")
        return self.receiver.taken()


@pytest.fixture
def forwarded(tmp_path: Path) -> Iterator[Forwarded]:
    forwarded = Forwarded(tmp_path)
    yield forwarded
    forwarded.server.close()
    forwarded.receiver.stop()


def test_each_outcome_arrives_once_as_a_signed_cloudevent_and_duplicates_do_not(forwarded: Forwarded) -> None:
    first, resource = machnet_event("evt-1", "res-1"), "res-1"
    for body in [first, first, machnet_event("evt-2", resource), machnet_event("evt-1", new_id()), b"{"]:
        forwarded.machnet(body)

    posts = forwarded.wait_for(3)

    outcomes = {post.envelope["id"].partition("#")[0] + " " + post.envelope["outcome"] for post in posts}
    assert outcomes == {"evt-1 stored", "evt-2 repeat", "evt-1 conflict"}
    assert len(posts) == 3
    assert forwarded.receiver.unverified == 0
    for post in posts:
        assert post.headers["content-type"].startswith("application/cloudevents+json")
        assert post.envelope["specversion"] == "1.0"
        assert post.envelope["data"]["id"] == post.envelope["id"].partition("#")[0]
    assert len({post.headers["webhook-id"] for post in posts}) == 3
    checked = forwarded.server.run("doctor")
    assert b"forwarding" in checked.stdout, checked.stdout


def test_counts_agree_and_entities_stay_in_order_when_the_server_is_killed_again_and_again(forwarded: Forwarded) -> None:
    done = threading.Event()
    # A slow receiver, so that a kill meets posts that are under way.
    forwarded.receiver.rule = lambda envelope: time.sleep(0.02) or 204  # type: ignore[func-returns-value]

    def kill() -> None:
        while not done.wait(0.7):
            forwarded.restart()

    def send(action: Any, *arguments: Any) -> None:
        """As a provider does that gets no answer."""
        while True:
            try:
                return action(*arguments)
            except (OSError, AssertionError):
                time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for number in range(60):
            event_id = f"evt-{number // 2}"
            send(forwarded.machnet, machnet_event(event_id, f"res-{number // 4}", payload={"n": number % 2}))
            send(forwarded.nurturecloud, notification("Updated", agent(f"agent-{number % 3}", firstName=str(number))))
    finally:
        done.set()
        killer.join()

    wait_until(lambda: json.loads(health(forwarded))["queued"] == 0, what="an empty queue")
    recorded = forwarded.recorded()
    expected = Counter(entry["outcome"] for entry in recorded)
    posts = forwarded.wait_for(len(recorded))
    distinct = {post.key: post.envelope for post in posts}
    assert Counter(envelope["outcome"] for envelope in distinct.values()) == expected
    assert expected["stored"] and expected["repeat"] and expected["conflict"]
    of_entity: dict[str, list[int]] = {}
    for post in posts:
        if "entity" in post.envelope:
            versions = of_entity.setdefault(post.envelope["entity"], [])
            # The same event again is what at least once means.
            if versions[-1:] != [post.envelope["entityversion"]]:
                versions.append(post.envelope["entityversion"])
    assert len(of_entity) == 3
    for versions in of_entity.values():
        assert versions == sorted(versions)
    assert forwarded.dead_letters() == []
    print(f"stored/repeat/conflict {dict(expected)}, posts {len(posts)}, distinct {len(distinct)}")


def health(forwarded: Forwarded) -> bytes:
    import http.client

    connection = http.client.HTTPConnection(forwarded.server.address, timeout=10)
    connection.request("GET", "/health")
    return connection.getresponse().read()


def test_what_is_released_from_quarantine_arrives_once_and_in_the_order_of_its_entity(forwarded: Forwarded) -> None:
    def update(name: str) -> bytes:
        return notification("Updated", agent("agent-1", firstName=name))

    forwarded.nurturecloud(update("first"))
    forwarded.nurturecloud(b"{")
    forwarded.nurturecloud(update("third"))
    forwarded.wait_for(2)
    [waiting] = wait_until(lambda: quarantined(forwarded), what="a quarantined delivery")
    correct(forwarded, update("second"))

    released = forwarded.server.run("quarantine", "release", waiting)
    assert released.returncode == 0, released
    posts = forwarded.wait_for(3)
    forwarded.nurturecloud(update("fourth"))
    posts = forwarded.wait_for(4)

    assert len(posts) == 4, "each once"
    assert [post.envelope["data"]["firstName"] for post in posts] == ["first", "third", "second", "fourth"]
    assert [post.envelope["entityversion"] for post in posts] == [1, 2, 3, 4]
    assert [post.envelope["entitychange"] for post in posts][2] == "late", "a newer state was known when it was read"
    assert posts[2].envelope["deliveryid"] == waiting
    forwarded.restart()
    forwarded.nurturecloud(update("fifth"))
    assert len(forwarded.wait_for(5)) == 5


def quarantined(forwarded: Forwarded) -> list[str]:
    listed = forwarded.server.run("quarantine", "--json").stdout.splitlines()
    return [json.loads(line)["delivery_id"] for line in listed]


def correct(forwarded: Forwarded, body: bytes) -> None:
    """Puts a body that can be read in the place of the one in quarantine, as if this program had learnt to read that."""
    with closing(sqlite3.connect(forwarded.server.directory / "intake.sqlite")) as database, database:
        [(position, text)] = database.execute("SELECT position, entry FROM ledger WHERE outcome = 'quarantined'").fetchall()
        entry = json.loads(text)
        document = json.loads(entry["document"])
        assert document["body"]["text"] == "{", document
        document["body"]["text"] = body.decode()
        document["sha256"] = hashlib.sha256(body).hexdigest()
        entry["document"] = json.dumps(document)
        database.execute("UPDATE ledger SET entry = ? WHERE position = ?", (json.dumps(entry), position))


def test_a_receiver_that_was_away_gets_what_it_missed_soon_after_it_is_back(forwarded: Forwarded) -> None:
    forwarded.receiver.stop()
    for _ in range(5):
        forwarded.machnet()
    wait_until(lambda: [line for line in forwarded.server.log() if line.get("attempts") == 1], what="a failed attempt")
    forwarded.receiver.start()

    forwarded.wait_for(5)

    failed = [line for line in forwarded.server.log() if line["message"] == "event not forwarded yet"]
    assert failed and all(line["error"] == "nobody answers there" for line in failed)


def test_what_the_receiver_refuses_is_a_dead_letter_at_once_and_can_be_put_back(forwarded: Forwarded) -> None:
    forwarded.receiver.rule = lambda envelope: {"evt-400": 400, "evt-410": 410}.get(envelope["id"], 204)
    for event_id in ["evt-400", "evt-410", "evt-200"]:
        forwarded.machnet(machnet_event(event_id, new_id()))

    letters = wait_until(lambda: forwarded.dead_letters() if len(forwarded.dead_letters()) == 2 else None)

    assert {letter["error"] for letter in letters} == {"answered 400", "answered 410"}
    assert {(letter["kind"], letter["attempts"]) for letter in letters} == {("event", 1)}
    shown = forwarded.server.run("dead-letters").stdout.decode()
    assert "not forwarded, given up after one attempt" in shown, shown
    assert b"2 were given up" in forwarded.server.run("doctor").stdout

    forwarded.receiver.rule = lambda envelope: 204
    redriven = forwarded.server.run("dead-letters", "redrive", letters[0]["event"])
    assert redriven.returncode == 0 and b"1 event to be forwarded again" in redriven.stdout, redriven
    assert forwarded.server.run("dead-letters", "redrive", "--all").returncode == 0
    forwarded.wait_for(3)
    assert forwarded.dead_letters() == []


def test_an_event_is_given_up_after_its_attempts_also_across_restarts(forwarded: Forwarded) -> None:
    forwarded.server.close()
    forwarded.attempts = ["--forward-attempts", "2"]
    forwarded.start()
    forwarded.receiver.rule = lambda envelope: 500
    forwarded.machnet(machnet_event("evt-1", new_id()))
    wait_until(lambda: forwarded.receiver.posts, what="the first attempt")
    wait_until(lambda: [line for line in forwarded.server.log() if line.get("attempts") == 1], what="its line")
    forwarded.restart()

    [letter] = wait_until(forwarded.dead_letters, what="a dead letter")

    assert (letter["attempts"], letter["error"]) == (2, "answered 500")
    assert [post.status for post in forwarded.receiver.posts] == [500, 500]
    assert len({post.headers["webhook-id"] for post in forwarded.receiver.posts}) == 1


def test_a_receiver_that_asks_for_a_pause_gets_it(forwarded: Forwarded) -> None:
    answers = iter([(503, 8)])
    forwarded.receiver.rule = lambda envelope: next(answers, 204)
    forwarded.machnet()

    forwarded.wait_for(1)

    first, second = forwarded.receiver.posts
    assert second.at - first.at >= 8


def test_a_secret_is_replaced_without_a_moment_in_which_nothing_verifies(forwarded: Forwarded) -> None:
    [old] = forwarded.receiver.secrets
    forwarded.machnet()
    forwarded.wait_for(1)
    new = forwarded.add_secret()

    # Both sign, so the receiver may change at its own time.
    forwarded.machnet()
    forwarded.wait_for(2)
    forwarded.receiver.secrets = [new]
    forwarded.machnet()
    posts = forwarded.wait_for(3)
    assert [len(post.headers["webhook-signature"].split()) for post in posts] == [1, 2, 2]

    listed = [json.loads(line) for line in forwarded.server.run("keys", "list", "forwarding", "--json").stdout.splitlines()]
    removed = forwarded.server.run("keys", "remove", "forwarding", listed[0]["key"])
    assert removed.returncode == 0, removed.stderr
    forwarded.machnet()
    posts = forwarded.wait_for(4)
    assert len(posts[-1].headers["webhook-signature"].split()) == 1
    assert forwarded.receiver.unverified == 0
    assert forwarded.server.run("keys", "remove", "forwarding", listed[1]["key"]).returncode == 1
    assert old != new


def test_nothing_starts_without_a_secret_or_towards_the_open(tmp_path: Path) -> None:
    server = LocalServer(tmp_path, {})
    server.close()
    refused = server.run("serve", "--listen", "127.0.0.1:0", "--forward-to", "http://127.0.0.1:9/")
    assert refused.returncode == 1 and b"keys add forwarding" in refused.stderr, refused
    refused = server.run("serve", "--forward-to", "http://app.example.com/")
    assert refused.returncode == 2 and b"write https instead" in refused.stderr, refused


def test_events_followed_as_json_are_the_same_envelopes(forwarded: Forwarded) -> None:
    forwarded.machnet(machnet_event("evt-1", new_id()))
    forwarded.machnet(b"{")
    [post] = forwarded.wait_for(1)
    import subprocess

    from stack.stack import BINARIES

    follow = subprocess.Popen(
        [BINARIES / "webhook-intake", "events", "--follow", "--since", "1h", "--json", "--data-directory", forwarded.server.directory],
        stdout=subprocess.PIPE,
    )
    try:
        assert follow.stdout
        assert follow.stdout.readline().rstrip(b"\n") == post.body
    finally:
        follow.kill()
        follow.wait()
