"""ministack, the emulator of AWS that the tests use too, as a process that outlives the command that started it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from places import STATE, TOOLS, shown
from problem import Problem

LOG = STATE / "ministack.log"
_RECORD = STATE / "emulator.json"
# Named in the command line of the process, which is how it is recognised.
_MARK = STATE / "emulator.pid"
_PYTHON = TOOLS / "tests" / "bin" / "python"
_READY_SECONDS = 30
_STOP_SECONDS = 5


@dataclass(frozen=True)
class Emulator:
    """A process that was started once."""

    pid: int
    port: int
    # Where it listens: the loopback interface, and on Linux the address at which containers reach this machine.
    addresses: list[str]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2):
            return True
        return False

    def runs(self) -> bool:
        """Whether the process is still there, and not another one under its number."""
        return str(_MARK) in _command(self.pid)

    def stop(self) -> None:
        for signal_number in [signal.SIGTERM, signal.SIGKILL]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal_number)
            given_up_at = time.monotonic() + _STOP_SECONDS
            while self.runs() and time.monotonic() < given_up_at:
                time.sleep(0.05)


def _command(pid: int) -> str:
    """The command line of a process; empty if there is no such process."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        return ""
    return subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True).stdout


def running() -> Emulator | None:
    """The emulator that an earlier command started, unless it has ended."""
    with contextlib.suppress(FileNotFoundError):
        emulator = Emulator(**json.loads(_RECORD.read_text()))
        if emulator.runs():
            return emulator
    return None


def start(port: int, addresses: list[str]) -> Emulator:
    """Starts the emulator with nothing in it, and waits until it answers."""
    if not (_PYTHON.with_name("ministack")).exists():
        raise Problem("The emulator is not installed; run `make tools-test`.")
    for address in addresses:
        _require_free(address, port)
    shutil.rmtree(STATE, ignore_errors=True)
    temporary = STATE / "tmp"
    temporary.mkdir(parents=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(STATE),
        "TMPDIR": str(temporary),
        "GATEWAY_PORT": str(port),
        "LAMBDA_EXECUTOR": "local",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    binds = [argument for address in addresses for argument in ("--bind", f"{address}:{port}")]
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            # As ministack's own command does it, which listens at one address only.
            [_PYTHON, "-m", "hypercorn", "ministack.app:app", "--workers", "0", *binds, "--pid", _MARK],
            env=environment,
            cwd=STATE,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    emulator = Emulator(process.pid, port, addresses)
    _RECORD.write_text(json.dumps(asdict(emulator)))
    given_up_at = time.monotonic() + _READY_SECONDS
    while not emulator.is_ready():
        if process.poll() is not None or time.monotonic() > given_up_at:
            emulator.stop()
            raise Problem(f"The emulator does not start; {shown(LOG)} says why.")
        time.sleep(0.05)
    return emulator


def _require_free(address: str, port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            raise Problem(
                f"Port {port} cannot be used ({error.strerror}); choose another, as in `make local-aws PORT={port + 1}`."
            ) from None
