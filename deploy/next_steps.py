"""`make next-steps`: the URLs of a stack, and for each enabled provider what is left to do, as it stands now.

The steps of a provider are those of its page in docs/providers.
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
from provider_pages import PageStep, ProviderPage, page, providers
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
        document = template(ROOT)
        self._resources = document["Resources"]
        self.providers = providers(document)
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

    def outputs_of(self, provider: str, ending: str) -> set[str]:
        """The names of a provider's outputs with this ending."""
        return {name for name in self.outputs if name.startswith(provider) and name.endswith(ending)}

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


# In the commands of a page.
_ON_THE_DEFAULT_STACK = " --stack webhook-intake"
_OUTPUT = re.compile(r"<([A-Z]\w+(?:Arn|Url))>")
_SETTING = re.compile(r"PARAMETERS=\"?(\w+)=(\w+)")


def sections(stack: Stack) -> Iterator[Section]:
    """A provider that is disabled has no outputs, and no section."""
    for provider in stack.providers:
        if stack.outputs_of(provider, ""):
            yield _provider(stack, provider, page(ROOT, provider))
    yield _alarms(stack)
    yield _before_going_live(stack)


def _provider(stack: Stack, provider: str, page: ProviderPage) -> Section:
    urls = [("URL", f"{provider}WebhookUrl"), ("token URL", f"{provider}TokenUrl")]
    facts = tuple((name, stack.outputs[output]) for name, output in urls if output in stack.outputs)
    named = {output for step in page.steps for output in _outputs(step)}
    steps = [
        Step(step.words, tuple(_command(stack, each) for each in step.commands), _is_done(stack, provider, step, named))
        for step in page.steps
        # A step of what the stack does not have.
        if _outputs(step) <= stack.outputs.keys()
    ]
    return Section(page.title, facts or (("URL", "none: its queue is drained"),), tuple(steps), page.file)


def _outputs(step: PageStep) -> set[str]:
    """The outputs that a step's commands name."""
    return {output for command in step.commands for output in _OUTPUT.findall(command)}


def _command(stack: Stack, command: str) -> str:
    """A command of a page, for this stack."""
    command = command.replace(_ON_THE_DEFAULT_STACK, f" \\\n    --stack {stack.name} --region {stack.region}")
    setting = _SETTING.search(command)
    if setting:
        return stack.deploy(f"{setting[1]}={setting[2]}")
    return _OUTPUT.sub(lambda output: stack.outputs[output[1]], command)


def _is_done(stack: Stack, provider: str, step: PageStep, named: set[str]) -> bool:
    """Whether what the commands of a step would do is done. What is not a command cannot be recognised."""

    def is_done(command: str) -> bool:
        setting = _SETTING.search(command)
        if setting:
            return stack.parameter(setting[1]) == setting[2]
        secrets = set(_OUTPUT.findall(command))
        if " keys add " in command:
            # Those that no command writes by their own name.
            secrets = stack.outputs_of(provider, "SecretArn") - named
        return bool(secrets) and all(stack.holds_value(secret) for secret in secrets)

    return bool(step.commands) and all(is_done(command) for command in step.commands)


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
        for name in stack.providers
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
