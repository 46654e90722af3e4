"""`doctor` on the deployed stack: healthy, and with each part broken in turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import operator_commands
import pytest
from nowcerts import NowCerts
from senders import Sender
from stack.stack import STACK_NAME, Stack
from stack.wait import wait_until

Checks = dict[str, dict[str, Any]]


def doctor(stack: Stack, since: str = "2h") -> tuple[int, Checks]:
    done = operator_commands.run(stack, "doctor", "--since", since, "--stack", STACK_NAME, "--json")
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {check["subject"]: check for check in checks}


@pytest.fixture
def subscribed(stack: Stack) -> Iterator[None]:
    """Somebody gets the alarms."""
    sns, sqs = stack.client("sns"), stack.client("sqs")
    queue = sqs.create_queue(QueueName="told-of-alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = stack.resources["AlarmTopic"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
    yield
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    sqs.delete_queue(QueueUrl=queue)


@pytest.fixture
def drained(stack: Stack) -> Iterator[None]:
    """The schedules are on, the resync has credentials, and other tests' dead letters and unpublished events are gone."""
    for queue in ("DeadLetterQueueUrl", "UnpublishedQueueUrl"):
        stack.client("sqs").purge_queue(QueueUrl=stack.outputs[queue])
    scheduler = stack.client("scheduler")
    name = next(value for key, value in stack.resources.items() if key == "NowCertsFunctionSchedule")
    found = scheduler.get_schedule(Name=name)
    members = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    schedule = {member: found[member] for member in members}
    stack.put_secret("NurtureCloudResyncSecretArn", {"client_id": "us", "client_secret": "nobody else knows"})
    scheduler.update_schedule(**schedule, State="ENABLED")
    yield
    scheduler.update_schedule(**schedule, State="DISABLED")
    stack.put_secret("NurtureCloudResyncSecretArn", {"client_id": "", "client_secret": ""})


def wrong(checks: Checks) -> dict[str, str]:
    return {
        subject: check["finding"]
        for subject, check in checks.items()
        if check["verdict"] not in ("well", "notice")
    }


def test_a_stack_with_keys_and_a_subscriber_is_well(
    stack: Stack, subscribed: None, drained: None, machnet: Sender, accredit: Sender, sterling: Sender, nurturecloud: Sender, nowcerts: NowCerts
) -> None:
    def with_settled_functions() -> tuple[int, Checks] | None:
        # A function whose settings another test has just changed has a notice of its own for a moment.
        found = doctor(stack)
        return found if "functions" in found[1] else None

    code, checks = wait_until(with_settled_functions, what="the end of changes to functions")
    broken = wrong(checks)
    assert (code, broken) == (0, {}), json.dumps(broken, indent=1)
    assert checks["clock"]["verdict"] == "well"
    assert checks["version of the stack"]["finding"].endswith(", as this program")
    # The emulated stack has no aliases.
    assert checks["functions"]["finding"].startswith("all ")
    for mapping in ("ProcessorFunctionDeliveries", "PublisherFunctionNewEvents"):
        assert checks[f"event source mapping {mapping}"]["finding"].startswith("enabled")
    assert checks["broker of nowcerts"]["finding"] == "it can be reached and accepts our login"
    assert checks["subscribers of the alarms"]["finding"] == "one gets the alarms"


def test_what_is_broken_is_named_with_what_to_do(stack: Stack, machnet: Sender, nowcerts: NowCerts) -> None:
    stack.put_secret("MachnetSecretArn", {"keys": [{"account": "main", "secret": "hunter2"}]})
    alarm = stack.resources["DeadLetterQueueAlarm"]
    cloudwatch = stack.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    nowcerts.account(port=1)
    unpublished = stack.outputs["UnpublishedQueueUrl"]
    stack.client("sqs").send_message(QueueUrl=unpublished, MessageBody="{}")
    try:
        code, checks = doctor(stack)
    finally:
        stack.put_keys("machnet", machnet.signer.key())
        stack.restart("machnet")
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="a test")
        stack.client("sqs").purge_queue(QueueUrl=unpublished)
    broken = wrong(checks)
    assert code == 1
    assert "in the last 2 hours" in checks["conflicts"]["finding"]
    assert "shorter than 16 bytes" in broken["keys of machnet"]
    assert f"keys add machnet --stack {STACK_NAME}" in checks["keys of machnet"]["remedy"]
    assert broken["subscribers of the alarms"] == "nobody gets the alarms"
    assert broken[f"alarm {alarm}"] == "it is raised"
    assert broken["unpublished events"].startswith("one message of the publisher's queue says that events were given up")
    assert "docs/operations.md#publishing-again" in checks["unpublished events"]["remedy"]
    assert "docs/operations.md#alarm" in checks[f"alarm {alarm}"]["remedy"]
    assert "hunter2" not in json.dumps(checks)


def test_an_event_source_mapping_that_does_not_work_is_named_with_the_command_that_puts_it_right(stack: Stack) -> None:
    client, uuid = stack.client("lambda"), stack.resources["ProcessorFunctionDeliveries"]
    subject = "event source mapping ProcessorFunctionDeliveries"
    found = client.get_event_source_mapping(UUID=uuid)
    settings = {name: found[name] for name in ("BatchSize", "FunctionResponseTypes", "ScalingConfig")}
    with stack.held_queue():
        _, checks = doctor(stack)
        assert wrong(checks)[subject] == "it is disabled, so nothing takes deliveries from the queue"
        assert f"update-event-source-mapping --uuid {uuid} --enabled" in checks[subject]["remedy"]
    client.update_event_source_mapping(UUID=uuid, BatchSize=1, FunctionResponseTypes=[], ScalingConfig={"MaximumConcurrency": 5})
    try:
        _, checks = doctor(stack)
    finally:
        client.update_event_source_mapping(UUID=uuid, **settings)
    assert "does not ask which messages of a batch failed" in wrong(checks)[subject]
    assert "the batch size is 1 and not 10; the maximum concurrency is 5 and not 2" in wrong(checks)[subject]
    for option in ("ReportBatchItemFailures", "--batch-size 10", "MaximumConcurrency=2"):
        assert option in checks[subject]["remedy"]
