"""`make local-aws`: an emulator of AWS with what the functions need, and the commands with which to try them.

Usage: local_aws up [--port PORT] | down | build
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

# What a build for Lambda shares with one for this machine is in the folder above.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import built
import emulator
import stack
from containers import Containers
from emulator import Emulator
from places import EVENTS, STATE, TOOLS, shown
from problem import Problem

_DEFAULT_PORT = 4566
_CREATED = STATE / "stack.json"
_TAMPERED = STATE / "machnet-tampered.json"
_SHELL = STATE / "shell"


def main() -> int:
    parser = argparse.ArgumentParser(prog="local_aws", description="AWS on this machine, for the functions.")
    commands = parser.add_subparsers(dest="command", required=True)
    up_parser = commands.add_parser("up", help="start the emulator and write what the next commands read")
    up_parser.add_argument("--port", type=int, help=f"where the emulator listens (default: {_DEFAULT_PORT})")
    commands.add_parser("down", help="stop everything")
    commands.add_parser("build", help="compile the functions for this machine")
    arguments = parser.parse_args()
    try:
        match arguments.command:
            case "up":
                return up(arguments.port)
            case "down":
                return down()
            case _:
                return built.build()
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1


def up(port: int | None) -> int:
    template = stack.template()
    containers = Containers.find()
    running = emulator.running()
    if running:
        environments = _reuse(running, port, template)
    else:
        reached_at = containers.own_address() if containers else None
        running = emulator.start(port or _DEFAULT_PORT, ["127.0.0.1", *([reached_at] if reached_at else [])])
        environments = _create(running, template)
    stack.write_environments(STATE, template, environments, running.endpoint)
    _write_tampered()
    _write_shell(running)
    hindrances = _prepare_sam_local(containers, running, template, environments)
    print(_next_steps(hindrances))
    return 0


def _create(running: Emulator, template: stack.Template) -> stack.Environments:
    print(f"The emulator runs at {running.endpoint} (process {running.pid}, log {shown(emulator.LOG)}).")
    account = stack.Account(running.endpoint)
    try:
        environments = account.create(template)
        filled = account.put_sample_keys()
    except BaseException:
        running.stop()
        raise
    _CREATED.write_text(json.dumps(stack.without_functions(template)))
    print(f"It holds what the functions of template.yaml need, and the sample keys in {', '.join(filled)}.")
    return environments


def _reuse(running: Emulator, port: int | None, template: stack.Template) -> stack.Environments:
    if port not in (None, running.port):
        raise Problem(f"The emulator runs already, on port {running.port}; run `make local-aws-down` first.")
    if not _CREATED.exists() or json.loads(_CREATED.read_text()) != stack.without_functions(template):
        raise Problem(
            "The emulator runs already, and does not hold what template.yaml asks for now; run `make local-aws-down`, then "
            "`make local-aws`."
        )
    print(f"The emulator runs already at {running.endpoint} (process {running.pid}); what it holds stays.")
    return stack.Account(running.endpoint).environments(template)


def _prepare_sam_local(
    containers: Containers | None, running: Emulator, template: stack.Template, environments: stack.Environments
) -> list[str]:
    """Writes what `sam local` reads; returns what keeps it from running, if anything does."""
    built.remove_local_template()
    hindrances = []
    try:
        built.require_built()
    except Problem as problem:
        hindrances.append(str(problem))
    try:
        _require_containers(containers, running, template)
    except Problem as problem:
        hindrances.append(str(problem))
    if not hindrances:
        built.write_local_template(environments, running.port)
    return hindrances


def _require_containers(containers: Containers | None, running: Emulator, template: stack.Template) -> None:
    if containers is None:
        raise Problem("Docker (or Finch on macOS) does not answer; start it, then run `make local-aws` again.")
    containers.require_image(template["Globals"]["Function"]["Runtime"])
    if (containers.own_address() or "127.0.0.1") not in running.addresses:
        raise Problem(
            "The emulator was started before Docker, and containers do not reach it; run `make local-aws-down`, then "
            "`make local-aws`."
        )


def _write_tampered() -> None:
    """Machnet's sample with a body that its signature does not cover."""
    event = json.loads((EVENTS / "machnet.json").read_text())
    event["body"] += " "
    _TAMPERED.write_text(json.dumps(event, indent=2) + "\n")


def _write_shell(running: Emulator) -> None:
    """The tools' place, and the emulator in place of AWS for the terminal that reads this file."""
    variables = {"AWS_ENDPOINT_URL": running.endpoint, "AWS_REGION": stack.REGION, "AWS_DEFAULT_REGION": stack.REGION}
    variables |= stack.CREDENTIALS | {"SAM_CLI_TELEMETRY": "0"}
    folder = STATE / "bin"
    folder.mkdir(exist_ok=True)
    for tool in [TOOLS / "sam" / "bin" / "sam", TOOLS / "build" / "bin" / "cargo-lambda"]:
        (folder / tool.name).unlink(missing_ok=True)
        (folder / tool.name).symlink_to(tool)
    lines = [f'export PATH="{folder}:$PATH"\n', *(f"export {name}={value}\n" for name, value in variables.items())]
    _SHELL.write_text("".join(lines) + "unset AWS_PROFILE AWS_SESSION_TOKEN\n")


def _next_steps(hindrances: list[str]) -> str:
    here = "--invoke-address 127.0.0.1"
    sam = f"--template {shown(built.LOCAL_TEMPLATE)}"
    with_sam = [
        f"sam local invoke MachnetFunction {sam} --event events/machnet.json",
        f"sam local invoke MachnetFunction {sam} --event {shown(_TAMPERED)}",
        f"sam local invoke ProcessorFunction {sam} --event events/processor.json",
        f"sam local start-api {sam} --warm-containers LAZY",
        "cargo run -- send machnet --url http://127.0.0.1:3000 --key events/keys/machnet-secret.json  # in another terminal",
    ]
    return "\n".join(
        [
            "",
            "In each terminal first, which then has the tools, and the emulator in place of AWS:",
            f"  . {shown(_SHELL)}",
            "",
            "With cargo-lambda:",
            f"  cargo lambda watch --env-file {shown(STATE / 'machnet.env')} {here}",
            f"  cargo lambda invoke machnet {here} --data-file events/machnet.json  # in another terminal",
            f"  cargo lambda invoke machnet {here} --data-file {shown(_TAMPERED)}",
            "",
            "With SAM, in containers:" if not hindrances else "SAM cannot run them in containers yet:",
            *(f"  {line}" for line in hindrances or with_sam),
            "",
            "events/README.md shows the answers. `make local-aws-down` stops the emulator; what it holds is gone then.",
        ]
    )


def down() -> int:
    running = emulator.running()
    if running:
        running.stop()
    containers = Containers.find()
    removed = containers.remove_functions() if containers else 0
    built.remove_local_template()
    shutil.rmtree(STATE, ignore_errors=True)
    print("The emulator is stopped, and what it held is gone." if running else "No emulator was running.")
    if removed:
        print(f"`sam local` had left containers behind; they are removed: {removed}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
