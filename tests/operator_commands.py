"""`webhook-intake` as an operator of the deployed stack runs it."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from stack.emulator import CREDENTIALS, REGION
from stack.stack import BINARIES, Stack


def run(
    stack: Stack, *arguments: str, credentials: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Runs a command, with the emulator's own credentials or those given. The options are those of `subprocess.run`."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": stack.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        **(CREDENTIALS if credentials is None else credentials),
    }
    return subprocess.run(
        [BINARIES / "webhook-intake", *arguments],
        env=environment,
        cwd=stack.folder,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        **({"text": True} | options),
    )
