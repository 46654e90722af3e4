"""The probe that a workflow runs against a stack in a real account."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from signers import MachnetSigner
from stack import template
from stack.emulator import CREDENTIALS, REGION
from stack.stack import SAM, STACK_NAME, Stack

PYTHON = SAM.with_name("python")


def probe(stack: Stack, name: str = STACK_NAME) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": stack.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        **CREDENTIALS,
    }
    where = ["--connect-to", stack.url.removeprefix("http://"), "--host", stack.host]
    return subprocess.run(
        [PYTHON, template.ROOT / "deploy" / "probe.py", "--stack", name, *where],
        env=environment,
        cwd=stack.folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@pytest.fixture
def new_secret(stack: Stack, machnet_signer: MachnetSigner) -> Iterator[None]:
    """Machnet's secret as a new stack has it."""
    stack.put_secret("MachnetSecretArn", {"keys": []})
    yield
    stack.put_keys("machnet", machnet_signer.key())
    # The function would use the key of the samples for some more seconds.
    stack.restart("machnet")


def test_the_probe_sees_a_signed_sample_accepted_and_recorded(stack: Stack, new_secret: None) -> None:
    done = probe(stack)

    assert done.returncode == 0, done.stdout + done.stderr
    accepted, tampered, recorded = done.stdout.splitlines()
    assert accepted.startswith("The signed sample: 200, delivery ")
    assert tampered == "The tampered sample: 409, signature-mismatch."
    event = json.loads(json.loads((template.ROOT / "events" / "machnet.json").read_text())["body"])["id"]
    assert recorded == f"The event {event} is in the table {stack.outputs['EventsTableName']}."
    [item] = stack.events(id=event)
    assert item["delivery_id"] == accepted.removeprefix("The signed sample: 200, delivery ").removesuffix(".")


def test_the_probe_leaves_a_stack_with_a_key_of_its_own_alone(stack: Stack, machnet_signer: MachnetSigner) -> None:
    # The keys of the samples are public.
    stack.put_keys("machnet", machnet_signer.key())
    done = probe(stack)

    assert done.returncode != 0
    assert "holds a key of its own, and the probe's is public: probe a throwaway stack." in done.stderr
    value = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["MachnetSecretArn"])["SecretString"]
    assert json.loads(value) == {"keys": [machnet_signer.key()]}


def test_the_probe_names_a_stack_that_is_not_there(stack: Stack) -> None:
    assert "There is no stack missing in us-east-1" in probe(stack, "missing").stderr
