"""Deployments as a user makes them: with nothing there yet, again, and one that fails."""

from __future__ import annotations

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


def test_a_first_deployment_that_fails_leaves_nothing(account: Emulator) -> None:
    before = what_is_there(account)
    what = kept()
    # Fails after everything else was created, because the function does not exist.
    url = {"TargetFunctionArn": f"arn:aws:lambda:{REGION}:000000000000:function:missing", "AuthType": "AWS_IAM"}
    what["Resources"]["Fails"] = {"Type": "AWS::Lambda::Url", "DependsOn": list(what["Resources"]), "Properties": url}

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
    echo '#!/bin/sh' >"target/lambda/$binary/bootstrap"
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
        # JSON is YAML. The emulator does not know metric math.
        (folder / "template.yaml").write_text(json.dumps(template.without_metric_math(template.original())))
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

    def run(self, command: str) -> str:
        """Runs a documented command where nobody can answer a question."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.account.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_POLL_DELAY": "1",
            **CREDENTIALS,
        }
        done = subprocess.run(
            command,
            shell=True,
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def builds(self) -> list[str]:
        return (self.folder / "built.log").read_text().splitlines()

    def set(self, old: str, new: str) -> None:
        """Edits samconfig.toml."""
        file = self.folder / "samconfig.toml"
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))

    def stack(self) -> dict[str, Any]:
        [stack] = client(self.account, "cloudformation").describe_stacks(StackName="webhook-intake")["Stacks"]
        return stack

    def parameters(self) -> dict[str, str]:
        return {each["ParameterKey"]: each["ParameterValue"] for each in self.stack()["Parameters"]}

    def architectures(self) -> set[str]:
        functions = client(self.account, "lambda").list_functions()["Functions"]
        return {each for function in functions for each in function["Architectures"]}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, account: Emulator) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"), account)


def documented() -> str:
    """The command that README.md gives first for a deployment."""
    section = (template.ROOT / "README.md").read_text().split("\n## Deploy\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\$ (.*)$", section, re.MULTILINE)[0]


def test_the_documented_command_deploys_with_every_default(checkout: Checkout) -> None:
    checkout.run(documented())

    defaults = {name: str(each["Default"]) for name, each in template.original()["Parameters"].items()}
    assert checkout.stack()["StackStatus"] == "CREATE_COMPLETE"
    assert checkout.parameters() == defaults
    assert len(checkout.builds()) == len(template.binaries(template.original())) == 8
    assert all("--arm64" in each for each in checkout.builds())
    assert checkout.architectures() == {"arm64"}


def test_a_second_deployment_without_changes_succeeds(checkout: Checkout) -> None:
    assert "No changes to deploy" in checkout.run(documented())
    assert checkout.stack()["StackStatus"] == "CREATE_COMPLETE"


def test_the_architecture_is_said_once_for_build_and_deployment(checkout: Checkout) -> None:
    (checkout.folder / "built.log").unlink()
    checkout.set('Architecture = "arm64"', 'Architecture = "x86_64"')
    checkout.run(documented())

    assert checkout.stack()["StackStatus"] == "UPDATE_COMPLETE"
    assert not any("--arm64" in each for each in checkout.builds())
    assert checkout.architectures() == {"x86_64"}


def test_a_setting_of_samconfig_is_deployed(checkout: Checkout) -> None:
    checkout.set('# AlarmEmail = "operations@example.com"', 'AlarmEmail = "operations@example.com"')
    checkout.run(documented())

    assert checkout.stack()["StackStatus"] == "UPDATE_COMPLETE"
    assert checkout.parameters()["AlarmEmail"] == "operations@example.com"


def test_the_settings_in_samconfig_are_parameters_of_the_template() -> None:
    text = (template.ROOT / "samconfig.toml").read_text()
    section = text.split("[default.global.parameters.parameter_overrides]\n", 1)[1].split("\n[", 1)[0]
    names = re.findall(r'^(?:# )?(\w+) = "', section, re.MULTILINE)

    assert names[0] == "Architecture"
    assert set(names) <= template.original()["Parameters"].keys()
