"""The policies of docs/operator-permissions.md, and a user of a stack who has them."""

from __future__ import annotations

import json
import re
import subprocess
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import operator_commands
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


def policies_of_the_page(stack: Stack) -> list[Policy]:
    """The policies for reading and for operating, with the names that the page says to put in."""
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
