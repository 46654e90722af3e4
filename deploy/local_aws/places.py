"""Where things are in the checkout, and this machine's architecture."""

from __future__ import annotations

import os
import platform
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
EVENTS = ROOT / "events"
TOOLS = ROOT / ".tools"
BUILD = ROOT / ".aws-sam" / "build"
# Everything that belongs to a running emulator; removed with it.
STATE = ROOT / ".local-aws"

# The functions run on this machine's processor, whatever architecture the deployment has.
ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(
    platform.machine().lower(), platform.machine()
)


def shown(path: Path) -> str:
    """The path as it is printed and written into commands, which are run in the checkout."""
    return os.path.relpath(path, ROOT)
