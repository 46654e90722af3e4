"""Deployments as a user makes them: with nothing there yet, again, and one that fails."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from stack import template
from stack.emulator import CREDENTIALS, REGION, Emulator
from stack.stack import SAM
from stack.wait import wait_until


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account of its own, with nothing in it."""
    emulator = Emulator(tmp_path_factory.mktemp("account"))
    yield emulator
    emulator.stop()


def client(account: Emulator, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=account.endpoint,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def kept() -> dict[str, Any]:
    """A template of what is kept when the stack is deleted, every optional resource included."""
    translated = template.translate(template.original())
    kinds = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::SecretsManager::Secret"}
    resources = {name: each for name, each in translated["Resources"].items() if each["Type"] in kinds}
    for resource in resources.values():
        resource.pop("Condition", None)
    return {"Resources": resources}


def what_is_there(account: Emulator) -> dict[str, int]:
    return {
        "tables": len(client(account, "dynamodb").list_tables()["TableNames"]),
        "buckets": len(client(account, "s3").list_buckets()["Buckets"]),
        "secrets": len(client(account, "secretsmanager").list_secrets()["SecretList"]),
    }


def create(account: Emulator, name: str, what: dict[str, Any]) -> str:
    """The state in which the stack ends."""
    cloudformation = client(account, "cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(what))
    return ended(account, name)


def ended(account: Emulator, name: str) -> str:
    def state() -> str | None:
        [stack] = client(account, "cloudformation").describe_stacks(StackName=name)["Stacks"]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack["StackStatus"]

    return wait_until(state, what=f"the end of the deployment of {name}")


# A resource that cannot be created, because the function does not exist.
FAILS = {
    "Type": "AWS::Lambda::Url",
    "Properties": {
        "TargetFunctionArn": f"arn:aws:lambda:{REGION}:000000000000:function:missing",
        "AuthType": "AWS_IAM",
    },
}


def test_a_first_deployment_that_fails_leaves_nothing(account: Emulator) -> None:
    before = what_is_there(account)
    what = kept()
    what["Resources"]["Fails"] = FAILS | {"DependsOn": list(what["Resources"])}

    assert create(account, "failing", what) == "ROLLBACK_COMPLETE"
    assert what_is_there(account) == before


def test_a_deleted_stack_leaves_what_is_kept(account: Emulator) -> None:
    before = what_is_there(account)

    assert create(account, "working", kept()) == "CREATE_COMPLETE"
    there = what_is_there(account)
    assert {kind: there[kind] - before[kind] for kind in there} == {"tables": 2, "buckets": 1, "secrets": 7}

    stack = client(account, "cloudformation").describe_stacks(StackName="working")["Stacks"][0]["StackId"]
    client(account, "cloudformation").delete_stack(StackName="working")
    assert ended(account, stack) == "DELETE_COMPLETE"
    assert what_is_there(account) == there


# `make deploy`


# Stands in for cargo and cargo-lambda, which take a quarter of an hour: writes a bootstrap, and down what it was asked for.
CARGO = """#!/bin/sh
case "$1" in
metadata) echo '{"target_directory": "'"$PWD"'/target", "packages": []}' ;;
lambda)
    echo "$*" >>built.log
    binary=$(echo "$*" | sed -n 's/.*--bin \\([^ ]*\\).*/\\1/p')
    mkdir -p "target/lambda/$binary"
    { echo '#!/bin/sh'; cat code 2>/dev/null || true; } >"target/lambda/$binary/bootstrap"
    ;;
esac
"""


class Checkout:
    """A copy of what `make deploy` needs, in which its tools are installed and nothing is built."""

    def __init__(self, folder: Path, account: Emulator) -> None:
        self.folder = folder
        self.account = account
        for name in ["Makefile", "samconfig.toml"]:
            shutil.copy(template.ROOT / name, folder)
        shutil.copytree(template.ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
        # The emulator does not know metric math.
        self.write_template(template.without_metric_math(template.original()))
        nothing = "#!/bin/sh\n"
        for name, text in [("build/bin/cargo", CARGO), ("build/bin/cargo-lambda", nothing)]:
            self._write(f".tools/{name}", text)
        self._write("tests/install-tools", nothing)
        (folder / ".tools" / "sam").symlink_to(SAM.parents[1])

    def _write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def write_template(self, document: template.Template) -> None:
        # JSON is YAML.
        (self.folder / "template.yaml").write_text(json.dumps(document))

    def start(self, command: str, answer: str = "", **variables: str | None) -> subprocess.CompletedProcess[str]:
        """Runs a documented command where nobody can answer a question, unless an answer is given. A variable that is None is
        not set."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.account.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_POLL_DELAY": "1",
            **CREDENTIALS,
            **variables,
        }
        return subprocess.run(
            command,
            shell=True,
            env={name: value for name, value in environment.items() if value is not None},
            cwd=self.folder,
            input=answer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )

    def run(self, command: str, answer: str = "") -> str:
        done = self.start(command, answer)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def refusal(self, command: str, **variables: str | None) -> str:
        """The one line that a command prints that cannot be carried out. Nothing is built or written for it."""
        before = self._contents()
        done = self.start(command, **variables)
        assert done.returncode != 0, done.stdout
        assert self._contents() == before
        [line, _from_make] = done.stdout.splitlines()
        return line

    def _contents(self) -> tuple[str, str]:
        built = self.folder / "built.log"
        return (self.folder / "samconfig.toml").read_text(), built.read_text() if built.exists() else ""

    def builds(self) -> list[str]:
        """What was built since this was asked last."""
        file = self.folder / "built.log"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def set(self, old: str, new: str) -> None:
        """Edits samconfig.toml."""
        file = self.folder / "samconfig.toml"
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))

    def stack(self, name: str = "webhook-intake") -> dict[str, Any]:
        [stack] = client(self.account, "cloudformation").describe_stacks(StackName=name)["Stacks"]
        return stack

    def parameters(self, name: str = "webhook-intake") -> dict[str, str]:
        return {each["ParameterKey"]: each["ParameterValue"] for each in self.stack(name)["Parameters"]}

    def outputs(self, name: str = "webhook-intake") -> dict[str, str]:
        return {each["OutputKey"]: each["OutputValue"] for each in self.stack(name)["Outputs"]}

    def architectures(self, name: str = "webhook-intake") -> set[str]:
        resources = client(self.account, "cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        names = {each["PhysicalResourceId"] for each in resources if each["ResourceType"] == "AWS::Lambda::Function"}
        functions = client(self.account, "lambda").list_functions()["Functions"]
        return {each for one in functions if one["FunctionName"] in names for each in one["Architectures"]}

    def protected(self, name: str = "webhook-intake") -> set[bool]:
        """Whether the stack's tables are protected from deletion."""
        dynamodb = client(self.account, "dynamodb")
        tables = [self.outputs(name)[output] for output in ["EventsTableName", "EntitiesTableName"]]
        described = [dynamodb.describe_table(TableName=table)["Table"] for table in tables]
        return {str(table.get("DeletionProtectionEnabled", False)).lower() == "true" for table in described}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, account: Emulator) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"), account)


def documented() -> list[str]:
    """The commands that README.md gives for deployments, in its order."""
    section = (template.ROOT / "README.md").read_text().split("\n## Deploy\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\$ (make .*)$", section, re.MULTILINE)


DEPLOY, OTHER_WITH_PARAMETERS, OTHER, NEXT_STEPS = documented()
OTHER_STACK = "webhook-intake-test"

EXPECTED = template.ROOT / "tests" / "expected"


def test_the_documented_command_deploys_with_every_default(checkout: Checkout) -> None:
    assert DEPLOY == "make deploy"
    printed = checkout.run(DEPLOY)

    defaults = {name: str(each["Default"]) for name, each in template.original()["Parameters"].items()}
    # The second, short update protects the tables.
    assert checkout.stack()["StackStatus"] == "UPDATE_COMPLETE"
    assert checkout.parameters() | {"Release": ""} == defaults
    builds = checkout.builds()
    assert len(builds) == len(template.binaries(template.original())) == 8
    assert all("--arm64" in each for each in builds)
    assert checkout.architectures() == {"arm64"}
    assert checkout.protected() == {True}
    assert checkout.outputs()["MachnetWebhookUrl"] in printed.split("What to do next:")[1]


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
        " NurtureCloudOrganisation='Bob & \\\"Sons\\\"'\"",
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
    assert len(versions) == 4 * 8


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


def test_a_first_deployment_that_fails_says_how_to_go_on(tmp_path: Path, account: Emulator) -> None:
    checkout = Checkout(tmp_path, account)
    before = what_is_there(account)
    document = template.without_metric_math(template.original())
    document["Resources"]["Fails"] = FAILS | {"DependsOn": list(document["Resources"])}
    checkout.write_template(document)

    done = checkout.start("make deploy STACK=broken")
    assert done.returncode != 0
    sentence = "The first deployment of broken failed, and what it created was removed: run `aws cloudformation delete-stack"
    assert sentence in done.stdout
    left = what_is_there(account)
    assert {kind: left[kind] - before[kind] for kind in ["tables", "secrets"]} == {"tables": 0, "secrets": 0}

    checkout.builds()
    assert sentence in checkout.refusal("make deploy STACK=broken")


# `make next-steps`


def masked(printed: str, outputs: dict[str, str]) -> str:
    """What a command printed for a stack, with the names of outputs in place of their values."""
    printed = printed[printed.index("The stack ") :]
    for name, value in sorted(outputs.items(), key=lambda each: -len(each[1])):
        printed = printed.replace(value, f"<{name}>")
    printed = re.sub(r"https://\w+\.execute-api\.us-east-1\.amazonaws\.com", "<the API>", printed)
    return re.sub(r"allows [\d,]+ concurrent", "allows <number> concurrent", printed)


def test_the_next_steps_name_what_each_provider_needs(checkout: Checkout) -> None:
    printed = checkout.run(NEXT_STEPS)

    assert masked(printed, checkout.outputs(OTHER_STACK)) == (EXPECTED / "next-steps.txt").read_text()


def test_what_may_not_be_read_is_a_step_to_take(checkout: Checkout) -> None:
    secret = checkout.outputs(OTHER_STACK)["MachnetSecretArn"]
    value = {"keys": [{"account": "main", "secret": "a secret that must not be printed"}]}
    client(checkout.account, "secretsmanager").put_secret_value(SecretId=secret, SecretString=json.dumps(value))
    iam = client(checkout.account, "iam")
    iam.create_user(UserName="reader")
    allowed = {"Effect": "Allow", "Action": ["cloudformation:DescribeStacks", "sts:GetCallerIdentity"], "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    assert "1. done: Make a secret" in checkout.run(NEXT_STEPS)
    done = checkout.start(NEXT_STEPS, **credentials)
    assert done.returncode == 0, done.stdout
    assert "1. Make a secret and put it into the stack" in done.stdout


def test_steps_that_were_taken_are_done_and_a_provider_turned_off_has_none(checkout: Checkout) -> None:
    secrets = client(checkout.account, "secretsmanager")
    before = checkout.outputs(OTHER_STACK)
    value = '{"keys":[{"account":"main","public_key":"a key that must not be printed"}]}'
    for output in ["AccreditSecretArn", "SterlingAuthoritySecretArn"]:
        secrets.put_secret_value(SecretId=before[output], SecretString=value)
    # The placeholder, written in another way.
    secrets.put_secret_value(SecretId=before["NurtureCloudSecretArn"], SecretString='{ "keys": [] }')
    printed = checkout.run(f'{OTHER} PARAMETERS="NowCertsScheduleState=ENABLED Sterling=disabled"')

    assert "must not be printed" not in printed
    steps = printed.split("What to do next:")[1]
    assert "2. done: Put the Signature Key into the secret" in steps
    assert "1. Make the URL" in steps
    assert "3. done: Enable the schedule." in steps
    assert "Sterling" not in steps

    # What is off keeps its data and the value of its secret.
    after = checkout.outputs(OTHER_STACK)
    assert {name for name in before.keys() - after.keys() if not name.startswith("Sterling")} == set()
    assert not any(name.startswith("Sterling") for name in after)
    assert secrets.get_secret_value(SecretId=before["SterlingAuthoritySecretArn"])["SecretString"] == value
    assert after["EventsTableName"] == before["EventsTableName"]


# Stacks that are deleted


def test_a_deleted_stack_is_deployed_again_onto_what_it_kept_and_then_discarded(checkout: Checkout) -> None:
    account = checkout.account
    cloudformation, dynamodb, s3 = (client(account, name) for name in ["cloudformation", "dynamodb", "s3"])
    there = what_is_there(account)
    checkout.run("make deploy STACK=again PARAMETERS=DeletionProtection=false")
    before, stack = checkout.outputs("again"), checkout.stack("again")["StackId"]
    assert checkout.protected("again") == {False}
    item = {"pk": {"S": "an event"}, "sk": {"S": "event"}}
    dynamodb.put_item(TableName=before["EventsTableName"], Item=item)
    cloudformation.delete_stack(StackName=stack)
    assert ended(account, stack) == "DELETE_COMPLETE"

    # The emulator cannot import secrets and bucket policies.
    printed = checkout.run('make adopt STACK=again ADOPT_ARGS="--only EventsTable EntitiesTable Bucket"')
    assert f"EventsTable is {before['EventsTableName']} again." in printed
    assert "Continue with: make deploy STACK=again" in printed
    assert checkout.stack("again")["StackStatus"] == "IMPORT_COMPLETE"

    checkout.run("make deploy STACK=again")
    after = checkout.outputs("again")
    for name in ["EventsTableName", "EntitiesTableName", "BucketName"]:
        assert after[name] == before[name]
    assert dynamodb.scan(TableName=after["EventsTableName"])["Items"] == [item]

    for _ in range(2):
        s3.put_object(Bucket=after["BucketName"], Key="events/one", Body=b"data")
    s3.delete_object(Bucket=after["BucketName"], Key="events/one")
    discard = f"{SAM.with_name('python')} deploy/discard.py --stack"
    printed = checkout.run(f"{discard} again")
    assert "The stack again is deleted." in printed
    assert what_is_there(account) == there
    # What is gone already is no mistake, so that a discarding that was interrupted can be repeated.
    checkout.run(f"{discard} again")


def test_a_stack_with_protected_tables_is_not_discarded(checkout: Checkout) -> None:
    done = checkout.start(f"{SAM.with_name('python')} deploy/discard.py --stack {OTHER_STACK}")

    assert done.returncode != 0
    assert f"The tables of {OTHER_STACK} are protected from deletion." in done.stdout
    assert checkout.protected(OTHER_STACK) == {True}


def test_nothing_is_adopted_into_a_stack_that_stands_or_from_one_that_was_not_deleted(checkout: Checkout) -> None:
    assert "The stack webhook-intake stands already" in checkout.refusal("make adopt")
    assert "No stack missing was deleted in us-east-1" in checkout.refusal("make adopt STACK=missing")


def test_the_settings_in_samconfig_are_parameters_of_the_template() -> None:
    text = (template.ROOT / "samconfig.toml").read_text()
    section = text.split("[default.global.parameters.parameter_overrides]\n", 1)[1].split("\n[", 1)[0]
    names = re.findall(r'^(?:# )?(\w+) = "', section, re.MULTILINE)

    assert names[0] == "Architecture"
    assert set(names) <= template.original()["Parameters"].keys()
