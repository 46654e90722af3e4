"""The local server under load."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from local_server import LocalServer
from stand_in import SECRET
from table import Row, Section

CONNECTIONS = 128


def section(folder: Path, binaries: Path, quick: bool) -> Section:
    """Signed deliveries from many connections to a server on a disk, each sent as soon as the last one is answered."""
    seconds = 3 if quick else 15
    # On the disk of the build, because a folder for temporary files may be in memory.
    with tempfile.TemporaryDirectory(dir=folder) as data:
        documents = {"machnet": {"keys": [{"label": "main", "secret": SECRET}]}}
        server = LocalServer(Path(data), documents, binary=binaries / "webhook-intake-local")
        try:
            keys = server.directory / "keys" / "machnet.json"
            command = [
                *[str(binaries / "server-load"), "--address", server.address, "--keys", str(keys)],
                *["--connections", str(CONNECTIONS), "--seconds", str(seconds)],
            ]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        finally:
            server.close()
    return Section(f"local server under load, {CONNECTIONS} connections", rows(json.loads(output)))


def rows(measured: dict[str, Any]) -> list[Row]:
    """What the sender measured."""
    return [
        Row("deliveries acknowledged", "1/s", [measured["per_second"]]),
        Row("half of the answers within", "ms", [measured["p50_milliseconds"]]),
        Row("99 % of the answers within", "ms", [measured["p99_milliseconds"]]),
    ]
