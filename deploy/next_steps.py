"""`make next-steps`: the URLs of a stack, and for each enabled provider what is left to do, as it stands now.

What was done is recognised where reading is allowed: a secret holds something other than its placeholder. No value is printed.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from account import Account, outputs, parameters
from botocore.exceptions import BotoCoreError, ClientError
from problem import Problem, run
from settings import Settings, template

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100
# "Concurrent executions" of AWS Lambda, which is 1,000 by default and much less in a new account.
CONCURRENCY_QUOTA = "L-B99A9384"
USUAL_CONCURRENCY = 1000


@dataclass(frozen=True)
class Step:
    """One thing to do: in words, then as commands."""

    words: str
    commands: tuple[str, ...] = ()
    is_done: bool = False


@dataclass(frozen=True)
class Section:
    title: str
    facts: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    page: str


def text(settings: Settings, account: Account) -> str:
    """All of it, for a stack that stands."""
    stack = account.stack(settings.stack)
    if stack is None:
        raise Problem(
            f"There is no stack {settings.stack} in {account.region} (account {account.id}): deploy it first with "
            f"`make deploy{_stack_argument(settings)}`, or export AWS_DEFAULT_REGION with its region."
        )
    view = Stack(settings, account, stack)
    lines = [f"The stack {settings.stack} stands in {account.region}, account {account.id}. What to do next:"]
    for section in sections(view):
        lines += ["", *_section(section)]
    return "\n".join(lines)


def _section(section: Section) -> Iterator[str]:
    yield section.title
    width = max((len(name) for name, _ in section.facts), default=0)
    for name, value in section.facts:
        yield f"  {name:<{width}}  {value}"
    for number, step in enumerate(section.steps, start=1):
        mark = "done: " if step.is_done else ""
        yield from _wrapped(f"{mark}{step.words}", f"  {number}. ")
        if not step.is_done:
            yield from (f"       {line}" for command in step.commands for line in command.splitlines())
    if section.page:
        yield f"  More: {section.page}"


def _wrapped(words: str, indent: str) -> list[str]:
    """Lines that break between words, and never inside a command."""
    whole = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\N{NO-BREAK SPACE}"), words)
    lines = textwrap.wrap(
        whole,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _stack_argument(settings: Settings) -> str:
    return "" if settings.is_default else f" STACK={settings.stack}"


class Stack:
    """A stack that stands, as the steps ask for it."""

    def __init__(self, settings: Settings, account: Account, stack: dict[str, Any]) -> None:
        self._settings = settings
        self._account = account
        self._resources = template(ROOT)["Resources"]
        self.outputs = outputs(stack)
        self._parameters = parameters(stack)

    @property
    def name(self) -> str:
        return self._settings.stack

    @property
    def region(self) -> str:
        return self._account.region

    def parameter(self, name: str) -> str:
        """Empty if the stack was deployed before there was such a parameter."""
        return self._parameters.get(name, "")

    def deploy(self, setting: str) -> str:
        """The command that changes a setting."""
        return f'make deploy{_stack_argument(self._settings)} PARAMETERS="{setting}"'

    def holds_value(self, output: str) -> bool:
        """Whether a secret was given a value. False where that cannot be read."""
        placeholder = self._resources[output.removesuffix("Arn")]["Properties"]["SecretString"]
        try:
            answer = self._account.client("secretsmanager").get_secret_value(SecretId=self.outputs[output])
        except (ClientError, BotoCoreError):
            return False
        return _content(answer["SecretString"]) != _content(placeholder)

    def subscriptions(self) -> list[dict[str, str]] | None:
        """Who gets the alarms; None where that cannot be read."""
        try:
            pages = self._account.client("sns").get_paginator("list_subscriptions_by_topic")
            answers = pages.paginate(TopicArn=self.outputs["AlarmTopicArn"])
            return [each for answer in answers for each in answer["Subscriptions"]]
        except (ClientError, BotoCoreError):
            return None

    def concurrency(self) -> int | None:
        """The account's limit of concurrent executions in the region; None where it cannot be read."""
        try:
            settings = self._account.client("lambda").get_account_settings()
        except (ClientError, BotoCoreError):
            return None
        return settings["AccountLimit"]["ConcurrentExecutions"]


