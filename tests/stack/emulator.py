"""ministack, an emulator of AWS, as a private child process."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from .process_group import ProcessGroup
from .wait import wait_until

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

_given_ports: set[int] = set()


def free_port() -> int:
    """A port for another process to listen on; never the same one twice.

    Each process of a run has a range of its own, below the ports that the system gives to connections, so that nothing else
    takes the port before it is used.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 10_000 + worker % 11 * 2_000
    while True:
        port = random.randrange(first, first + 2_000)
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            if port not in _given_ports:
                _given_ports.add(port)
                return port


class Emulator:
    """Runs in a process group of its own, so that the functions that it started end with it."""

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        function_endpoint: str | None = None,
        programs: Path | None = None,
    ) -> None:
        """Starts it. A folder of programs, such as Node.js, is for functions that an interpreter runs."""
        self.port = port or free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log = folder / "ministack.log"
        temporary = folder / "tmp"
        temporary.mkdir()
        environment = {
            "PATH": os.pathsep.join([*([str(programs)] if programs else []), os.environ["PATH"]]),
            "HOME": str(folder),
            "TMPDIR": str(temporary),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            **CREDENTIALS,
            # What the functions inherit: their calls to AWS may go through the fault proxy.
            "AWS_ENDPOINT_URL": function_endpoint or self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "LAMBDA_EXECUTOR": "local",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }
        with self.log.open("wb") as log:
            self._process = ProcessGroup(
                [sys.executable, Path(__file__).with_name("quick_start") / "emulator.py"],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self._is_ready, what="the start of ministack")
        except AssertionError:
            self.stop()
            raise

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"ministack ended: {self.log.read_text()[-2000:]}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2):
            return True
        return False

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """The process stands still inside the `with` block; the functions that it started go on."""
        pid = self._process.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ends the emulator and every process of its group."""
        self._process.stop(patience=5)
