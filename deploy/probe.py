"""Proves that a throwaway stack works: sends the signed sample of events/machnet.json to its URL, then a copy that was tampered
with, and looks the event up in its table.

It puts the sample's key, which is public, into the stack's secret; so it refuses a stack whose secret holds another key.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from account import Account, outputs
from problem import Problem, run
from settings import Settings, template

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "events" / "machnet.json"
KEY = ROOT / "events" / "keys" / "machnet-secret.json"
# A function that had read its secret before may keep it for 15 seconds. A new API answers after some seconds.
PATIENCE_SECONDS = 90
PAUSE_SECONDS = 2

Found = TypeVar("Found")


@dataclass(frozen=True)
class Answer:
    status: int
    content: dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Where requests go: the webhook's URL, perhaps under another address, as with curl's --connect-to."""

    url: str
    connect_to: str | None

    def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        parts = urlsplit(self.url)
        connection: http.client.HTTPConnection
        if self.connect_to:
            connection = http.client.HTTPConnection(self.connect_to, timeout=30)
        else:
            connection = http.client.HTTPSConnection(parts.netloc, timeout=30)
        try:
            connection.request("POST", parts.path, body, {**headers, "Host": parts.netloc})
            response = connection.getresponse()
            content = response.read()
        except OSError as error:
            raise Problem(f"{self.url} cannot be reached: {error}") from None
        finally:
            connection.close()
        try:
            return Answer(response.status, json.loads(content))
        except ValueError:
            return Answer(response.status, {"text": content.decode(errors="replace")})


def probe(settings: Settings, account: Account, connect_to: str | None, host: str | None) -> None:
    stack = account.stack(settings.stack)
    if stack is None:
        raise Problem(f"There is no stack {settings.stack} in {account.region}: deploy it first.")
    found = outputs(stack)
    if "MachnetSecretArn" not in found:
        raise Problem(f"The stack {settings.stack} has Machnet disabled, whose sample the probe sends: enable it.")
    _put_key(account, found["MachnetSecretArn"])
    url = found["MachnetWebhookUrl"]
    if host:
        url = urlsplit(url)._replace(netloc=host).geturl()
    target = Target(url, connect_to)

    request = json.loads(SAMPLE.read_text())
    body = request["body"].encode()
    headers = {
        name: value for name, value in request["headers"].items() if name == "content-type" or name.startswith("x-raas-")
    }

    answer = _until(lambda: _accepted(target.post(body, headers)), "the signed sample is answered 200")
    delivery = answer.content["delivery_id"]
    print(f"The signed sample: 200, delivery {delivery}.", flush=True)

    tampered = target.post(body.replace(b"transaction_completed", b"transaction_cancelled"), headers)
    reason = str(tampered.content.get("type", "")).rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    if tampered.status == 200 or reason != "signature-mismatch":
        raise Problem(f"The tampered sample was answered {tampered.status} {tampered.content}, not signature-mismatch.")
    print(f"The tampered sample: {tampered.status}, {reason}.", flush=True)

    event = json.loads(body)["id"]
    _until(lambda: _recorded(account, found["EventsTableName"], event), "the event is in the table")
    print(f"The event {event} is in the table {found['EventsTableName']}.", flush=True)


def _put_key(account: Account, secret: str) -> None:
    client = account.client("secretsmanager")
    key = KEY.read_text()
    present = json.loads(client.get_secret_value(SecretId=secret)["SecretString"])
    placeholder = json.loads(template(ROOT)["Resources"]["MachnetSecret"]["Properties"]["SecretString"])
    if present not in (placeholder, json.loads(key)):
        raise Problem(f"{secret} holds a key of its own, and the probe's is public: probe a throwaway stack.")
    client.put_secret_value(SecretId=secret, SecretString=key)


def _accepted(answer: Answer) -> Answer | str:
    return answer if answer.status == 200 else f"{answer.status} {answer.content}"


def _recorded(account: Account, table: str, event: str) -> bool | str:
    pages = account.client("dynamodb").get_paginator("scan").paginate(
        TableName=table,
        ConsistentRead=True,
        FilterExpression="provider = :provider AND id = :id",
        ExpressionAttributeValues={":provider": {"S": "machnet"}, ":id": {"S": event}},
    )
    return any(page["Count"] for page in pages) or "it is not there"


def _until(attempt: Callable[[], Found | str], what: str) -> Found:
    """Repeats until the attempt yields something other than a text, which says what is still wrong."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = attempt()
        if not isinstance(found, str):
            return found
        if time.monotonic() > deadline:
            raise Problem(f"Waited {PATIENCE_SECONDS} seconds until {what}: {found}.")
        time.sleep(PAUSE_SECONDS)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stack", required=True)
    arguments.add_argument("--connect-to", metavar="HOST:PORT", help="send the requests there, over HTTP")
    arguments.add_argument("--host", help="host name to ask for in place of the URL's")
    options = arguments.parse_args()
    settings = Settings(ROOT, options.stack)
    probe(settings, Account(settings), options.connect_to, options.host)
    return 0


if __name__ == "__main__":
    run(main)
