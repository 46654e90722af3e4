"""`make deploy` as a user runs it: with nothing there yet, again, for another stack, and where it cannot be done."""

from __future__ import annotations

import fcntl
import json
import re

import pytest
from bill import WEBHOOKS
from checkout import DEPLOY, OTHER, OTHER_STACK, OTHER_WITH_PARAMETERS, Checkout, client
from stack import template
from stack.emulator import Emulator

FUNCTIONS = template.binaries(template.original())


def test_the_documented_command_deploys_with_every_default(checkout: Checkout) -> None:
    assert DEPLOY == "make deploy"
    printed = checkout.run(DEPLOY)

    defaults = {name: str(each["Default"]) for name, each in template.original()["Parameters"].items()}
    # The second, short update protects the tables.
    assert checkout.stack()["StackStatus"] == "UPDATE_COMPLETE"
    assert checkout.parameters() | {"Release": ""} == defaults
    builds = checkout.builds()
    assert len(builds) == len(FUNCTIONS) > len(WEBHOOKS)
    assert all("--arm64" in each for each in builds)
    assert checkout.architectures() == {"arm64"}
    assert checkout.protected() == {True}
    assert checkout.outputs()["MachnetWebhookUrl"] in printed.split("What to do next:")[1]


def test_the_digests_of_what_is_built_are_those_that_lambda_reports(checkout: Checkout, account: Emulator) -> None:
    printed = {name: digest for digest, name in map(str.split, checkout.run("make digests").splitlines())}

    resources = client(account, "cloudformation").describe_stack_resources(StackName="webhook-intake")["StackResources"]
    names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
    reported = {each["FunctionName"]: each["CodeSha256"] for each in client(account, "lambda").list_functions()["Functions"]}
    assert printed.keys() == set(FUNCTIONS)
    deployed = names.keys() & printed.keys()
    assert {name: printed[name] for name in deployed} == {name: reported[names[name]] for name in deployed} != {}


def test_a_second_deployment_without_changes_succeeds(checkout: Checkout) -> None:
    before = checkout.stack()["LastUpdatedTime"]
    assert "No changes to deploy" in checkout.run(DEPLOY)
    assert checkout.stack()["LastUpdatedTime"] == before


def test_another_stack_keeps_its_settings_and_its_architecture(checkout: Checkout) -> None:
    checkout.builds()
    checkout.run(OTHER_WITH_PARAMETERS)

    given = dict(each.split("=") for each in re.search('PARAMETERS="(.*)"', OTHER_WITH_PARAMETERS)[1].split(" "))
    assert given["Architecture"] == "x86_64"
    first = checkout.parameters(OTHER_STACK)
    assert first.items() >= given.items()
    assert checkout.protected(OTHER_STACK) == {True}

    assert "No changes to deploy" in checkout.run(OTHER)
    assert checkout.parameters(OTHER_STACK) == first
    assert not any("--arm64" in each for each in checkout.builds())
    assert checkout.architectures(OTHER_STACK) == {"x86_64"}
    assert checkout.architectures() == {"arm64"}


def test_settings_are_kept_until_they_are_removed_and_each_change_is_a_release(checkout: Checkout) -> None:
    before = checkout.parameters()
    checkout.set('Architecture = "arm64"\n#', 'Architecture = "x86_64"\n#')
    checkout.set('# AlarmEmail = "operations@example.com"', 'AlarmEmail = "operations@example.com"')
    printed = checkout.run(
        'make deploy DEPLOY_ARGS=--confirm-changeset PARAMETERS="NowCertsSchedule=cron(0 3 * * ? *)'
        ' NurtureCloudOrganisation=\'Bob & \\"Sons\\"\'"',
        answer="y\n",
    )

    assert "Deploy this changeset? [y/N]" in printed
    changed = checkout.parameters()
    assert changed | {"Release": ""} == before | {
        "Architecture": "x86_64",
        "AlarmEmail": "operations@example.com",
        "NowCertsSchedule": "cron(0 3 * * ? *)",
        "NurtureCloudOrganisation": 'Bob & "Sons"',
        "Release": "",
    }
    # Compiled for what it is deployed for.
    assert not any("--arm64" in each for each in checkout.builds())
    assert checkout.architectures() == {"x86_64"}

    checkout.set('AlarmEmail = "operations@example.com"\n', "")
    checkout.run(DEPLOY)
    removed = checkout.parameters()
    assert removed | {"Release": ""} == changed | {"AlarmEmail": "", "Release": ""}

    (checkout.folder / "code").write_text("other code")
    checkout.run(DEPLOY)
    other_code = checkout.parameters()
    assert other_code | {"Release": ""} == removed | {"Release": ""}

    releases = [each["Release"] for each in [before, changed, removed, other_code]]
    assert len(set(releases)) == 4
    # SAM publishes a version of each function for each of them.
    versions = {name for each in releases for name in function_versions(each)}
    assert len(versions) == 4 * len(FUNCTIONS)


