"""`send --wait --stack`: a delivery to the deployed stack, and what became of it there."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import operator_commands
import pytest
from authority import Authority, put_authority, sterling_batch, sterling_delivery, sterling_event
from gateway import gateway
from senders import Sender, new_id
from signers import MachnetSigner, machnet_event
from stack.stack import BINARIES, STACK_NAME, Stack

RECORDED = re.compile(r"recorded after \d+ ms: (.*)")


@pytest.fixture
def api(stack: Stack) -> Iterator[str]:
    with gateway(stack) as url:
        yield url


def send(stack: Stack, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return operator_commands.run(stack, "send", *map(str, arguments), "--wait", "--stack", STACK_NAME)


def test_what_became_of_a_signed_delivery_is_said(
    stack: Stack, api: str, machnet: Sender, machnet_signer: MachnetSigner, tmp_path: Path
) -> None:
    key, body = tmp_path / "machnet.json", tmp_path / "body"
    key.write_text(json.dumps({"keys": [machnet_signer.key()]}))

    def sent(content: bytes) -> tuple[int, list[str]]:
        body.write_bytes(content)
        done = send(stack, "machnet", "--url", api, "--key", key, "--body", body)
        assert not done.stderr, done.stderr
        lines = done.stdout.splitlines()
        assert lines[:2] == [f"{api}/webhooks/machnet", "200 accepted"]
        recorded = RECORDED.fullmatch(lines[3])
        assert recorded, lines
        return done.returncode, [recorded[1], *lines[4:]]

    event = machnet_event(new_id(), new_id())
    assert sent(event) == (0, ["stored"])
    code, [outcome, first] = sent(event)
    assert (code, outcome) == (0, "duplicate")
    assert re.fullmatch(r"  event 0: duplicate, first in delivery [0-9a-f-]{36}", first), first
    assert sent(b"{}") == (1, ["quarantined", '  event 0: quarantined: the member "id" is missing'])


def test_what_became_of_a_batch_with_a_token_is_said(
    stack: Stack, api: str, sterling: Sender, authority: Authority, tmp_path: Path
) -> None:
    put_authority(stack, authority)
    secret, body = tmp_path / "secret", tmp_path / "body"
    secret.write_text(authority.client.client_secret)
    body.write_bytes(sterling_delivery(sterling_batch(sterling_event(new_id()), sterling_event(new_id()), {"attributes": []})))

    credentials = ["--client-id", authority.client.client_id, "--client-secret-file", secret]
    done = send(stack, "sterling", "--url", api, *credentials, "--body", body)

    assert (done.returncode, done.stderr) == (1, "")
    token_url, token, url, verdict, _, *outcome = done.stdout.splitlines()
    assert (token_url, token) == (f"{api}/oauth/token", "200 a token, valid for 7200 s")
    assert (url, verdict) == (f"{api}/webhooks/sterling", "200 accepted")
    recorded = RECORDED.fullmatch(outcome[0])
    assert recorded and recorded[1] == "stored ×2, quarantined", outcome
    assert outcome[1:] == ['  event 2: quarantined: the member "code" is missing']


def test_a_delivery_that_is_not_recorded_in_time_is_said(
    stack: Stack, api: str, machnet: Sender, machnet_signer: MachnetSigner, tmp_path: Path
) -> None:
    key = tmp_path / "machnet.json"
    key.write_text(json.dumps({"keys": [machnet_signer.key()]}))
    arguments = ["send", "machnet", "--url", api, "--key", str(key), "--wait=1s", "--stack", STACK_NAME]
    with stack.held_queue():
        done = operator_commands.run(stack, *arguments)
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[3].startswith("not recorded within 1000 ms: look at the stack's queue"), done.stdout


def test_without_a_url_the_stacks_own_is_called(stack: Stack, machnet_signer: MachnetSigner, tmp_path: Path) -> None:
    key = tmp_path / "machnet.json"
    key.write_text(json.dumps({"keys": [machnet_signer.key()]}))
    # The emulator does not listen there, so all that can be seen is where the program wanted to go.
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        environment = operator_commands.environment(stack) | {"https_proxy": f"http://127.0.0.1:{proxy.getsockname()[1]}"}
        program = subprocess.Popen(
            [BINARIES / "webhook-intake", "send", "machnet", "--key", key, "--stack", STACK_NAME],
            env=environment,
            cwd=stack.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        proxy.settimeout(60)
        connection, _ = proxy.accept()
        with connection:
            asked = connection.recv(4096).decode()
        output, errors = program.communicate(timeout=60)
    host = stack.outputs["MachnetWebhookUrl"].split("/")[2]
    assert asked.startswith(f"CONNECT {host}:443 "), asked
    assert (program.returncode, output) == (1, ""), output
    assert stack.outputs["MachnetWebhookUrl"] in errors, errors