def _content(secret: str) -> Any:
    try:
        return json.loads(secret)
    except ValueError:
        return secret


def _put(arn: str, value: str) -> str:
    return f"aws secretsmanager put-secret-value --secret-id {arn} \\\n    --secret-string {value}"


def _add_key(stack: Stack, *words: str) -> str:
    """The command that puts a key into the secret of a provider. Keys are read from standard input or made, and never arguments."""
    return f"cargo run --features aws -- keys add {' '.join(words)} \\\n    --stack {stack.name} --region {stack.region}"


def sections(stack: Stack) -> Iterator[Section]:
    """A provider that is disabled has no outputs, and no section."""
    for output, section in [
        ("AccreditSecretArn", _accredit),
        ("MachnetSecretArn", _machnet),
        ("NowCertsSecretArn", _nowcerts),
        ("NurtureCloudSecretArn", _nurturecloud),
        ("SterlingAuthoritySecretArn", _sterling),
    ]:
        if output in stack.outputs:
            yield section(stack)
    yield _alarms(stack)
    yield _before_going_live(stack)


def _accredit(stack: Stack) -> Section:
    has_key = stack.holds_value("AccreditSecretArn")
    return Section(
        "Accredit",
        (("URL", stack.outputs["AccreditWebhookUrl"]),),
        (
            Step(
                "At Accredit, subscribe to each event that you need (`POST /api/webhookSubscription`) with this URL, and note the "
                "Signature Key in the answer."
            ),
            Step(
                "Add the Signature Key, from a file as it is.",
                (_add_key(stack, "accredit", "--file <FILE>"),),
                has_key,
            ),
            Step("Have a sample sent (`POST /api/webhookSubscription/triggerSampleEventNotification`)."),
        ),
        "docs/providers/accredit.md",
    )


def _machnet(stack: Stack) -> Section:
    return Section(
        "Machnet",
        (("URL", stack.outputs["MachnetWebhookUrl"]),),
        (
            Step(
                "Make a secret, which is shown once, before you give it to Machnet.",
                (_add_key(stack, "machnet", "--generate"),),
                stack.holds_value("MachnetSecretArn"),
            ),
            Step("Create the subscription at Machnet's Subscription API with this URL and the same secret."),
        ),
        "docs/providers/machnet.md",
    )


def _nowcerts(stack: Stack) -> Section:
    return Section(
        "NowCerts",
        (("URL", "none: its queue is drained"),),
        (
            Step(
                "Ask NowCerts for a login, the name of your queue and a TLS endpoint; in the NowCerts portal the agency's "
                "administrator must allow the login."
            ),
            Step(
                "Add the connection string, from a file, and the queue's name.",
                (_add_key(stack, "nowcerts", "--queue <QUEUE>", "--tls", "--file <FILE>"),),
                stack.holds_value("NowCertsSecretArn"),
            ),
            Step(
                "Enable the schedule.",
                (stack.deploy("NowCertsScheduleState=ENABLED"),),
                stack.parameter("NowCertsScheduleState") == "ENABLED",
            ),
        ),
        "docs/providers/nowcerts.md",
    )


def _nurturecloud(stack: Stack) -> Section:
    url = stack.outputs["NurtureCloudWebhookUrl"]
    steps = [
        Step(
            "Make the URL, which ends in a secret and is shown once.",
            (_add_key(stack, "nurturecloud"),),
            stack.holds_value("NurtureCloudSecretArn"),
        ),
        Step(
            "Give it to NurtureCloud as the `targetUrl` of a subscription (`POST /management/webhooks/create-subscription`), "
            "after 15 seconds."
        ),
    ]
    if "NurtureCloudResyncSecretArn" in stack.outputs:
        resync = stack.outputs["NurtureCloudResyncSecretArn"]
        steps.append(
            Step(
                "Put the client id and the client secret that NurtureCloud gave you into the resync's secret.",
                (_put(resync, """'{"client_id":"<client id>","client_secret":"<client secret>"}'"""),),
                stack.holds_value("NurtureCloudResyncSecretArn"),
            )
        )
    return Section("NurtureCloud", (("URL", url),), tuple(steps), "docs/providers/nurturecloud.md")


