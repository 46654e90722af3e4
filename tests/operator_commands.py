"""`webhook-intake` as an operator of the deployed stack runs it."""

from __future__ import annotations

import os
import subprocess

from stack.emulator import CREDENTIALS, REGION
from stack.stack import BINARIES, Stack


def run(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": stack.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        **CREDENTIALS,
    }
    return subprocess.run(
        [BINARIES / "webhook-intake", *arguments],
        env=environment,
        cwd=stack.folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
