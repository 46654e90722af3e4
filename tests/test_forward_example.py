"""The example that receives forwarded events, with requests that the Standard Webhooks project's own library signs."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from confidential import confidential
from envelopes import EXAMPLES, Envelope, envelope
from local_server import LocalServer
from notifications import agent, notification
from senders import new_id
from signers import MachnetSigner, PathSecret, machnet_event
from stack.template import ROOT
from stack.wait import wait_until
from standardwebhooks import Webhook


class Receiver:
    """The example as a process of its own, and what its database holds."""

    def __init__(self, folder: Path) -> None:
        self.secret = confidential("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(), "secret of the receiver")
        self.file = folder / "events.sqlite3"
        self._log = (folder / "receiver.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, ROOT / "examples" / "forward" / "receiver.py", "127.0.0.1:0", self.file],
            env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": self.secret},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout
        self.url = f"http://{self._process.stdout.readline().removeprefix('listening on ').strip()}/"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def post(self, written: Envelope | bytes, at: datetime | None = None, **headers: str) -> int:
        """Posts an envelope as `serve --forward-to` does; returns the status of the answer."""
        body = written if isinstance(written, bytes) else json.dumps(written, ensure_ascii=False).encode()
        message_id, at = f"msg_{uuid.uuid4().hex}", at or datetime.now(tz=UTC)
        signed = {
            "content-type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(message_id, at, body.decode()),
        }
        return requests.post(self.url, body, headers=signed | headers, timeout=10).status_code

    def query(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.file)) as database, database:
            return database.execute(statement).fetchall()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path_factory.mktemp("receiver"))
    yield receiver
    receiver.close()


@pytest.fixture(autouse=True)
def nothing_received_yet(receiver: Receiver) -> None:
    for table in ["handled", "totals", "conflicts", "entities"]:
        receiver.query(f"DELETE FROM {table}")


def test_each_event_is_handled_once_though_it_is_posted_twice(receiver: Receiver) -> None:
    # On one machine all data are in the envelope.
    envelopes = [envelope(name) for name in EXAMPLES if name != "nowcerts-large"]
    for written in envelopes + envelopes[::-1]:
        assert receiver.post(written) == 204

    new = [written for written in envelopes if written["outcome"] == "stored" and "entity" not in written]
    assert set(receiver.query("SELECT source, id FROM handled")) == {(written["source"], written["id"]) for written in new}
    assert receiver.query("SELECT sum(events) FROM totals") == [(len(new),)]
    conflicts = {(written["id"], written["conflictwith"]) for written in envelopes if "conflictwith" in written}
    assert conflicts and set(receiver.query("SELECT id, conflictwith FROM conflicts")) == conflicts
    merged = envelope("nurturecloud-merged")
    state = (merged["entity"], 6, "merged", None, merged["mergedinto"])
    assert receiver.query("SELECT entity, version, change, content, mergedinto FROM entities") == [state]


def test_an_entity_keeps_its_newest_content(receiver: Receiver) -> None:
    for name in ["changed", "late", "created"]:
        assert receiver.post(envelope(f"nurturecloud-{name}")) == 204
    [(version, content)] = receiver.query("SELECT version, content FROM entities")
    assert (version, json.loads(content)) == (2, envelope("nurturecloud-changed")["data"])


def test_a_request_that_is_not_signed_with_the_secret_is_answered_401_and_changes_nothing(receiver: Receiver) -> None:
    written = envelope("machnet-stored")
    now = datetime.now(tz=UTC)
    other = Webhook(base64.b64encode(b"another secret of the receiver!!").decode())
    assert receiver.post(written, **{"webhook-signature": other.sign("msg_1", now, json.dumps(written))}) == 401
    for signature in ["", "v1", "v1,???", "v1,AAAA v1,"]:
        assert receiver.post(written, **{"webhook-signature": signature}) == 401, signature
    for at in [now - timedelta(hours=1), now + timedelta(hours=1)]:
        assert receiver.post(written, at) == 401
    assert receiver.query("SELECT * FROM handled") == receiver.query("SELECT * FROM totals") == []


def test_one_of_several_signatures_is_enough_while_a_secret_is_replaced(receiver: Receiver) -> None:
    written, now = envelope("machnet-stored"), datetime.now(tz=UTC)
    text = json.dumps(written)
    other = Webhook(base64.b64encode(b"the secret that comes afterwards").decode())
    both = f"{other.sign('msg_1', now, text)} {Webhook(receiver.secret).sign('msg_1', now, text)}"
    assert receiver.post(text.encode(), now, **{"webhook-id": "msg_1", "webhook-signature": both}) == 204


def test_an_event_whose_work_fails_is_not_marked_and_its_work_is_done_when_it_comes_again(receiver: Receiver) -> None:
    written = envelope("machnet-stored")
    receiver.query("ALTER TABLE totals RENAME TO away")
    assert receiver.post(written) == 500
    assert receiver.query("SELECT * FROM handled") == []

    receiver.query("ALTER TABLE away RENAME TO totals")
    assert [receiver.post(written), receiver.post(written)] == [204, 204]
    assert receiver.query("SELECT events FROM totals") == [(1,)]


def test_an_outcome_that_the_example_does_not_know_is_not_taken(receiver: Receiver) -> None:
    assert receiver.post(envelope("machnet-stored") | {"outcome": "odd"}) == 500


def test_what_the_server_records_reaches_the_example_signed(
    tmp_path: Path, receiver: Receiver, machnet_signer: MachnetSigner, path_secret: PathSecret
) -> None:
    documents = {
        "machnet": {"keys": [machnet_signer.key()]},
        "nurturecloud": {"keys": [path_secret.key()]},
        "forwarding": {"keys": [{"secret": receiver.secret}]},
    }
    server = LocalServer(tmp_path, documents, ["--forward-to", receiver.url])
    try:
        body, change = machnet_event(new_id(), new_id()), notification("Created", agent(new_id()))
        for _ in range(2):
            assert server.post("/webhooks/machnet", body, machnet_signer.headers(body)).status == 200
        assert server.post(path_secret.path, change, path_secret.headers(change)).status == 200
        wait_until(lambda: receiver.query("SELECT 1 FROM totals") and receiver.query("SELECT 1 FROM entities"), what="events")
    finally:
        server.close()
    totals = receiver.query("SELECT source, type, events FROM totals")
    assert totals == [("/webhooks/machnet/main", "machnet.transaction_processed", 1)]
    assert receiver.query("SELECT version, change FROM entities") == [(1, "created")]
