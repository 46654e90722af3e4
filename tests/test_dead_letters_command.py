"""From a message that cannot be processed to its redrive, as an operator of the deployed stack does it."""

from __future__ import annotations

import json
import time
from typing import Any

from operator_commands import run
from senders import Sender, Sent, new_id
from signers import machnet_event
from stack.stack import STACK_NAME, Stack
from stack.wait import wait_until

ON_STACK = ["--stack", STACK_NAME]
Letter = dict[str, Any]


def dead_letters(stack: Stack) -> dict[str, Letter]:
    """The dead letters that the command lists, by delivery."""
    done = run(stack, "dead-letters", "list", "--limit", "1000", "--json", *ON_STACK)
    assert done.returncode == 0, done.stderr
    letters = [json.loads(line) for line in done.stdout.splitlines()]
    return {letter["delivery_id"]: letter for letter in letters}


def log_of_the_processor(stack: Stack) -> None:
    """Puts the failures where Lambda would: here the functions' output goes to files."""
    logs, group = stack.client("logs"), stack.resources["FunctionLogs"]
    stream = new_id()
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    lines = [json.dumps(line) for line in stack.lines("processor", "record failed")]
    events = [{"timestamp": now + number, "message": line} for number, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def poisoned(stack: Stack, machnet: Sender, count: int = 1) -> list[Sent]:
    """Deliveries that are dead letters, because the processor might not write to the table."""
    dead = stack.messages("DeadLetterQueueUrl")
    with stack.without_permission("ProcessorRole", ["dynamodb:PutItem", "dynamodb:GetItem"], "EventsTable"):
        sent = [machnet.send(machnet_event(new_id(), new_id())) for _ in range(count)]
        wait_until(lambda: stack.messages("DeadLetterQueueUrl") == dead + count, what="the dead letters", timeout=90)
    return sent


def test_a_dead_letter_is_explained_and_moved_back(stack: Stack, machnet: Sender, impatient_queue: int) -> None:
    [sent] = poisoned(stack, machnet)
    log_of_the_processor(stack)

    letter = dead_letters(stack)[sent.delivery_id]

    [line, *_] = [each for each in stack.lines("processor", "record failed") if each.get("delivery_id") == sent.delivery_id]
    assert letter["message_id"] == line["message_id"]
    assert letter["error"] == line["error"]
    assert "AccessDenied" in letter["error"]
    assert letter["provider"] == "machnet"
    assert letter["receive_count"] > impatient_queue
    shown = run(stack, "dead-letters", "show", sent.delivery_id, *ON_STACK)
    assert "this program can read the message and its body" in shown.stdout, shown.stderr
    assert "each receive counts" in shown.stderr

    dry = run(stack, "dead-letters", "redrive", sent.delivery_id, "--dry-run", *ON_STACK)
    assert dry.stdout.endswith("1 would be moved.\n"), dry.stderr
    assert sent.delivery_id in dead_letters(stack), "a dry run moves nothing"

    moved = run(stack, "dead-letters", "redrive", letter["message_id"], *ON_STACK)
    assert (moved.returncode, moved.stdout.splitlines()[-1]) == (0, "1 back on the queue; the processor takes them next.")
    assert machnet.outcome(sent.delivery_id) == "stored"
    assert sent.delivery_id not in dead_letters(stack)
    assert len(stack.events(delivery_id=sent.delivery_id)) == 1


def test_only_those_that_are_named_are_moved(stack: Stack, machnet: Sender, impatient_queue: int) -> None:
    first, second, third = poisoned(stack, machnet, count=3)

    moved = run(stack, "dead-letters", "redrive", first.delivery_id, third.delivery_id, new_id(), *ON_STACK)

    assert moved.returncode == 1, "one of them is not there"
    assert "No dead letter has the id" in moved.stdout
    assert {machnet.outcome(sent.delivery_id) for sent in (first, third)} == {"stored"}
    assert stack.records(second.delivery_id) == []
    assert list({first.delivery_id, second.delivery_id, third.delivery_id} & set(dead_letters(stack))) == [second.delivery_id]
    again = run(stack, "dead-letters", "redrive", second.delivery_id, "--rate", "5", *ON_STACK)
    assert again.returncode == 0, again.stderr
    assert machnet.outcome(second.delivery_id) == "stored"


def test_a_message_that_cannot_be_read_is_listed_too(stack: Stack, impatient_queue: int) -> None:
    dead = stack.messages("DeadLetterQueueUrl")
    stack.send_message("not a document")
    wait_until(lambda: stack.messages("DeadLetterQueueUrl") == dead + 1, what="the dead letter")
    log_of_the_processor(stack)

    letter = dead_letters(stack)[None]

    assert letter["error"].startswith("the message is not a queue message of ours")
    shown = run(stack, "dead-letters", "show", letter["message_id"], *ON_STACK)
    assert "delivery  unknown, the message does not name one" in shown.stdout
    assert run(stack, "dead-letters", "show", letter["message_id"], "--raw", *ON_STACK).stdout == "not a document"
    dry = run(stack, "dead-letters", "redrive", letter["message_id"], "--dry-run", *ON_STACK)
    assert "would fail again" in dry.stdout


def test_a_stack_that_does_not_exist_is_said(stack: Stack) -> None:
    done = run(stack, "dead-letters", "--stack", "nothing-of-that-name")
    assert done.returncode == 1
    assert "there is no stack nothing-of-that-name" in done.stderr
