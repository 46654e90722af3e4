"""`webhook-intake serve` on a data directory of its own, with the keys of the stack's tests."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stack.process_group import ProcessGroup
from stack.stack import BINARIES, Answer
from stack.wait import wait_until


class LocalServer:
    """A development server."""

    # More options of `subprocess.Popen`.
    options: dict[str, Any] = {}

    def __init__(
        self,
        folder: Path,
        documents: dict[str, Any],
        arguments: Sequence[str] = (),
        binary: Path = BINARIES / "webhook-intake",
    ) -> None:
        """Starts it; each document is the content of one file of keys, and the arguments are those of `serve`."""
        self._binary = binary
        self._folder = folder
        self.directory = folder / "data"
        keys = self.directory / "keys"
        keys.mkdir(parents=True)
        for name, document in documents.items():
            (keys / f"{name}.json").write_text(json.dumps(document))
            (keys / f"{name}.json").chmod(0o600)
        self.start(arguments)

    def start(self, arguments: Sequence[str] = ()) -> None:
        """Starts it, again after an end or a kill."""
        self._output = self._folder / "serve.out"
        with self._output.open("wb") as output, (self._folder / "serve.log").open("ab") as log:
            self._process = ProcessGroup(
                [
                    self._binary,
                    "serve",
                    "--listen",
                    "127.0.0.1:0",
                    *arguments,
                    *self._data_directory(),
                ],
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                **self.options,
            )
        self.address = wait_until(self._address, what="the address of the development server")

    def _data_directory(self) -> list[str]:
        return ["--data-directory", str(self.directory)]

    def _address(self) -> str:
        first, newline, _ = self._output.read_text().partition("\n")
        return first.partition("http://")[2].split(" ")[0] if newline else ""

    def close(self) -> None:
        self._process.stop(patience=5)

    def kill(self) -> None:
        """As `kill -9` does."""
        self._process.kill()

    def log(self) -> list[dict[str, Any]]:
        """The lines of the log, of all its starts."""
        lines = (self._folder / "serve.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=40)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return Answer(response.status, dict(response.getheaders()), content, 0)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """A command on the data directory."""
        return subprocess.run(
            [self._binary, *arguments, *self._data_directory()],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
