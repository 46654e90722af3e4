"""`webhook-intake` as an operator of the deployed stack runs it."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from stack.emulator import CREDENTIALS, REGION
from stack.stack import BINARIES, Stack


def run(
    stack: Stack,
    *arguments: str,
    credentials: dict[str, str] | None = None,
    endpoint: str | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Runs a command, with the emulator's own credentials and endpoint or those given. The options are those of
    `subprocess.run`."""
    return subprocess.run(
        [BINARIES / "webhook-intake", *arguments],
        env=environment(stack, credentials, endpoint),
        cwd=stack.folder,
        capture_output=True,
        **({"text": True, "timeout": 120} | ({} if "input" in options else {"stdin": subprocess.DEVNULL}) | options),
    )


def started(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    """Starts a command that runs until it is interrupted."""
    return subprocess.Popen(
        [BINARIES / "webhook-intake", *arguments],
        env=environment(stack),
        cwd=stack.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment(stack: Stack, credentials: dict[str, str] | None = None, endpoint: str | None = None) -> dict[str, str]:
    """What a command sees."""
    return {
        "PATH": os.environ["PATH"],
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint or stack.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        **(CREDENTIALS if credentials is None else credentials),
    }
