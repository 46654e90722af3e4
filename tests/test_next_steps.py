"""What `make next-steps` and the end of a deployment print.

After a change of a provider's page that is meant, `pytest tests/test_next_steps.py --record` writes the expected text again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import provider_pages
import pytest
from checkout import NEXT_STEPS, OTHER, OTHER_STACK, Checkout, client
from signers import AccreditSigner
from stack import template
from stack.stack import BINARIES

EXPECTED = template.ROOT / "tests" / "expected"


@pytest.fixture(scope="module", autouse=True)
def deployed(checkout: Checkout) -> None:
    # Unprotected, so that one update less is needed.
    checkout.run(f"{OTHER} PARAMETERS=DeletionProtection=false")


def masked(printed: str, outputs: dict[str, str]) -> str:
    """What a command printed for a stack, with the names of outputs in place of their values."""
    printed = printed[printed.index("The stack ") :]
    # The bus is called as the stack is.
    for name, value in sorted((outputs | {"EventBusName": "\0"}).items(), key=lambda each: -len(each[1])):
        printed = printed.replace(value, f"<{name}>")
    printed = re.sub(r"https://\w+\.execute-api\.us-east-1\.amazonaws\.com", "<the API>", printed)
    return re.sub(r"allows [\d,]+ concurrent", "allows <number> concurrent", printed)


def test_the_next_steps_name_what_each_provider_needs(checkout: Checkout, record: bool) -> None:
    printed = checkout.run(NEXT_STEPS)

    outputs = checkout.outputs(OTHER_STACK)
    for name in outputs:
        if name.endswith(("WebhookUrl", "TokenUrl")):
            assert outputs[name] in printed, name
    expected = EXPECTED / "next-steps.txt"
    if record:
        expected.write_text(masked(printed, outputs))
    assert masked(printed, outputs) == expected.read_text()


def test_the_printed_commands_write_the_secrets(checkout: Checkout, tmp_path: Path) -> None:
    """Those of `webhook-intake` are run as printed, with the binary in place of `cargo run` and files in place of `<FILE>`."""
    secrets = client(checkout.account, "secretsmanager")
    before = {name: value(secrets, arn) for name, arn in checkout.outputs(OTHER_STACK).items() if name.endswith("Arn")}
    printed = checkout.run(NEXT_STEPS).replace("\\\n", " ")
    commands = re.findall(r"^ +cargo run --features aws -- (.*)$", printed, re.MULTILINE)
    providers = [name.lower() for name in provider_pages.providers(template.original())]
    assert [command.split()[:3] for command in commands] == [["keys", "add", provider] for provider in providers]
    files = {
        "accredit": AccreditSigner().key()["public_key"],
        "nowcerts": "host=broker.example.com;virtualHost=/;username=agency;password=a-password-of-nowcerts",
    }
    for provider, command in zip(providers, commands, strict=True):
        file = tmp_path / provider
        file.write_text(files.get(provider, ""))
        words = command.replace("<FILE>", str(file)).replace("<QUEUE>", "events")
        done = checkout.start(f"{BINARIES / 'webhook-intake'} {words}")
        assert done.returncode == 0, done.stdout

    after = {name: value(secrets, arn) for name, arn in checkout.outputs(OTHER_STACK).items() if name.endswith("Arn")}
    written = {name for name in after if after[name] != before[name]}
    assert written == {name for name in after if name.endswith("SecretArn")} - {"NurtureCloudResyncSecretArn"}
    steps = checkout.run(NEXT_STEPS)
    for step in ["2. done: Add the Signature Key", "1. done: Make a secret", "2. done: Add the connection string"]:
        assert step in steps
    assert "1. done: Make the URL" in steps
    assert "1. done: Make a client" in steps
    # What the other commands would write is JSON.
    for text in re.findall(r"--secret-string '(.*)'$", printed, re.MULTILINE):
        assert json.loads(text)


def value(secrets: Any, arn: str) -> str:
    return secrets.get_secret_value(SecretId=arn)["SecretString"] if ":secret:" in arn else ""


def test_what_may_not_be_read_is_a_step_to_take(checkout: Checkout) -> None:
    secret = checkout.outputs(OTHER_STACK)["MachnetSecretArn"]
    value = {"keys": [{"account": "main", "secret": "a secret that must not be printed"}]}
    client(checkout.account, "secretsmanager").put_secret_value(SecretId=secret, SecretString=json.dumps(value))
    iam = client(checkout.account, "iam")
    iam.create_user(UserName="reader")
    allowed = {"Effect": "Allow", "Action": ["cloudformation:DescribeStacks", "sts:GetCallerIdentity"], "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    assert "1. done: Make a secret" in checkout.run(NEXT_STEPS)
    done = checkout.start(NEXT_STEPS, **credentials)
    assert done.returncode == 0, done.stdout
    assert "1. Make a secret, which is shown once" in done.stdout


def test_steps_that_were_taken_are_done_and_a_provider_turned_off_has_none(checkout: Checkout) -> None:
    secrets = client(checkout.account, "secretsmanager")
    before = checkout.outputs(OTHER_STACK)
    value = '{"keys":[{"account":"main","public_key":"a key that must not be printed"}]}'
    for output in ["AccreditSecretArn", "SterlingAuthoritySecretArn"]:
        secrets.put_secret_value(SecretId=before[output], SecretString=value)
    # The placeholder, written in another way.
    secrets.put_secret_value(SecretId=before["NurtureCloudSecretArn"], SecretString='{ "keys": [] }')
    printed = checkout.run(f'{OTHER} PARAMETERS="NowCertsScheduleState=ENABLED Sterling=disabled"')

    assert "must not be printed" not in printed
    steps = printed.split("What to do next:")[1]
    assert "2. done: Add the Signature Key" in steps
    assert "1. Make the URL" in steps
    assert "3. done: Enable the schedule." in steps
    assert "Sterling" not in steps

    # What is off keeps its data and the value of its secret.
    after = checkout.outputs(OTHER_STACK)
    assert {name for name in before.keys() - after.keys() if not name.startswith("Sterling")} == set()
    assert not any(name.startswith("Sterling") for name in after)
    assert secrets.get_secret_value(SecretId=before["SterlingAuthoritySecretArn"])["SecretString"] == value
    assert after["EventsTableName"] == before["EventsTableName"]
