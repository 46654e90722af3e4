"""The commands that keep Sterling's clients and signing keys, on the deployed stack's two secrets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import operator_commands
import pytest
from authority import Authority, Client, put_authority, sterling_batch, sterling_delivery, sterling_event
from oauth_client import OAuthClient, token_request
from senders import Sender, new_id
from stack.stack import Stack

SECRETS = ["SterlingAuthoritySecret", "SterlingVerificationSecret"]


class Commands:
    """The commands on the stack's two secrets."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.secrets = [stack.outputs[f"{secret}Arn"] for secret in SECRETS]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        authority, verification = self.secrets
        places = ("--authority-secret", authority, "--verification-secret", verification)
        return operator_commands.run(self.stack, *arguments, *places)

    def must(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def add_client(self, client_id: str, *options: str) -> Client:
        [line] = [
            line for line in self.must("client", "add", client_id, *options).splitlines() if "client secret " in line
        ]
        return Client(client_id, line.split()[-1])

    def document(self, secret: str) -> Any:
        value = self.stack.client("secretsmanager").get_secret_value(SecretId=self.stack.outputs[f"{secret}Arn"])
        return json.loads(value["SecretString"])


@pytest.fixture
def commands(stack: Stack, authority: Authority) -> Iterator[Commands]:
    """On secrets as a new stack has them; afterwards they are those of the other tests again."""
    for secret in SECRETS:
        stack.put_secret(
            f"{secret}Arn", json.loads(stack.template["Resources"][secret]["Properties"]["SecretString"])
        )
    yield Commands(stack)
    put_authority(stack, authority)
    restart(stack)


def restart(stack: Stack) -> None:
    stack.restart("sterling")
    stack.restart("sterling-token")


def test_a_client_that_the_command_makes_gets_a_token_and_delivers(
    stack: Stack, sterling: Sender, commands: Commands
) -> None:
    names = ["--issuer", stack.outputs["SterlingTokenUrl"], "--audience", stack.outputs["SterlingWebhookUrl"]]
    item_id = new_id()

    added = commands.add_client("tenant-1", *names)
    restart(stack)
    client = OAuthClient(stack, added)
    token = client.fetch_token()
    answer = client.post(sterling_delivery(sterling_batch(sterling_event(item_id))))

    assert token["expires_in"] == 7200
    assert answer.status_code == 200
    assert sterling.outcome(answer.json()["delivery_id"]) == "stored"
    [item] = stack.events(subject=item_id)
    assert item["source"] == "/webhooks/sterling/tenant-1"
    assert added.client_secret not in json.dumps([commands.document(secret) for secret in SECRETS])


def test_a_client_secret_is_rotated_and_a_removed_client_gets_no_token(stack: Stack, commands: Commands) -> None:
    old = commands.add_client("tenant-1", "--issuer", "https://i.example", "--audience", "https://a.example")

    new = commands.add_client("tenant-1")
    commands.add_client("tenant-2")
    restart(stack)
    both = [token_request(stack, each).status for each in [old, new]]
    commands.must("client", "keep-newest", "tenant-1")
    restart(stack)
    newest = [token_request(stack, each).status for each in [old, new]]
    commands.must("client", "remove", "tenant-1")
    restart(stack)
    none = [token_request(stack, each).status for each in [old, new]]

    assert (both, newest, none) == ([200, 200], [401, 200], [401, 401])
    assert commands.document("SterlingVerificationSecret")["clients"] == [{"client_id": "tenant-2", "account": "tenant-2"}]


def test_a_new_key_verifies_at_once_and_does_not_sign_too_early(stack: Stack, commands: Commands) -> None:
    commands.add_client("tenant-1", "--issuer", "https://i.example", "--audience", "https://a.example")
    [first] = commands.document("SterlingVerificationSecret")["keys"]

    commands.must("signing-key", "add")
    too_early = [commands.run("signing-key", step) for step in ["activate", "retire"]]

    assert commands.document("SterlingVerificationSecret")["keys"][0] == first
    assert len(commands.document("SterlingVerificationSecret")["keys"]) == 2
    assert all(done.returncode != 0 for done in too_early)
    assert "may not be known everywhere before" in too_early[0].stderr
    authority = commands.document("SterlingAuthoritySecret")
    assert ["activated_at" in key for key in authority["keys"]] == [True, False]
    assert first["kid"] == authority["keys"][0]["kid"]
