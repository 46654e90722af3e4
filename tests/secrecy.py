"""The search for secrets in all logs and stored data of a run."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from confidential import ACCESS_TOKEN
from stack.stack import Stack

# The one place where a secret has to be, by file and kind: the endpoint gives the tokens away. That they are found there
# shows in every run that the search finds.
EXPECTED = {("token-answers.log", ACCESS_TOKEN)}


@dataclass(frozen=True)
class Report:
    """What was searched, and what was found where it must not be. Never holds a secret."""

    secrets: Counter[str]
    files: int
    lines: int
    size_bytes: int
    found: list[str]
    expected: int

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}s" for kind, count in sorted(self.secrets.items()))
        places = "; ".join(self.found) or "nowhere"
        return (
            f"searched {self.files} files, {self.lines} lines, {self.size_bytes} bytes for {kinds}: found {places}"
            f" ({self.expected} access tokens where they belong, in the token endpoint's answers)"
        )


def forms(secret: str) -> dict[str, str]:
    """How a secret may be written, each form under its name."""
    data = secret.encode()
    written = {
        "as it is": secret,
        "in hex": data.hex(),
        "in upper-case hex": data.hex().upper(),
        "as numbers": ", ".join(str(byte) for byte in data),
    }
    # Inside a longer text it may start at any of three offsets of a group. Characters that depend on neighbours are cut off.
    for before in range(3):
        text = base64.b64encode(b"\0" * before + data)[[0, 2, 3][before] :].rstrip(b"=")
        text = text[: len(text) - (0 if (before + len(data)) % 3 == 0 else 1)]
        written[f"in base64, at {before}"] = text.decode()
        written[f"in base64url, at {before}"] = text.decode().replace("+", "-").replace("/", "_")
    return written


def search(files: list[Path], secrets: dict[str, str]) -> Report:
    """Looks for each form of each secret in these files."""
    names = {
        text: (kind, form) for secret, kind in secrets.items() for form, text in reversed(forms(secret).items())
    }
    lines, size_bytes, found, expected = 0, 0, Counter[str](), set()
    for file in files:
        content = file.read_bytes()
        lines += content.count(b"\n")
        size_bytes += len(content)
    if names and files:
        grep = ["grep", "--only-matching", "--text", "--with-filename", "--null", "--fixed-strings", "--file=-", "--"]
        done = subprocess.run(
            [*grep, *files],
            input="\n".join(names),
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
        )
        assert done.returncode in {0, 1}, "grep failed"
        for match in done.stdout.splitlines():
            file, text = match.split("\0", 1)
            kind, form = names[text]
            if (Path(file).name, kind) in EXPECTED:
                expected.add(text)
            else:
                found[f"{kind} {form} in {Path(file).name}"] += 1
    places = [f"{place} ({times} times)" for place, times in sorted(found.items())]
    return Report(Counter(secrets.values()), len(files), lines, size_bytes, places, len(expected))


def left_behind(stack: Stack, run: Path, folder: Path) -> list[Path]:
    """What a run with this stack has left behind so far."""
    return sorted([*logs(run), *in_the_emulator(stack, folder)])


def logs(run: Path) -> list[Path]:
    """Every log of a run.

    They are those of the functions' processes, of the emulator, of the functions' requests to AWS (with every document that
    went to the queue) and of the answers that they gave.
    """
    return list(run.rglob("*.log"))


def in_the_emulator(stack: Stack, folder: Path) -> list[Path]:
    """Writes the emulator's contents into files in `folder`, which must not exist."""
    folder.mkdir()
    for name, texts in {
        "events-table": (json.dumps(item, default=str) for item in stack.items()),
        "entities-table": (json.dumps(item, default=str) for item in stack.entities()),
        "cloudwatch-logs": cloudwatch_lines(stack),
        "queues": (text for queue in ["QueueUrl", "DeadLetterQueueUrl"] for text in stack.peek(queue)),
        "configuration": configuration(stack),
    }.items():
        (folder / f"{name}.txt").write_text("".join(f"{text}\n" for text in texts))
    for number, key in enumerate(stack.objects("")):
        (folder / f"object-{number}.bin").write_bytes(key.encode() + b"\n" + stack.object(key))
    return list(folder.iterdir())


def cloudwatch_lines(stack: Stack) -> Iterator[str]:
    client = stack.client("logs")
    for group in client.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        yield name
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=name):
            yield from (event["message"] for event in page["events"])


def configuration(stack: Stack) -> Iterator[str]:
    """Configuration that is readable to anybody with access to the stack."""
    yield json.dumps(stack.outputs)
    for function in stack.client("lambda").list_functions()["Functions"]:
        yield json.dumps(function)
