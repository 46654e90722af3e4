"""The functions as `sam build` made them, and the template with which `sam local` runs them against the emulator."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from pathlib import Path

from samcli.yamlhelper import yaml_dump, yaml_parse

from build_environment import UMASK, build_environment
from containers import HOST, HOST_GATEWAY
from places import ARCHITECTURE, BUILD, ROOT, STATE, TOOLS
from problem import Problem
from stack import CREDENTIALS, REGION, Environments

LOCAL_TEMPLATE = BUILD / "local.yaml"
# SAM reads its settings from the template's folder.
SETTINGS = BUILD / "samconfig.toml"
ENVIRONMENTS = STATE / "env.json"

_BUILD_COMMAND = "`make local-aws-build` (a quarter of an hour the first time), then `make local-aws` again"
# `e_machine` of an ELF file.
_MACHINES = {62: "x86_64", 183: "arm64"}


def build() -> int:
    """Compiles the functions for this machine; returns the exit code of `sam build`."""
    BUILD.parent.mkdir(exist_ok=True)
    with (BUILD.parent / "deploy.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # It may deploy for another architecture, and builds in the same folder.
            raise Problem("`make deploy` is at work in this folder; wait until it has ended.") from None
        return _sam_build()


def _sam_build() -> int:
    command = [TOOLS / "sam" / "bin" / "sam", "build", "--parameter-overrides", f"Architecture={ARCHITECTURE}"]
    code = subprocess.run(command, cwd=ROOT, env=build_environment(ROOT, TOOLS, os.environ), umask=UMASK).returncode
    if code == 0:
        print(f"\nThe functions are built for {ARCHITECTURE}. `make local-aws` prints the commands that run them here.")
    return code


def require_built() -> None:
    """Refuses functions that are not there, or were built for another machine."""
    built = BUILD / "template.yaml"
    if not built.exists():
        raise Problem(f"The functions are not built; run {_BUILD_COMMAND}.")
    for name, resource in yaml_parse(built.read_text())["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            architecture = _architecture(BUILD / resource["Properties"]["CodeUri"] / "bootstrap")
            if architecture != ARCHITECTURE:
                raise Problem(
                    f"{name} is built for {architecture}, and this machine is {ARCHITECTURE}; run {_BUILD_COMMAND}."
                )


def _architecture(binary: Path) -> str:
    try:
        with binary.open("rb") as file:
            header = file.read(20)
    except FileNotFoundError:
        return "nothing"
    return _MACHINES.get(int.from_bytes(header[18:20], "little"), "another machine")


def write_local_template(environments: Environments, port: int) -> None:
    """Writes what `sam local` reads: a copy of the built template, the variables' values, and its settings.

    `env.json` only sets variables that the template declares, so the copy declares those by which a function finds AWS.
    They are in both: the terminal's own variables would replace the template's values.
    """
    of_aws = {"AWS_ENDPOINT_URL": f"http://{HOST}:{port}", "AWS_REGION": REGION, **CREDENTIALS}
    template = yaml_parse((BUILD / "template.yaml").read_text())
    shared = template["Globals"]["Function"]
    shared["Architectures"] = [ARCHITECTURE]
    shared["Environment"]["Variables"] |= of_aws
    LOCAL_TEMPLATE.write_text(yaml_dump(template))
    values = {name: variables | of_aws for name, variables in environments.items()}
    ENVIRONMENTS.write_text(json.dumps(values, indent=2) + "\n")
    settings = {"env_vars": str(ENVIRONMENTS), "add_host": [HOST_GATEWAY], "skip_pull_image": True}
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    commands = ["local_invoke", "local_start_api", "local_start_lambda"]
    sections = "".join(f"\n[default.{command}.parameters]\n{lines}" for command in commands)
    SETTINGS.write_text(f"version = 0.1\n{sections}")


def remove_local_template() -> None:
    for file in [LOCAL_TEMPLATE, SETTINGS]:
        file.unlink(missing_ok=True)
