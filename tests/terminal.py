"""The command line on a terminal of its own, as a user sees it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from stack.stack import BINARIES
from stack.wait import wait_until

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """What the program sees, without what this run has set for its own output."""
    return {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **settings}


def plain(text: str) -> str:
    return COLOUR.sub("", text)


class OnTerminal:
    """`webhook-intake` with a terminal as its output, until the block ends."""

    def __init__(self, data: Path, *arguments: str, columns: int = 120, **settings: str) -> None:
        self.screen, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (40, columns))
        self.process = subprocess.Popen(
            [BINARIES / "webhook-intake", *arguments, "--data-directory", data],
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self.written = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        while True:
            try:
                some = os.read(self.screen, 65536)
            except OSError:  # The other end is closed.
                return
            if not some:
                return
            self.written += some

    @property
    def shown(self) -> str:
        return self.written.decode(errors="replace").replace("\r\n", "\n")

    def line(self, *words: str) -> str:
        """The first whole line with these words, as soon as it is there."""
        found = wait_until(lambda: self.lines(*words), what=f"a line with {words}")
        return found[0]

    def lines(self, *words: str) -> list[str]:
        whole = self.shown.rpartition("\n")[0].split("\n")
        return [line for line in whole if all(word in plain(line) for word in words)]

    def interrupt(self) -> int:
        """Presses Ctrl-C, and returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(timeout=60)
        self.reader.join(timeout=10)
        return code

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(timeout=10)
        os.close(self.screen)


def run(data: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs the program with pipes as its output."""
    return subprocess.run(
        [BINARIES / "webhook-intake", *arguments, "--data-directory", data],
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
