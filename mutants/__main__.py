"""`make mutants`: changes the code in every small way that cargo-mutants knows, and says what no test notices.

All changes are compiled into one program, each behind a switch, and of each only the tests are run that reach it. Writes target/mutants/verdicts.json and missed.txt; exits with 1
if a mutant is missed that mutants/equivalent.toml does not explain.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from equivalent import EQUIVALENT, Equivalents, keys
from program import NotBuilt, Program, copy, listed
from switches import NOT_COMPILED, NOT_SWITCHED, Mutant
from verdicts import NOTICED, Test, reached, verdict

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "mutants"
PACKAGES = ["intake-aws", "intake-outbound", "intake-pipeline", "intake-providers", "intake-sqlite"]
COLUMNS = [*NOTICED, "equivalent", "missed", NOT_COMPILED, NOT_SWITCHED]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cargo-mutants", required=True, help="the program that lists the changes")
    parser.add_argument("--package", action="append", help=f"one of {', '.join(PACKAGES)}")
    parser.add_argument("--file", help="changes of this file only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="tests that are run side by side")
    arguments = parser.parse_args()
    packages = arguments.package or PACKAGES
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)

    folder = OUTPUT / "source"
    folder.mkdir(parents=True, exist_ok=True)
    copy(ROOT, folder)
    mutants = listed(folder, arguments.cargo_mutants, packages)
    if arguments.file:
        mutants = [mutant for mutant in mutants if mutant.file == arguments.file]
        packages = sorted({mutant.package for mutant in mutants})
    if not mutants:
        print("There is nothing to change.", file=sys.stderr)
        return 2
    try:
        equivalents = Equivalents.read(ROOT / EQUIVALENT)
        program = Program(folder, OUTPUT / "build", mutants, say)
        program.check()
        say(f"{len(mutants)} mutants, of which {len(mutants) - len(program.left_out)} are in the program; now its tests")
        found = judged(program, packages, arguments.jobs, say)
    except NotBuilt as error:
        print(f"the copy in {folder} was not built: {error}", file=sys.stderr)
        return 2
    return report(mutants, found, equivalents, complete=not (arguments.file or arguments.package))


def judged(program: Program, packages: list[str], jobs: int, say) -> dict[int, str]:
    """The verdict on each mutant: that of its package's tests first, and if they miss it, that of the other packages."""
    found = dict.fromkeys(program.mutants, "")
    for number, why in program.left_out.items():
        found[number] = why.split(":")[0]
    unnoticed = [mutant for mutant in program.mutants.values() if not found[mutant.number]]
    beside = reached(program.build(packages, everything=False), jobs, say)
    say(f"{len(beside)} tests beside the code, {sum(test.seconds for test in beside):.0f} s")
    unnoticed = judge(unnoticed, beside, lambda mutant, test: test.tests.package == mutant.package, jobs, found, say)
    say(f"{len(unnoticed)} are not noticed by the tests of their own package")
    if unnoticed:
        tests = reached(program.build(sorted(program.folders), everything=True), jobs, say)
        say(f"{len(tests)} tests of the workspace, {sum(test.seconds for test in tests):.0f} s")
        tried = {(test.tests.package, test.tests.target, test.name) for test in beside}

        def is_new(mutant: Mutant, test: Test) -> bool:
            return test.tests.package != mutant.package or (test.tests.package, test.tests.target, test.name) not in tried

        unnoticed = judge(unnoticed, tests, is_new, jobs, found, say)
        say(f"{len(unnoticed)} are not noticed by any test of Rust")
    return found


def judge(mutants: list[Mutant], tests: list[Test], fits, jobs: int, found: dict[int, str], say) -> list[Mutant]:
    """Runs the tests on each mutant; those that are missed."""
    reaching: dict[int, list[Test]] = defaultdict(list)
    for test in tests:
        for number in test.reaches:
            reaching[number].append(test)
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def one(mutant: Mutant) -> None:
        outcome = verdict(mutant.number, [test for test in reaching[mutant.number] if fits(mutant, test)])
        with lock:
            counts[outcome] += 1
            found[mutant.number] = outcome
            if counts.total() % 200 == 0:
                say(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, mutants))
    return [mutant for mutant in mutants if found[mutant.number] not in NOTICED]


def report(mutants: list[Mutant], found: dict[int, str], equivalents: Equivalents, complete: bool) -> int:
    named = keys(mutants)
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    missed, stale = [], []
    for mutant in mutants:
        outcome, key = found[mutant.number], named[mutant.number]
        if outcome in NOTICED and key in equivalents:
            stale.append(key)
        if outcome in ("missed", "not reached"):
            outcome = "equivalent" if key in equivalents else "missed"
            if outcome == "missed":
                missed.append((mutant.name, key))
        rows[mutant.package][outcome] += 1
    lines = ["| Package | " + " | ".join(COLUMNS) + " | noticed of those that can be seen |", "|---|" + "--:|" * (len(COLUMNS) + 1)]
    total: Counter[str] = Counter()
    for package, counts in sorted(rows.items()):
        total += counts
        lines.append(row(package, counts))
    lines.append(row("all", total))
    print("\n".join(lines))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    verdicts = [{"mutant": named[mutant.number], "place": mutant.name, "verdict": found[mutant.number]} for mutant in mutants]
    (OUTPUT / "verdicts.json").write_text(json.dumps(verdicts, indent=1) + "\n")
    (OUTPUT / "missed.txt").write_text("".join(f"{place}\n" for place, _ in missed))
    if missed:
        print("\nNo test notices these:\n" + "\n".join(place for place, _ in missed))
    for key in stale:
        print(f"{EQUIVALENT} says that nobody could notice this, and a test does: {key}")
    unknown = equivalents.unknown(set(named.values())) if complete else []
    for key in unknown:
        print(f"{EQUIVALENT} names a mutant that there is not: {key}")
    return 1 if missed or stale or unknown else 0


def row(name: str, counts: Counter[str]) -> str:
    noticed = sum(counts[outcome] for outcome in NOTICED)
    visible = noticed + counts["missed"]
    share = f"{100 * noticed / visible:.1f} %" if visible else ""
    return f"| {name} | " + " | ".join(str(counts[column]) for column in COLUMNS) + f" | {share} |"


if __name__ == "__main__":
    sys.exit(main())
