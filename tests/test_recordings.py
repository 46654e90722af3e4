"""What `template_check` compares the template with is what the functions really do.

After a change of what they call or count, `pytest tests/test_recordings.py --record` writes the two files again.
"""

from __future__ import annotations

from collections.abc import Callable

import every_path
import pytest
from authority import Authority
from bill import WEBHOOKS
from nowcerts import NowCerts
from nurturecloud_api import NurtureCloudApi
from recordings import differences
from senders import Sender
from stack.stack import Stack
from template_check import metrics, permissions


class Since:
    """What the functions have called and sent since this value was made."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.calls = len(stack.proxy.calls)
        self.sent = {binary: stack.data_points(binary) for binary in stack.binaries}

    def called(self) -> dict[str, set[str]]:
        return {
            binary: {" ".join(each) for each in self.stack.called(binary, self.calls)} for binary in self.stack.binaries
        }

    def emitted(self) -> dict[str, set[str]]:
        return {
            binary: {
                metrics.text(name, dict(labels)) for name, labels in self.stack.data_points(binary) - self.sent[binary]
            }
            for binary in self.stack.binaries
        }


@pytest.fixture(scope="module")
def began(stack: Stack) -> Since:
    return Since(stack)


@pytest.mark.parametrize("provider", WEBHOOKS)
def test_a_webhook_does_all_that_it_does(
    began: Since, sender_of: Callable[[str], Sender], authority: Authority, provider: str
) -> None:
    every_path.webhook(began.stack, sender_of(provider), authority)


def test_the_others_do_all_that_they_do(
    began: Since,
    machnet: Sender,
    nurturecloud: Sender,
    sterling: Sender,
    authority: Authority,
    nurturecloud_api: NurtureCloudApi,
    nowcerts: NowCerts,
) -> None:
    every_path.token_endpoint(began.stack, authority)
    every_path.resync(began.stack, nurturecloud_api)
    every_path.drain(began.stack, nowcerts)
    every_path.processor(began.stack, machnet, nurturecloud, sterling)
    every_path.publisher(began.stack, machnet)


def test_the_recorded_calls_are_current(began: Since, record: bool) -> None:
    assert differences(permissions.CALLED, began.called(), record) == []


def test_the_recorded_metrics_are_current(began: Since, record: bool) -> None:
    assert differences(metrics.EMITTED, began.emitted(), record) == []


def test_the_metrics_are_in_the_namespace_that_the_alarms_watch(began: Since) -> None:
    directives = [
        directive
        for binary in began.stack.binaries
        for line in began.stack.lines(binary)
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", [])
    ]
    assert {directive["Namespace"] for directive in directives} == {
        metrics.NAMESPACE.replace("${AWS::StackName}", "webhook-intake-test")
    }