def function_versions(release: str) -> set[str]:
    translated = template.translate(template.original(), {"Release": release})
    return {name for name, each in translated["Resources"].items() if each["Type"] == "AWS::Lambda::Version"}


def test_a_new_stack_may_be_declined(checkout: Checkout) -> None:
    printed = checkout.run("make deploy STACK=declined DEPLOY_ARGS=--confirm-changeset", "n\n")

    assert "Nothing was deployed" in printed
    assert checkout.stack("declined")["StackStatus"] == "REVIEW_IN_PROGRESS"


REFUSALS = {
    "make deploy STACK=": "STACK= does not name a stack: write `make deploy STACK=name`",
    "make deploy STACK=a_b": "STACK=a_b does not name a stack",
    "make deploy STACK=default": "samconfig.toml uses the name default for something else",
    "make deploy STACK=version": "samconfig.toml uses the name version for something else",
    'make deploy PARAMETERS="AlarmMail=a@example.com"': (
        "PARAMETERS sets 'AlarmMail', which is not a parameter of the stack: did you mean AlarmEmail?"
    ),
    'make deploy PARAMETERS="AlarmEmail"': "PARAMETERS begins with 'AlarmEmail'; write PARAMETERS=\"Key=Value Key=Value\".",
    'make deploy PARAMETERS="Architecture=x86"': "PARAMETERS sets Architecture to 'x86'; use one of: arm64, x86_64.",
    'make deploy PARAMETERS="ProcessorMaximumConcurrency=1"': "the template allows 2 to 1000.",
    'make deploy PARAMETERS="ProcessorMaximumConcurrency=many"': "'many', which is not a number.",
    'make deploy PARAMETERS="NowCertsIdPointer=Id"': "'Id', which does not match ^(/.*)?$.",
    'make deploy PARAMETERS="DomainName=hooks.example.com"': "cannot be deployed: DomainName needs a CertificateArn.",
    'make deploy STACK=new PARAMETERS="MonthlyBudgetDollars=20"': "cannot be deployed: MonthlyBudgetDollars needs an AlarmEmail.",
    'make deploy PARAMETERS="Release=1"': "sets Release, which `make deploy` sets itself",
    'make deploy DEPLOY_ARGS="--parameter-overrides Architecture=x86_64"': "say it in PARAMETERS",
    "make deploy DEPLOY_ARGS=--stack-name=other": "say it in STACK",
    "make next-steps STACK=missing": "There is no stack missing in us-east-1",
}


@pytest.mark.parametrize("command", REFUSALS)
def test_a_mistake_is_reported_in_a_sentence_before_anything_is_built(checkout: Checkout, command: str) -> None:
    assert REFUSALS[command] in checkout.refusal(command)


def test_missing_credentials_and_region_are_reported_before_anything_is_built(checkout: Checkout) -> None:
    def refusal(**variables: str | None) -> str:
        return checkout.refusal("make deploy STACK=another", **variables)

    assert "No AWS region is set: export AWS_DEFAULT_REGION" in refusal(AWS_DEFAULT_REGION=None)
    assert "No AWS credentials were found: log in" in refusal(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert "AWS does not accept the credentials" in refusal(AWS_ACCESS_KEY_ID="unknown")
    assert "set AWS_PROFILE to a profile" in refusal(AWS_PROFILE="missing")


def test_two_deployments_do_not_build_in_one_folder_at_once(checkout: Checkout) -> None:
    with (checkout.folder / ".aws-sam" / "deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "Another `make deploy` is at work in this folder" in checkout.refusal(DEPLOY)


def test_a_stack_that_is_being_changed_is_left_alone(checkout: Checkout) -> None:
    create_slowly(checkout.account, "busy")
    assert "The stack busy is being changed (CREATE_IN_PROGRESS): wait" in checkout.refusal("make deploy STACK=busy")


def create_slowly(account: Emulator, name: str) -> None:
    """Begins a stack that waits for a signal."""
    handle = {"Type": "AWS::CloudFormation::WaitConditionHandle"}
    wait = {"Type": "AWS::CloudFormation::WaitCondition", "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "600"}}
    client(account, "cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": {"Handle": handle, "Wait": wait}})
    )


def test_the_settings_in_samconfig_are_parameters_of_the_template() -> None:
    text = (template.ROOT / "samconfig.toml").read_text()
    section = text.split("[default.global.parameters.parameter_overrides]\n", 1)[1].split("\n[", 1)[0]
    names = re.findall(r'^(?:# )?(\w+) = "', section, re.MULTILINE)

    assert names[0] == "Architecture"
    assert set(names) <= template.original()["Parameters"].keys()
