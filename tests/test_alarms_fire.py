"""Every alarm on a single metric is created, raised by its own metric, and heard of at the topic.

What CloudWatch does with dimensions, several periods and missing data the emulator does not do; `test_alarm_stories.py` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from stack import template
from stack.stack import Stack
from stack.wait import wait_until


class Subscriber:
    """A queue that receives what the topic of the alarms is sent."""

    def __init__(self, stack: Stack) -> None:
        self._sqs, sns = stack.client("sqs"), stack.client("sns")
        topic = stack.outputs["AlarmTopicArn"]
        self.url = self._sqs.create_queue(QueueName="alarms-of-the-stack")["QueueUrl"]
        queue = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        self._sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})
        subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, ReturnSubscriptionArn=True)
        self._unsubscribe = lambda: sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        self._received: list[dict[str, Any]] = []

    def close(self) -> None:
        self._unsubscribe()
        self._sqs.delete_queue(QueueUrl=self.url)

    def raised(self, alarm: str) -> list[dict[str, Any]]:
        """The messages so far that say of an alarm that it was raised."""
        while messages := self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self._received.append(json.loads(json.loads(message["Body"])["Message"]))
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return [each for each in self._received if (each["AlarmName"], each["NewStateValue"]) == (alarm, "ALARM")]


def single_metric_alarms() -> list[str]:
    """Those that the test stack has: it has every part but an expected interval, whose alarms are metric math."""
    whole = template.original()
    math = template.metric_math_alarms(whole)
    return [
        name
        for name, resource in whole["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm" and name not in math
    ]


@pytest.fixture(scope="module")
def subscriber(stack: Stack) -> Iterator[Subscriber]:
    subscriber = Subscriber(stack)
    yield subscriber
    # Other tests ask the same stack how it is.
    subscriber.close()
    for name in single_metric_alarms():
        stack.client("cloudwatch").set_alarm_state(AlarmName=stack.resources[name], StateValue="OK", StateReason="the tests end")


@pytest.fixture(scope="module")
def fired() -> Iterator[list[str]]:
    fired: list[str] = []
    yield fired
    print(f"\n{len(fired)} of {len(single_metric_alarms())} alarms on a single metric were raised and heard of")


@pytest.mark.parametrize("name", single_metric_alarms())
def test_an_alarm_is_raised_by_its_own_metric(
    stack: Stack, subscriber: Subscriber, fired: list[str], name: str
) -> None:
    cloudwatch, physical = stack.client("cloudwatch"), stack.resources[name]

    def described() -> dict[str, Any]:
        [alarm] = cloudwatch.describe_alarms(AlarmNames=[physical])["MetricAlarms"]
        return alarm

    # Another alarm on a metric of the same name raises this one too, since the emulator ignores dimensions.
    cloudwatch.set_alarm_state(AlarmName=physical, StateValue="OK", StateReason="a test begins")
    before = len(subscriber.raised(physical))
    alarm = described()
    assert alarm["StateValue"] == "OK"
    assert alarm["AlarmActions"] == [stack.outputs["AlarmTopicArn"]]

    value = alarm["Threshold"] + (1 if alarm["ComparisonOperator"].startswith("Greater") else -1)
    datum = {"MetricName": alarm["MetricName"], "Dimensions": alarm.get("Dimensions", []), "Value": value}
    cloudwatch.put_metric_data(Namespace=alarm["Namespace"], MetricData=[datum])

    wait_until(lambda: described()["StateValue"] == "ALARM", what=f"the state of {name}")
    [message] = wait_until(lambda: subscriber.raised(physical)[before:], what=f"the message of {name}")
    assert message["AlarmDescription"] == alarm["AlarmDescription"]
    assert "docs/operations.md#" in message["AlarmDescription"]
    fired.append(name)
