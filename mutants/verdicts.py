"""Runs for each mutant the tests that reach it, the quick ones first, until one notices."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from program import Tests

# A test that takes longer than this many times its usual time, and this much more, never ends.
TIMES = 5
MORE_SECONDS = 10
# Tests that usually take this long together are run in one process.
TOGETHER_SECONDS = 1.0
MAX_BYTES = 12 << 30


# Tests that take longer are not tried on the thousands of mutants.
MAX_TEST_SECONDS = 30
# A mutant of which the tests fail, or never end, is noticed.
NOTICED = ("caught", "endless")


@dataclass(frozen=True)
class Test:
    tests: Tests
    name: str
    seconds: float
    reaches: frozenset[int]


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(tests: Tests, names: Iterable[str], environment: dict[str, str], seconds: float) -> str:
    """`passed`, `failed` or `endless`."""
    process = subprocess.Popen(
        [tests.program, "--exact", "--quiet", "--test-threads", "1", *names],
        cwd=tests.folder,
        env={**os.environ, "CARGO_MANIFEST_DIR": str(tests.folder), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=limited,
    )
    try:
        return "failed" if process.wait(seconds) else "passed"
    except subprocess.TimeoutExpired:
        return "endless"
    finally:
        # What the tests have started goes too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def reached(programs: list[Tests], jobs: int, say: Callable[[str], None]) -> list[Test]:
    """All tests of these programs, each run by itself, with what they reach."""
    wanted = []
    for tests in programs:
        listing = [tests.program, "--list", "--format", "terse"]
        listed = subprocess.run(listing, cwd=tests.folder, check=True, stdout=subprocess.PIPE, text=True).stdout
        wanted += [(tests, line.removesuffix(": test")) for line in listed.splitlines() if line.endswith(": test")]

    def measured(entry: tuple[Tests, str]) -> Test | None:
        tests, name = entry
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "reached"
            began = time.monotonic()
            outcome = run(tests, [name], {"MUTANTS_REACHED": str(path)}, MAX_TEST_SECONDS)
            seconds = time.monotonic() - began
            if outcome != "passed":
                why = "takes too long" if outcome == "endless" else "fails without any mutant"
                say(f"{name} of {tests.package} {why}, and is left out")
                return None
            numbers = frozenset(map(int, path.read_text().split())) if path.exists() else frozenset()
        return Test(tests, name, seconds, numbers)

    with ThreadPoolExecutor(jobs) as pool:
        return [test for test in pool.map(measured, wanted) if test is not None]


def batches(tests: list[Test]) -> Iterable[list[Test]]:
    """Tests of one program, run together; the quick ones first."""
    of_program: dict[Tests, list[Test]] = defaultdict(list)
    for test in sorted(tests, key=lambda test: test.seconds):
        batch = of_program[test.tests]
        if batch and (sum(other.seconds for other in batch) + test.seconds > TOGETHER_SECONDS or len(batch) == 60):
            yield of_program.pop(test.tests)
        of_program[test.tests].append(test)
    yield from (batch for batch in of_program.values() if batch)


def verdict(number: int, tests: list[Test]) -> str:
    """`caught`, `endless`, `missed` or `not reached`."""
    if not tests:
        return "not reached"
    for batch in batches(tests):
        usual = sum(test.seconds for test in batch)
        outcome = run(batch[0].tests, [test.name for test in batch], {"MUTANT": str(number)}, TIMES * usual + MORE_SECONDS)
        if outcome != "passed":
            return "caught" if outcome == "failed" else "endless"
    return "missed"
