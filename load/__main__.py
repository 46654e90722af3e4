"""`make load`: puts the stack and the local server under load, lets things go wrong, and accounts for every id afterwards.

Writes target/load/report.txt, plot.svg and report.json. Exits with 1 if anything does not balance.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "deploy")]

import hostile  # noqa: E402
import load_report  # noqa: E402
from run import Run, dumped, run  # noqa: E402
from server_world import ServerWorld  # noqa: E402
from stack_world import StackWorld  # noqa: E402
from traffic import Keys  # noqa: E402

OUTPUT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "load"
PARTS = ["stack", "server", "hostile"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1, help="how long each run sends")
    parser.add_argument("--seed", type=int, default=1, help="what is drawn: traffic and disturbances")
    parser.add_argument("--only", action="append", choices=PARTS, help="leave the other parts out")
    arguments = parser.parse_args()
    parts = arguments.only or PARTS
    keys, seconds = Keys(), arguments.minutes * 60
    OUTPUT.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    said: list[str] = []
    # On the disk of the build, because a folder for temporary files may be in memory.
    with tempfile.TemporaryDirectory(dir=OUTPUT) as folder:
        if "stack" in parts:
            _say("The stack on the emulator")
            (place := Path(folder) / "stack").mkdir()
            stack = StackWorld(place, keys, arguments.seed)
            try:
                # The emulator answers some 20 requests a second on two processors.
                runs.append(run("Stack", stack, keys, seconds, arguments.seed, rate=4))
            finally:
                stack.close()
        if "server" in parts:
            _say("The local server")
            (place := Path(folder) / "server").mkdir()
            server = ServerWorld(place, keys)
            try:
                runs.append(run("Local server", server, keys, seconds, arguments.seed, rate=40))
            finally:
                server.close()
        if runs:
            said.append(load_report.text(runs))
        if "hostile" in parts:
            _say("Hostile traffic at the local server")
            (place := Path(folder) / "hostile").mkdir()
            attacks = hostile.run(place, keys)
            said.append(hostile.text(attacks))
        else:
            attacks = []
    report = "\n\n".join(said) + "\n"
    (OUTPUT / "report.txt").write_text(report)
    (OUTPUT / "report.json").write_text(dumped(runs))
    if runs:
        (OUTPUT / "plot.svg").write_text(load_report.plot(runs))
    print(report)
    return 1 if any(each.account.problems for each in runs) or hostile.problems(attacks) else 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
