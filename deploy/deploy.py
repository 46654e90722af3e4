"""`make deploy`: builds and deploys a stack with the settings in samconfig.toml, then says what to do next.

Everything that can be found wrong is found before anything is built, which takes a quarter of an hour the first time.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import next_steps
from account import Account, parameters
from build_environment import UMASK, build_environment
from problem import Problem, run
from settings import Parameters, Settings, given

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools"
PROTECTION = "DeletionProtection"
# The digest that makes SAM publish a version of each function; see docs/decisions/0024-versions-need-a-digest.md.
RELEASE = "Release"

# What DEPLOY_ARGS may not say, because it is said elsewhere, and where.
ELSEWHERE = {
    "--parameter-overrides": "in PARAMETERS",
    "--stack-name": "in STACK",
    "--config-env": "in STACK",
    "--config-file": "in samconfig.toml",
    "--template-file": "in template.yaml",
    "--template": "in template.yaml",
    "-t": "in template.yaml",
    "--region": "in AWS_DEFAULT_REGION",
    "--profile": "in AWS_PROFILE",
    "--guided": "in samconfig.toml",
    "-g": "in samconfig.toml",
}

DELETE = (
    "run `aws cloudformation delete-stack --stack-name {name}`, then "
    "`aws cloudformation wait stack-delete-complete --stack-name {name}`, and deploy again."
)
STUCK = {
    "ROLLBACK_COMPLETE": f"The first deployment of {{name}} failed, and what it created was removed: {DELETE}",
    "ROLLBACK_FAILED": f"The first deployment of {{name}} failed, and not all that it created could be removed: {DELETE}",
    "CREATE_FAILED": f"The first deployment of {{name}} failed: {DELETE}",
    "DELETE_FAILED": f"The stack {{name}} could not be deleted: look up in its events why, {DELETE}",
    "UPDATE_ROLLBACK_FAILED": (
        "An update of {name} failed and could not be taken back: correct what its events name, run "
        "`aws cloudformation continue-update-rollback --stack-name {name}`, and deploy again."
    ),
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stack", help="name of the stack; the default one is in samconfig.toml")
    arguments.add_argument(
        "--parameters", default="", help='settings to keep in samconfig.toml, as "Key=Value Key=Value"'
    )
    arguments.add_argument("--sam-arguments", default="", help="more arguments of `sam deploy`")
    options = arguments.parse_args()

    sam_arguments = _sam_arguments(options.sam_arguments)
    settings = Settings(ROOT, options.stack)
    declared = Parameters.of(ROOT)
    new = given(options.parameters)
    for name, value in new.items():
        declared.check(name, value, "PARAMETERS")
    settings.set(new)
    for name, value in settings.parameters().items():
        declared.check(name, value, settings.place)
        if name == RELEASE:
            raise Problem(f"{settings.place} sets {RELEASE}, which `make deploy` sets itself: leave it out.")
    declared.check_rules(settings.parameters(), settings.stack)
    account = Account(settings)
    deployment = Deployment(settings, declared, account, sam_arguments)
    with _alone():
        deployment.check()
        settings.save()
        deployment.run()
    if account.stack(settings.stack) is None:
        print(f"Nothing was deployed: the changes of {settings.stack} wait to be carried out.")
        return 0
    print()
    print(next_steps.text(settings, account))
    return 0


def _sam_arguments(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Problem(f"DEPLOY_ARGS cannot be read: {error}.") from None
    for word in words:
        if place := ELSEWHERE.get(word.split("=", 1)[0]):
            raise Problem(f"DEPLOY_ARGS cannot hold {word}: say it {place}, so that building and deploying agree.")
    return words


@contextmanager
def _alone() -> Iterator[None]:
    """One deployment at a time builds in this checkout; with another architecture a second one would replace the binaries."""
    folder = ROOT / ".aws-sam"
    folder.mkdir(exist_ok=True)
    with (folder / "deploy.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem("Another `make deploy` is at work in this folder: wait until it has ended.") from None
        yield


class Deployment:
    def __init__(self, settings: Settings, declared: Parameters, account: Account, sam_arguments: list[str]) -> None:
        self._settings = settings
        self._declared = declared
        self._account = account
        self._sam_arguments = sam_arguments

    def check(self) -> None:
        """Whether the stack is in a state in which it can be deployed."""
        name = self._settings.stack
        if (stack := self._account.stack(name)) is None:
            return
        status = stack["StackStatus"]
        if status in STUCK:
            raise Problem(STUCK[status].format(name=name))
        if status.endswith("_IN_PROGRESS"):
            raise Problem(
                f"The stack {name} is being changed ({status}): wait until that has ended "
                f"(`aws cloudformation describe-stacks --stack-name {name}`), and deploy again."
            )

    def run(self) -> None:
        name = self._settings.stack
        is_new = self._account.stack(name) is None
        chosen = self._parameters()
        self._sam("build", chosen)
        release = {RELEASE: self._release()}
        # CloudFormation could not remove a protected table when a first deployment fails: the table would stay without its
        # stack. So the tables are protected by an update, once the stack stands.
        self._sam("deploy", chosen | release | ({PROTECTION: "false"} if is_new else {}), self._sam_arguments)
        if is_new and self._account.stack(name):
            chosen = self._parameters()
            if chosen.get(PROTECTION) == "true":
                print(f"\nThe stack {name} stands. Protecting its tables from deletion.", flush=True)
                self._sam("deploy", chosen | release, [*self._sam_arguments, "--no-confirm-changeset"])

    def _release(self) -> str:
        """A digest of the functions that were built, and of all parameters."""
        digest = hashlib.sha256()
        digest.update(json.dumps(self._declared.all(self._settings.parameters()), sort_keys=True).encode())
        built = ROOT / ".aws-sam" / "build"
        for file in sorted(each for each in built.rglob("*") if each.is_file() and each.parent != built):
            digest.update(f"\0{file.relative_to(built)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def _parameters(self) -> dict[str, str]:
        """The settings, and the defaults of what the stack has otherwise: CloudFormation keeps the value of a parameter that
        is not given, so a setting that was removed from samconfig.toml would stay in force."""
        chosen = self._settings.parameters()
        for name, value in parameters(self._account.stack(self._settings.stack) or {}).items():
            if name in self._declared.declared and name not in chosen and name != RELEASE:
                default = self._declared.default(name)
                if default is not None and value != default:
                    chosen[name] = default
        return chosen

    def _sam(self, command: str, chosen: dict[str, str], arguments: list[str] | None = None) -> None:
        """Runs `sam build` or `sam deploy` with the environment of the stack. Both get the same parameters, as a file, in
        which no value needs quoting."""
        file = ROOT / ".aws-sam" / "parameters.yaml"
        file.write_text(json.dumps(chosen, indent=1))
        done = subprocess.run(
            [
                *(TOOLS / "sam" / "bin" / "sam", command, "--config-env", self._settings.environment),
                *("--parameter-overrides", f"file://{file}"),
                *(arguments or []),
            ],
            cwd=ROOT,
            env=build_environment(ROOT, TOOLS, os.environ) | {"AWS_DEFAULT_REGION": self._account.region},
            umask=UMASK,
            check=False,
        )
        if done.returncode:
            raise Problem(self._failed(command))

    def _failed(self, command: str) -> str:
        name = self._settings.stack
        if command == "build":
            return "The functions could not be built: the reason is above. Nothing was deployed."
        stack = self._account.stack(name)
        if stack and stack["StackStatus"] in STUCK:
            return STUCK[stack["StackStatus"]].format(name=name)
        before = "What it had before is still in force." if stack else "It was not created."
        return f"The stack {name} could not be deployed: the reason is above. {before}"


if __name__ == "__main__":
    run(main)
