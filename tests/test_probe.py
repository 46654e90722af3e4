"""The probe that a workflow runs against a stack in a real account."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from senders import outcomes
from signers import MachnetSigner
from stack import template
from stack.emulator import CREDENTIALS, REGION
from stack.stack import SAM, STACK_NAME, Stack
from stack.wait import wait_until

PYTHON = SAM.with_name("python")
SAMPLE_EVENT = json.loads(json.loads((template.ROOT / "events" / "machnet.json").read_text())["body"])["id"]


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
    accepted_id = accepted_by_the_probe(stack)

    [item] = stack.events(id=SAMPLE_EVENT)
    # Another test may have brought the event before, or an earlier try that was queued although its answer said otherwise; see below.
    expected = "stored" if item["delivery_id"] == accepted_id else "duplicate"
    assert outcomes(stack.wait_for_record(accepted_id)[-1]) == [expected]


def test_the_probe_goes_on_when_a_first_try_is_queued_and_its_answer_is_due_before_that(stack: Stack, new_secret: None) -> None:
    late = stack.proxy.fault("AmazonSQS.SendMessage", "late-answer", times=1)
    with stack.settings("machnet", DEADLINE_MILLISECONDS="800"), late:
        accepted_id = accepted_by_the_probe(stack)

    wait_until(
        lambda: "deadline-exceeded" in [line.get("reason") for line in stack.deliveries("machnet")],
        what="the line of the first try",
    )
    assert outcomes(stack.wait_for_record(accepted_id)[-1]) == ["duplicate"]


def accepted_by_the_probe(stack: Stack) -> str:
    """Runs the probe, checks what it prints, and returns the id of the delivery that was accepted."""
    done = probe(stack)
    assert done.returncode == 0, done.stdout + done.stderr
    accepted, tampered, recorded = done.stdout.splitlines()
    assert accepted.startswith("The signed sample: 200, delivery ")
    assert tampered == "The tampered sample: 409, signature-mismatch."
    assert recorded == f"The event {SAMPLE_EVENT} is in the table {stack.outputs['EventsTableName']}."
    return accepted.removeprefix("The signed sample: 200, delivery ").removesuffix(".")


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
