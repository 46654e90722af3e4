"""The command that makes NurtureCloud's secret URLs, on the deployed stack's secret."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import urlsplit

import operator_commands
from confidential import PATH_SECRET, confidential
from notifications import agent, notification
from senders import Sender, new_id
from signers import PathSecret
from stack.stack import Stack

BASE_URL = "https://hooks.example.com"


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    secret = stack.outputs["NurtureCloudSecretArn"]
    return operator_commands.run(stack, "nurturecloud-url", "--secret", secret, *arguments)


def new_url(stack: Stack, *arguments: str) -> PathSecret:
    """The secret of a URL that the command made; it counts from the next cold start."""
    done = command(stack, "--base-url", BASE_URL, *arguments)
    assert done.returncode == 0, done.stderr
    url = urlsplit(done.stdout.strip())
    path_secret = PathSecret(secret=confidential(url.path.rpartition("/")[2], PATH_SECRET))
    assert done.stdout == f"{BASE_URL}{path_secret.path}\n"
    assert path_secret.secret not in done.stderr
    stack.restart("nurturecloud")
    return path_secret


def document(stack: Stack) -> str:
    secret = stack.outputs["NurtureCloudSecretArn"]
    return stack.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]


def test_a_url_that_the_command_makes_takes_deliveries_until_it_is_removed(
    stack: Stack, nurturecloud: Sender, other_path_secrets: None
) -> None:
    body = notification("Updated", agent(new_id()))
    stack.put_secret("NurtureCloudSecretArn", json.loads(initial_secret(stack)))

    old = new_url(stack)
    new = new_url(stack, "--account", "raywhite")

    sent = [nurturecloud.deliver(body, signer=each)[0] for each in [old, new]]
    assert [each.line["account"] for each in sent] == ["main", "raywhite"]
    assert json.loads(document(stack))["keys"] == [
        {"account": "main", "secret_sha256": old.key()["secret_sha256"]},
        {"account": "raywhite", "secret_sha256": new.key()["secret_sha256"]},
    ]
    listed = command(stack, "--list").stdout
    for each in sent:
        assert each.line["account"] in listed
        assert each.line["key_fingerprint"] in listed
    assert [each.secret in listed for each in [old, new]] == [False, False]

    removed = command(stack, "--remove", sent[0].line["key_fingerprint"])
    assert removed.returncode == 0, removed.stderr
    stack.restart("nurturecloud")
    assert [nurturecloud.send(body, signer=each).answer.status for each in [old, new]] == [401, 200]
    last = command(stack, "--remove", sent[1].line["key_fingerprint"])
    assert last.returncode != 0
    assert nurturecloud.send(body, signer=new).answer.status == 200


def test_no_ninth_url_is_made_and_what_cannot_be_understood_is_not_replaced(
    stack: Stack, other_path_secrets: None
) -> None:
    eight = {"keys": [PathSecret().key() for _ in range(8)]}
    for content in [eight, {"keys": "none of ours"}]:
        stack.put_secret("NurtureCloudSecretArn", content)

        done = command(stack, "--base-url", BASE_URL)

        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr
        assert json.loads(document(stack)) == content


def initial_secret(stack: Stack) -> str:
    return stack.template["Resources"]["NurtureCloudSecret"]["Properties"]["SecretString"]
