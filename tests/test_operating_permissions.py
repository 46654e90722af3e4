"""Both policies of docs/operator-permissions.md: with them each operating command works, and with nothing less."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from confidential import SIGNING_SECRET, confidential
from notifications import agent, notification
from operator_policies import Done, Operator, Policy, permissions, without
from senders import Sender, new_id
from signers import MachnetSigner, machnet_event
from stack.stack import Stack


@pytest.fixture(scope="module")
def whole(policies: list[Policy]) -> Policy:
    """Both policies in one."""
    reading, operating = policies
    return reading | {"Statement": reading["Statement"] + operating["Statement"]}


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
