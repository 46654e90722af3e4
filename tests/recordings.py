"""What is recorded of a run for `template_check`, and whether it is current."""

from __future__ import annotations

import json
from pathlib import Path

Recording = dict[str, list[str]]


def differences(file: Path, found: dict[str, set[str]], write: bool) -> list[str]:
    """How a run differs from what is recorded, by function; with `write` it is recorded first."""
    current: Recording = {binary: sorted(entries) for binary, entries in sorted(found.items())}
    if write:
        file.write_text(json.dumps(current, indent=2) + "\n")
    recorded: Recording = json.loads(file.read_text())
    return [
        f"{binary}: {entry} {'is new' if entry in found.get(binary, ()) else 'is gone'}"
        for binary in sorted(recorded.keys() | found.keys())
        for entry in sorted(set(recorded.get(binary, [])) ^ found.get(binary, set()))
    ]
