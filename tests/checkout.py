"""A checkout in which a user runs the documented commands, and the account that they work in."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
from stack import template
from stack.emulator import CREDENTIALS, REGION, Emulator
from stack.stack import QUICK_START, SAM
from stack.wait import wait_until


def client(account: Emulator, service: str) -> Any:
    return _client(account.endpoint, service)


# A client costs more than ten calls of it.
@functools.cache
def _client(endpoint: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def what_is_there(account: Emulator) -> dict[str, int]:
    return {
        "tables": len(client(account, "dynamodb").list_tables()["TableNames"]),
        "buckets": len(client(account, "s3").list_buckets()["Buckets"]),
        "secrets": len(client(account, "secretsmanager").list_secrets()["SecretList"]),
    }


def ended(account: Emulator, name: str) -> str:
    def state() -> str | None:
        [stack] = client(account, "cloudformation").describe_stacks(StackName=name)["Stacks"]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack["StackStatus"]

    return wait_until(state, what=f"the end of the deployment of {name}")


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
        shutil.copytree(template.ROOT / "docs" / "providers", folder / "docs" / "providers")
        # The emulator does not know metric math.
        self.write_template(template.without_metric_math(template.original()))
        nothing = "#!/bin/sh\n"
        for name, text in [("build/bin/cargo", CARGO), ("build/bin/cargo-lambda", nothing)]:
            self._write(f".tools/{name}", text)
        self._write("tests/install-tools", nothing)
        self._write("tests/install-cargo-tool", nothing)
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
            "PYTHONPATH": QUICK_START,
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


def documented() -> list[str]:
    """The commands that README.md gives for deployments, in its order."""
    section = (template.ROOT / "README.md").read_text().split("\n## Deploy\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\$ (make .*)$", section, re.MULTILINE)


DEPLOY, OTHER_WITH_PARAMETERS, OTHER, NEXT_STEPS = documented()
OTHER_STACK = "webhook-intake-test"
