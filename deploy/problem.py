"""What keeps a command from being carried out, in one sentence that says what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn


class Problem(Exception):
    """A sentence for the user."""


def run(command: Callable[[], int]) -> NoReturn:
    """Runs a command to its end as a process; a problem is the one thing that it then prints."""
    try:
        sys.exit(command())
    except Problem as problem:
        sys.exit(f"{problem}")
    except KeyboardInterrupt:
        sys.exit(130)
