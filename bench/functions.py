"""The functions beside a lower bound and the same job in Python and Node.js, in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import events
from runtime_api import Program, Run, measure
from stand_in import SECRET, StandIn
from table import Row, Section, median, noise

PEERS = Path(__file__).resolve().parent / "peers"
OURS, BEFORE, BARE, AGAIN, PYTHON, NODE = "webhook-intake", "before", "bare", "bare again", "Python", "Node.js"
# What a function with 256 MB gets of a processor once it has started, and how far away the services are.
SHARE = 0.145
ROUND_TRIP_SECONDS = 0.020

UNITS = {"ready_ms": "ms", "first_ms": "ms", "warm_ms": "ms", "warm_cpu_us": "µs", "peak_mb": "MB"}


@dataclass(frozen=True)
class Places:
    """Where the programs are."""

    binaries: Path
    bare: Path
    before: Path | None
    python: Path
    node: Path
    bundles: Path


@dataclass(frozen=True)
class Job:
    """What the programs do, and how often while they are warm. Peers are asked less often, because they take longer."""

    title: str
    event: bytes
    warm_answer: str
    warm: int
    peers_warm: int
    programs: list[Program]


@dataclass(frozen=True)
class Scenario:
    """Where the services are, and what the function is given of a processor."""

    title: str
    endpoint: Callable[[StandIn], str]
    share: float | None = None


PLAIN = Scenario("plain HTTP", lambda stand_in: stand_in.plain)
SECURE = Scenario("TLS", lambda stand_in: stand_in.secure)
# Only the first answer is of interest: the warm ones are the same with less of a processor, one after the other.
FAR = Scenario(
    f"TLS, {ROUND_TRIP_SECONDS * 1000:.0f} ms away, {SHARE:.1%} of a processor once ready", lambda stand_in: stand_in.far, SHARE
)


def jobs(places: Places, quick: bool) -> list[Job]:
    few = 5 if quick else 1
    return [
        Job("webhook", events.webhook(SECRET), "a warm answer", 2000 // few, 500 // few, _programs(places, "machnet", "webhook")),
        Job(
            "processor, a batch of ten", events.batch(), "a warm batch", 500 // few, 100 // few, _programs(places, "processor", "processor")
        ),
    ]


def _programs(places: Places, ours: str, name: str) -> list[Program]:
    settings = {
        "QUEUE_URL": "http://queue.test/1/deliveries",
        "PAYLOADS_BUCKET": "payloads",
        "SECRET_ID": "machnet",
        "EVENTS_TABLE": "events",
        "ENTITIES_TABLE": "entities",
        "LOG_LEVEL": "INFO",
    }
    # The peers have their secret in a variable, which is less work than ours.
    peer_settings = settings | {"SECRET": SECRET, "POWERTOOLS_SERVICE_NAME": name, "POWERTOOLS_METRICS_NAMESPACE": "bench"}

    def rust(label: str, file: Path) -> Program:
        return Program(label, [str(file)], settings, file=file)

    bare = places.bare / f"bare-{name}"
    python_settings = peer_settings | {"LAMBDA_TASK_ROOT": str(PEERS), "_HANDLER": f"{name}.handler"}
    bundle = places.bundles / f"{name}.mjs"
    found = [
        rust(BARE, bare),
        rust(OURS, places.binaries / ours),
        rust(AGAIN, bare),
        Program(PYTHON, [str(places.python), "-m", "awslambdaric", f"{name}.handler"], python_settings, PEERS),
        Program(NODE, [str(places.node), str(bundle)], peer_settings, file=bundle),
    ]
    if places.before:
        found.insert(2, rust(BEFORE, places.before / ours))
    return found


def trusting(program: Program, endpoint: str, roots: Path) -> Program:
    """The program with AWS at this address, and with the test's authority in the place of the system's."""
    trust = {"SSL_CERT_FILE": str(roots), "AWS_CA_BUNDLE": str(roots), "NODE_EXTRA_CA_CERTS": str(roots)}
    environment = {**program.environment, "AWS_ENDPOINT_URL": endpoint, **trust}
    return Program(program.name, program.command, environment, program.folder, program.file)


def in_turn(programs: list[Program], round_number: int) -> list[Program]:
    """Every other round goes the other way, so that what changes while a round runs favours nobody."""
    return programs if round_number % 2 == 0 else programs[::-1]


def compare(
    job: Job, scenario: Scenario, rounds: int, stand_in: StandIn, roots: Path, log: Path
) -> Iterator[dict[str, list[Run]]]:
    """The runs so far after each round, by program."""
    runs: dict[str, list[Run]] = {program.name: [] for program in job.programs}
    for round_number in range(rounds):
        for program in in_turn(job.programs, round_number):
            warm = job.peers_warm if program.name in {PYTHON, NODE} else job.warm
            prepared = trusting(program, scenario.endpoint(stand_in), roots)
            warm = 0 if scenario.share else warm
            runs[program.name].append(measure(prepared, job.event, warm, log, scenario.share))
        yield runs


def columns(places: Places) -> list[str]:
    return [OURS, *[BEFORE] * bool(places.before), BARE, PYTHON, NODE]


def section(job: Job, scenario: Scenario, runs: dict[str, list[Run]], names: list[str]) -> Section:
    """The medians of the rounds."""
    figures = {
        "ready_ms": "ready",
        "first_ms": "first answer",
        "warm_ms": job.warm_answer,
        "warm_cpu_us": f"CPU of {job.warm_answer}",
        "peak_mb": "peak memory",
    }
    found = Section(f"{job.title}, {scenario.title}")
    values = {name: {each.name: [getattr(run, each.name) for run in of] for each in fields(Run)} for name, of in runs.items()}
    # A cold start is the two together.
    for of in values.values():
        of["cold_ms"] = [ready + first for ready, first in zip(of["ready_ms"], of["first_ms"], strict=True)]
    labels = {"ready_ms": figures["ready_ms"], "first_ms": figures["first_ms"], "cold_ms": "ready and first answer", **figures}
    for key, label in labels.items():
        if median(values[OURS][key]) is not None:
            cells = [median(values[name][key]) for name in names]
            found.rows.append(Row(label, UNITS.get(key, "ms"), cells, noise(values[BARE][key], values[AGAIN][key])))
    return found


def sizes(job: Job, names: list[str]) -> Row:
    """What is deployed, where it is one file."""
    size = {program.name: program.file.stat().st_size / 1e6 for program in job.programs if program.file}
    return Row(f"{job.title.partition(',')[0]}, one file", "MB", [size.get(name) for name in names])
