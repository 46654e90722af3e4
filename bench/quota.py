"""A share of one processor for a process, as Lambda gives it once a function has started.

Lambda gives a function its share of a processor by its memory: 1,769 MB get a whole one, 256 MB 14 %. While a function starts it has
a whole one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from abc import ABC, abstractmethod
from pathlib import Path

PERIOD_MICROSECONDS = 20_000
VERSION_1 = Path("/sys/fs/cgroup/cpu")
VERSION_2 = Path("/sys/fs/cgroup")


def quota_microseconds(share: float) -> int:
    """What a share of a processor is of each period."""
    return round(PERIOD_MICROSECONDS * share)


class Quota(ABC):
    """Limits one process from its creation to `close`."""

    @abstractmethod
    def close(self) -> None:
        """Ends the limit. The process has ended before, or runs on without it."""


class CgroupQuota(Quota):
    """The kernel's own limit, in a group of the process's own."""

    def __init__(self, process_id: int, share: float) -> None:
        version_1 = (VERSION_1 / "cpu.cfs_quota_us").exists()
        self._folder = (VERSION_1 if version_1 else VERSION_2) / f"webhook-intake-bench-{process_id}"
        self._folder.mkdir()
        try:
            if version_1:
                (self._folder / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
                (self._folder / "cpu.cfs_quota_us").write_text(str(quota_microseconds(share)))
            else:
                (self._folder / "cpu.max").write_text(f"{quota_microseconds(share)} {PERIOD_MICROSECONDS}")
            (self._folder / "cgroup.procs").write_text(str(process_id))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        # A group is removed once its last process is gone, which its exit may still be on its way to.
        with contextlib.suppress(OSError):
            self._folder.rmdir()


class StopAndContinue(Quota):
    """Stops the process for the rest of each period. Coarser than the kernel's limit: a process that waits uses up its share too."""

    def __init__(self, process_id: int, share: float) -> None:
        self._process_id = process_id
        self._running = quota_microseconds(share) / 1e6
        self._stopped = (PERIOD_MICROSECONDS - quota_microseconds(share)) / 1e6
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._alternate, daemon=True)
        self._thread.start()

    def _alternate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            while not self._ended.wait(self._running):
                os.kill(self._process_id, signal.SIGSTOP)
                self._ended.wait(self._stopped)
                os.kill(self._process_id, signal.SIGCONT)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


def limit(process_id: int, share: float) -> Quota:
    """The best limit that this machine allows. A group of the kernel's needs root."""
    try:
        return CgroupQuota(process_id, share)
    except OSError:
        return StopAndContinue(process_id, share)
