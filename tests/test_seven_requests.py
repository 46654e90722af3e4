"""The seven spoiled requests of docs/refused.md, run as the page prints them, from refusal to fix."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from stack.emulator import free_port
from stack.stack import BINARIES
from stack.template import ROOT

PAGE = ROOT / "docs" / "refused.md"
ADDRESS = "127.0.0.1:8080"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MEMBERS = ["status", "type", "instance", "delivery_id"]

# Around each command: what it printed goes to a file, and its answer's id is what the next `explain` is given.
START = """
set -u
wait_for_server() {{ until curl -sS -o /dev/null http://{address}/health 2>/dev/null; do command sleep 0.1; done; }}
trap 'kill $(jobs -p)' EXIT
"""
COMMAND = """
started=$EPOCHREALTIME
{{
{command}
}} >{out} 2>&1
echo "$started $EPOCHREALTIME" >{out}.times
id=$(sed -n 's/.*urn:uuid:\\([0-9a-f-]*\\).*/\\1/p' {out}); ID=${{id:-${{ID-}}}}
"""


@dataclass
class Command:
    """A command of the page, and what the page says that it prints."""

    text: str
    printed: list[str] = field(default_factory=list)

    @property
    def is_server(self) -> bool:
        return self.text.endswith("&")

    @property
    def is_post(self) -> bool:
        return self.text.startswith("post ")

    @property
    def is_explain(self) -> bool:
        return self.text.startswith("webhook-intake explain ")


def commands() -> list[Command]:
    section = PAGE.read_text().partition("## Seven spoiled requests")[2].partition("When nothing is found")[0]
    found: list[Command] = []
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:]))
            elif _is_open(found[-1]):
                found[-1].text += f"\n{line}"
            else:
                found[-1].printed.append(line)
    return found


def _is_open(command: Command) -> bool:
    """Whether the shell reads on: after a backslash, or inside quotes."""
    parsed = subprocess.run(["bash", "-n", "-c", command.text], capture_output=True, text=True)
    return command.text.endswith("\\") or "unexpected EOF" in parsed.stderr


def script(all_commands: list[Command], address: str, folder: Path) -> str:
    parts = [START.format(address=address)]
    for number, command in enumerate(all_commands):
        text = command.text.replace(ADDRESS, address)
        if command.is_server:
            parts.append(text.replace("serve", f"serve --listen {address}").removesuffix("&") + ">/dev/null 2>&1 &\nwait_for_server\n")
            continue
        if command.is_explain:
            text = UUID.sub('"$ID"', text)
        parts.append(COMMAND.format(command=text, out=folder / str(number)))
    return "".join(parts)


def test_each_of_the_seven_is_refused_explained_and_put_right_as_the_page_prints_it(tmp_path: Path) -> None:
    work, printed = tmp_path / "work", tmp_path / "printed"
    work.mkdir()
    printed.mkdir()
    all_commands = commands()
    address = f"127.0.0.1:{free_port()}"

    subprocess.run(
        ["bash", "-c", script(all_commands, address, printed)],
        env={"PATH": f"{BINARIES}:{os.environ['PATH']}", "HOME": str(work)},
        cwd=work,
        stdin=subprocess.DEVNULL,
        timeout=180,
        check=False,
    )

    fixed = explained = 0
    for number, command in enumerate(all_commands):
        if command.is_server or not command.printed:
            continue
        found = (printed / str(number)).read_text()
        if command.is_post:
            [line] = command.printed
            expected, answer = json.loads(line), json.loads(found)
            assert {*answer} & {*MEMBERS} == {*expected}, (command.text, found)
            assert {name: answer[name] for name in ("status", "type") if name in answer} == {
                name: expected[name] for name in ("status", "type") if name in expected
            }, (command.text, found)
            fixed += "delivery_id" in answer
        elif command.is_explain:
            assert words(command.printed) == words(findings(found)), (command.text, found)
            explained += 1
        else:
            raise AssertionError(f"the page prints output of {command.text}, which is not compared")
    assert (explained, fixed) == (7, 7)


def findings(text: str) -> list[str]:
    """What `explain` prints from the first finding on."""
    lines = text.splitlines()
    return lines[next((number for number, line in enumerate(lines) if line.startswith("1. ")), len(lines)) :]


def words(lines: list[str]) -> list[str]:
    return " ".join(lines).split()
