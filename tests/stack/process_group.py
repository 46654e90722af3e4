"""A child process with everything that it starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class ProcessGroup:
    """Ends as a whole, and no later than this process, even if this process is killed and cannot clean up."""

    def __init__(self, command: Sequence[str | Path], **options: Any) -> None:
        """Starts the command; the options are those of `subprocess.Popen`."""
        self.process = subprocess.Popen(command, start_new_session=True, **options)
        # It waits on a pipe that nobody writes to. The pipe closes when this process is gone.
        self._guard = subprocess.Popen(
            ["sh", "-c", 'read -r _; kill -KILL "-$1"', "sh", str(self.process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def poll(self) -> int | None:
        return self.process.poll()

    def stop(self, patience: float) -> None:
        """Asks the group to end, and kills what is left of it after `patience` seconds."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=patience)
        self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._guard.kill()
        self._guard.wait()
        assert self._guard.stdin
        self._guard.stdin.close()