def _sterling(stack: Stack) -> Section:
    webhook, token = stack.outputs["SterlingWebhookUrl"], stack.outputs["SterlingTokenUrl"]
    return Section(
        "IBM Sterling",
        (("URL", webhook), ("token URL", token)),
        (
            Step(
                "Make a client; its secret is shown once.",
                (_add_key(stack, "sterling", "ibm-sterling"),),
                stack.holds_value("SterlingAuthoritySecretArn"),
            ),
            Step(
                "Give IBM at onboarding both URLs, the grant (client credentials), and the client id and client secret as printed."
            ),
        ),
        "docs/providers/sterling.md",
    )


def _alarms(stack: Stack) -> Section:
    found = stack.subscriptions()
    waiting = [each for each in found or [] if each["SubscriptionArn"] == "PendingConfirmation"]
    address = stack.parameter("AlarmEmail")
    if waiting:
        step = Step(
            f"Confirm the subscription: the mail to {' and '.join(each['Endpoint'] for each in waiting)} has a link."
        )
    elif found:
        step = Step("The alarms are sent to a subscription that was confirmed.", is_done=True)
    elif address:
        step = Step(f"Confirm the subscription: the mail to {address} has a link.")
    else:
        step = Step(
            "Nobody gets the alarms: give an address, or subscribe to the topic by other means.",
            (stack.deploy("AlarmEmail=<address>"),),
        )
    facts = (("topic", stack.outputs["AlarmTopicArn"]), ("dashboard", stack.outputs["DashboardUrl"]))
    return Section("Alarms", facts, (step,), "docs/operations.md")


def _before_going_live(stack: Stack) -> Section:
    return Section(
        "Before going live",
        (),
        tuple(step for step in [_raise_concurrency(stack), *_own_domain(stack), *_silence(stack)] if step),
        "docs/operations.md",
    )


def _raise_concurrency(stack: Stack) -> Step:
    limit = stack.concurrency()
    command = (
        f"aws service-quotas request-service-quota-increase --service-code lambda \\\n"
        f"    --quota-code {CONCURRENCY_QUOTA} --desired-value {USUAL_CONCURRENCY}"
    )
    if limit is None:
        return Step(
            "Look up how many concurrent executions of AWS Lambda this account allows (a new one often 10), and ask for more.",
            ("aws lambda get-account-settings --query AccountLimit.ConcurrentExecutions", command),
        )
    if limit >= USUAL_CONCURRENCY:
        return Step(f"This account allows {limit:,} concurrent executions in the region.", is_done=True)
    return Step(f"This account allows {limit:,} concurrent executions in the region: ask for more.", (command,))


def _own_domain(stack: Stack) -> Iterator[Step]:
    urls = [name for name in stack.outputs if name.endswith("WebhookUrl")]
    if not urls:
        return
    domain = stack.parameter("DomainName")
    if not domain:
        yield Step(
            "Set a domain name of your own if you can: a provider is given a URL once, and a stack that is created again has "
            "another host name.",
            (stack.deploy("DomainName=<host name> CertificateArn=<certificate>"),),
        )
    elif not stack.parameter("HostedZoneId"):
        yield Step(f"Point {domain} at {stack.outputs['DomainTarget']} (a CNAME record) where your DNS is kept.")


def _silence(stack: Stack) -> Iterator[Step]:
    off = [
        name
        for name in ("Accredit", "Machnet", "NowCerts", "NurtureCloud", "Sterling")
        if stack.parameter(name) == "enabled" and stack.parameter(f"{name}Silence") == "off"
    ]
    if off:
        yield Step(
            "Once you know how often a provider delivers, set how long nothing may be accepted from it before an alarm is "
            f"raised. Not set for {', '.join(off)}.",
            (stack.deploy(f"{off[0]}Silence=1d"),),
        )


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stack", help="name of the stack; the default one is in samconfig.toml")
    settings = Settings(ROOT, arguments.parse_args().stack)
    print(text(settings, Account(settings)))
    return 0


if __name__ == "__main__":
    run(main)
