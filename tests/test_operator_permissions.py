"""The policies of docs/operator-permissions.md: with them each command works, and with nothing less."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import operator_commands
import pytest
from confidential import SIGNING_SECRET, confidential
from notifications import agent, notification
from senders import Sender, new_id
from signers import MachnetSigner, machnet_event
from stack.emulator import REGION
from stack.stack import STACK_NAME, Stack
from stack.template import ROOT

PAGE = ROOT / "docs" / "operator-permissions.md"
USER, POLICY = "operator", "policy"

Policy = dict[str, Any]
Done = subprocess.CompletedProcess[bytes]


@dataclass
class Operator:
    """A user who may do what a policy says, and nothing else."""

    stack: Stack
    credentials: dict[str, str]

    def allow(self, policy: Policy) -> None:
        document = json.dumps(policy)
        # The emulator asks for a permission of this name, which AWS doesn't know.
        name = "sqs:ChangeMessageVisibility"
        document = document.replace(f'"{name}"', f'"{name}", "{name}Batch"')
        self.stack.client("iam").put_user_policy(UserName=USER, PolicyName=POLICY, PolicyDocument=document)

    def run(self, *arguments: str, **options: Any) -> Done:
        # Through the proxy, which stands for the TLS that the bucket asks for, and keeps every request. Those of `keys` hold
        # secrets, and those of `doctor` are thousands.
        through_proxy = arguments[0] not in {"keys", "doctor"}
        return operator_commands.run(
            self.stack,
            *arguments,
            *("--stack", STACK_NAME),
            credentials=self.credentials,
            endpoint=f"http://127.0.0.1:{self.stack.proxy.port}" if through_proxy else None,
            # `doctor` looks back for days, and the emulator is slow.
            **({"text": False, "timeout": 300} | options),
        )


@pytest.fixture(scope="module")
def operator(stack: Stack) -> Iterator[Operator]:
    iam = stack.client("iam")
    iam.create_user(UserName=USER)
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    yield Operator(stack, {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]})
    iam.delete_user_policy(UserName=USER, PolicyName=POLICY)
    iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=USER)


@pytest.fixture(scope="module")
def policies(stack: Stack) -> list[Policy]:
    """The policies of the page, for reading and for operating, with the names that the page says to put in."""
    names = {name_on_the_page(output): value for output, value in stack.outputs.items()}
    names |= {
        "REGION": REGION,
        "ACCOUNT": stack.client("sts").get_caller_identity()["Account"],
        "STACK": STACK_NAME,
        "QUEUE_NAME": stack.outputs["QueueUrl"].rpartition("/")[2],
        "DEAD_LETTER_QUEUE_NAME": stack.outputs["DeadLetterQueueUrl"].rpartition("/")[2],
        "UNPUBLISHED_QUEUE_NAME": stack.outputs["UnpublishedQueueUrl"].rpartition("/")[2],
    }
    text = "[" + ",".join(re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)) + "]"
    reading, operating = json.loads(re.sub(r"\b[A-Z]+(_[A-Z]+)*\b", lambda name: names.get(name[0], name[0]), text))
    assert not re.search(r"\b[A-Z]+_[A-Z_]+\b", json.dumps([reading, operating])), "a name that no output has"
    return [reading, operating]


def name_on_the_page(output: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", output).upper()


@pytest.fixture(scope="module")
def policy(policies: list[Policy]) -> Policy:
    """The policy for reading."""
    return policies[0]


@pytest.fixture(scope="module")
def whole(policies: list[Policy]) -> Policy:
    """Both policies in one."""
    reading, operating = policies
    return reading | {"Statement": reading["Statement"] + operating["Statement"]}


@pytest.fixture
def commands(machnet: Sender, nurturecloud: Sender) -> list[list[str]]:
    """Each reading command, so that each finds something."""
    merged, target = new_id(), new_id()
    for state, entity in [
        ("Created", agent(merged)),
        ("Created", agent(target)),
        ("Deleted", agent(merged, mergedInto=agent(target))),
    ]:
        nurturecloud.deliver(notification(state, entity, component="contact"))
    quarantined, outcome = machnet.deliver(b"{}")
    assert outcome == "quarantined"
    content = json.loads(machnet_event(new_id(), new_id()))
    sent, _ = machnet.deliver(json.dumps(content | {"filling": "x" * 30_000}).encode())
    return [
        ["deliveries", "--since", "1h"],
        ["deliveries", "show", sent.delivery_id],
        ["deliveries", "show", sent.delivery_id, "--raw"],
        ["events", "--since", "1h"],
        ["events", "show", f"{sent.delivery_id}.0"],
        ["events", "show", f"{sent.delivery_id}.0", "--raw"],
        ["entities", "--component", "contact"],
        ["entities", "contact", merged],
        ["quarantine", "list", "--since", "1h"],
        ["quarantine", "show", quarantined.delivery_id],
    ]


def permissions(policy: Policy) -> list[tuple[int, str]]:
    """Each action of each statement."""
    return [
        (number, action)
        for number, statement in enumerate(policy["Statement"])
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]


def without(policy: Policy, number: int, action: str) -> Policy:
    """The policy less one action of one statement."""
    policy = deepcopy(policy)
    statement = policy["Statement"][number]
    left = [] if isinstance(statement["Action"], str) else [each for each in statement["Action"] if each != action]
    if left:
        statement["Action"] = left
    else:
        del policy["Statement"][number]
    return policy


def test_each_reading_command_works_with_the_policy_of_the_page(
    operator: Operator, policy: Policy, commands: list[list[str]]
) -> None:
    operator.allow(policy)
    for command in commands:
        done = operator.run(*command)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout, command
    quarantined = commands[-1][-1]
    dry = operator.run("quarantine", "release", quarantined, "--anyway", "--dry-run")
    assert (dry.returncode, b"would be released" in dry.stdout) == (0, True), dry
    sent = commands[1][-1]
    for command in [["replay", "--since", "1h"], ["erase", "--event", sent]]:
        dry = operator.run(*command, "--dry-run", "--json")
        assert (dry.returncode, json.loads(dry.stdout)["dry_run"]) == (0, True), dry


def test_no_permission_of_the_page_is_superfluous_and_the_error_names_the_one_that_is_missing(
    operator: Operator, policy: Policy, commands: list[list[str]]
) -> None:
    for number, action in permissions(policy):
        operator.allow(without(policy, number, action))
        failed = [done for command in commands if (done := operator.run(*command)).returncode == 1]
        assert failed, f"nothing needs {action} of statement {number}"
        assert all(action.encode() in done.stderr for done in failed), (action, [done.stderr for done in failed])


def test_a_listing_of_a_day_asks_no_more_than_the_page_says(stack: Stack, operator: Operator, policy: Policy) -> None:
    operator.allow(policy)
    with stack.proxy.recording() as requests:
        assert operator.run("deliveries", "--since", "24h", "--limit", "1000000").returncode == 0
    # An hour in which much came is answered in pages; what the other tests sent is no part of what is counted here.
    first_pages = [
        request
        for request in requests
        if request.operation == "DynamoDB.Query" and "ExclusiveStartKey" not in json.loads(request.body)
    ]
    # 24 hours and the present one, and the next one if it is near, and the question which of them were widened; half a read unit
    # each.
    assert len(first_pages) in {25 * 20 + 1, 26 * 20 + 1}
    assert f"| `deliveries --since 24h` in which nothing came | {(25 * 20 + 1) / 2} |" in PAGE.read_text()


@pytest.fixture
def refused_id(stack: Stack, machnet: Sender) -> Iterator[str]:
    """A request that the stack has refused and kept."""
    iam, role, name = stack.client("iam"), stack.resources["MachnetRole"], "keep"
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{stack.outputs['BucketName']}/refused/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)
    forger = MachnetSigner(f'"{machnet.signer.secret}"')
    with stack.settings("machnet", KEEP_REFUSED="1"):
        yield machnet.send(machnet_event(new_id(), new_id()), signer=forger).delivery_id
    iam.delete_role_policy(RoleName=role, PolicyName=name)


@pytest.fixture
def dead_letter(stack: Stack, machnet: Sender) -> Callable[[], str]:
    """Puts a delivery that could be processed into the dead-letter queue, and returns its id."""

    def put() -> str:
        with stack.held_queue():
            sent = machnet.send(machnet_event(new_id(), new_id()))
            [document] = stack.take_messages(1)
        stack.client("sqs").send_message(QueueUrl=stack.outputs["DeadLetterQueueUrl"], MessageBody=document)
        return sent.delivery_id

    return put


@pytest.fixture
def quarantined(machnet: Sender) -> str:
    sent, outcome = machnet.deliver(b"{}")
    assert outcome == "quarantined"
    return sent.delivery_id


@pytest.fixture
def large_event(machnet: Sender) -> Callable[[], str]:
    """Delivers an event with an object in the bucket, and returns its place."""

    def deliver() -> str:
        content = json.loads(machnet_event(new_id(), new_id()))
        sent, outcome = machnet.deliver(json.dumps(content | {"filling": "x" * 30_000}).encode())
        assert outcome == "stored"
        return f"{sent.delivery_id}.0"

    return deliver


@pytest.fixture
def keys_as_before(stack: Stack, machnet: Sender) -> Iterator[None]:
    yield
    stack.put_keys("machnet", machnet.signer.key())
    stack.restart("machnet")


def event_id(stack: Stack, delivery_id: str) -> str:
    """The provider's id of a delivery's only event."""
    [event] = stack.events(delivery_id=delivery_id)
    return str(event["id"])


def generated(done: Done) -> str:
    """The fingerprint of the key that `keys add --generate --json` has made."""
    added = json.loads(done.stdout)
    confidential(added["secret"], SIGNING_SECRET)
    return added["key"]


def test_each_operating_command_works_with_both_policies_of_the_page(
    stack: Stack,
    operator: Operator,
    whole: Policy,
    refused_id: str,
    dead_letter: Callable[[], str],
    quarantined: str,
    large_event: Callable[[], str],
    nurturecloud: Sender,
    keys_as_before: None,
) -> None:
    operator.allow(whole)

    def done(*command: str, code: int = 0) -> Done:
        process = operator.run(*command)
        assert process.returncode == code, (command, process.stdout, process.stderr)
        denied = [line for line in (process.stdout + process.stderr).splitlines() if b"not authorized" in line]
        assert not denied, (command, denied)
        return process

    assert refused_id.encode() in done("refused").stdout
    done("refused", "show", refused_id)
    assert b"the secret in quotes" in done("explain", refused_id).stdout

    done("quarantine", "release", quarantined, "--anyway")
    stack.wait_for_record(quarantined, count=2)

    letters = [dead_letter(), dead_letter()]
    assert letters[0].encode() in done("dead-letters").stdout
    done("dead-letters", "show", letters[0])
    done("dead-letters", "redrive", letters[0], "--dry-run")
    done("dead-letters", "redrive", *letters)
    for letter in letters:
        stack.wait_for_record(letter)

    event, person = large_event(), new_id()
    nurturecloud.deliver(notification("Created", agent(person), component="contact"))
    again = done("replay", "--since", "1h", "--subject", "contact/" + person, "--json")
    assert json.loads(again.stdout)["sent"] == 1
    for target in [["--event", event], ["--entity", "contact", person], ["--before", "100d", "--since", "2401h"]]:
        erased = json.loads(done("erase", *target, "--yes", "--json").stdout)
        assert erased["events"] == (0 if "--before" in target else 1), erased

    new = generated(done("keys", "add", "machnet", "--generate", "--json"))
    assert new.encode() in done("keys", "list", "machnet", "--since", "1h").stdout
    done("keys", "check", "machnet")
    done("keys", "remove", "machnet", new)

    # What it finds is right; that nobody gets this stack's alarms is one of it.
    done("doctor", "--since", "1h", code=1)


def test_no_permission_to_operate_is_superfluous_and_what_is_missing_is_named(
    stack: Stack,
    operator: Operator,
    policies: list[Policy],
    refused_id: str,
    dead_letter: Callable[[], str],
    quarantined: str,
    large_event: Callable[[], str],
    keys_as_before: None,
) -> None:
    reading, operating = policies
    # The commands that need what each statement allows. What only `doctor` needs is taken away all at once: it says of each part what
    # it could not read, and takes long.
    commands = {
        "ListRefusedRequests": [["refused"]],
        "ReadRefusedRequests": [["refused"]],
        "ReadAndChangeKeys": [["keys", "check", "machnet"], ["keys", "add", "machnet", "--generate", "--json"]],
        "ReleaseAndRedrive": [["quarantine", "release", quarantined, "--anyway"]],
        "ReadReasons": [["dead-letters"]],
        "TakeDeadLetters": [["dead-letters"], ["dead-letters", "redrive", "{id}"], ["dead-letters", "redrive", "--all"]],
    }
    replayed = large_event().partition(".")[0]
    commands |= {
        "SendEventsAgain": [["replay", "--since", "1h", "--id", event_id(stack, replayed)]],
        "EraseEntries": [["erase", "--event", "{event}", "--yes"]],
        "EraseObjects": [["erase", "--event", "{event}", "--yes"]],
    }
    of_doctor = {"CheckTheSecretOfTheResync", "CountMessages", "CheckFunctions", "CheckEventSources", "FindEventSources"}
    of_doctor |= {"CheckAlarms", "CheckSubscribers", "CheckSchedules"}
    assert {*commands} | of_doctor == {statement["Sid"] for statement in operating["Statement"]}
    # The emulator has no `StartMessageMoveTask`, so nobody asks how far it is. To read one event source mapping, it asks for the
    # permission to list all.
    unreachable = {"sqs:ListMessageMoveTasks", "lambda:GetEventSourceMapping"}

    for number, action in permissions(operating):
        sid = operating["Statement"][number]["Sid"]
        if action in unreachable or sid in of_doctor:
            continue
        left = without(operating, number, action)
        operator.allow(reading | {"Statement": reading["Statement"] + left["Statement"]})
        outputs = []
        for command in commands[sid]:
            letter = dead_letter() if "dead-letters" in command else ""
            event = large_event() if "{event}" in command else ""
            done = operator.run(*({"{id}": letter, "{event}": event}.get(word, word) for word in command))
            outputs.append(done.stdout + done.stderr)
            # Without the reasons, the list is still there.
            assert sid != "ReadReasons" or (done.returncode == 0 and letter.encode() in done.stdout), done
        assert any(action.encode() in output for output in outputs), (action, outputs)

    kept = [statement for statement in operating["Statement"] if statement["Sid"] not in of_doctor]
    operator.allow(reading | {"Statement": reading["Statement"] + kept})
    found = operator.run("doctor", "--since", "1h").stdout.decode()
    actions = {action for number, action in permissions(operating) if operating["Statement"][number]["Sid"] in of_doctor}
    assert {action for action in actions - unreachable if action not in found} == set(), found
    assert "credentials of the resync: secretsmanager GetSecretValue failed" in found, found
