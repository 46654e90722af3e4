"""What the processor needs for hostile, for long, and for ordinary deliveries.

    cargo build --release -p intake-functions --bin processor
    .tools/tests/bin/python tests/measurements/processor.py hostile --only identifiers
    .tools/tests/bin/python tests/measurements/processor.py together
    .tools/tests/bin/python tests/measurements/processor.py long --quota 0.29
    .tools/tests/bin/python tests/measurements/processor.py ordinary --binary target/release/processor --binary other/processor

The real function's process is invoked through Lambda's Runtime API; DynamoDB and S3 are stood in for by a server that takes as long
for each call as the real ones. It runs on this machine, in Python, so each line says how much of a processor the function and
the stand-in took: near 1.00 one of them bounded the run, and otherwise it was the latencies.

`--quota` puts the function under a quota of processor time once it is ready, as Lambda does: 0.29 is what a function with 512 MB
gets. It needs root and cgroup v1.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import adversarial  # noqa: E402
from queue_messages import SETTINGS, Record, batch, failed, neighbours, record  # noqa: E402
from stack.function_process import FunctionProcess, InvocationFailed, moment  # noqa: E402
from stack.stand_in import Latencies, StandIn  # noqa: E402
from stack.template import ROOT  # noqa: E402

BINARY = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "processor"
LATENCIES = Latencies(item=0.004, transaction=0.010, object=0.004)
FUNCTION_SECONDS = 30
MAX_RECEIVES = 12
QUOTA_PERIOD_MICROSECONDS = 20_000


@dataclass
class Invocation:
    """What an invocation took, and what it left."""

    seconds: float
    processor_seconds: float
    stand_in_seconds: float
    peak_megabytes: float
    failed: list[Record]

    def __str__(self) -> str:
        return (
            f"{self.seconds:5.2f} s, CPU {self.processor_seconds:5.2f} s ({self.processor_seconds / self.seconds:.2f}), "
            f"stand-in {self.stand_in_seconds / self.seconds:.2f}, peak {self.peak_megabytes:5.1f} MB"
        )


class Processor:
    """The function's process, its stand-ins, and what it wrote to its log."""

    def __init__(self, binary: Path, folder: Path, latencies: Latencies, quota: float | None = None) -> None:
        self.stand_in = StandIn(latencies)
        log = folder / f"lines-{time.monotonic_ns()}"
        self.function = FunctionProcess(binary, log, self.stand_in.endpoint, SETTINGS)
        # A first batch, so that connections and caches are as they are in a process that has run for a while.
        self.invoke(neighbours(self.stand_in))
        self._quota = Quota(self.function.process_id, quota) if quota else None

    def close(self) -> None:
        self.function.close()
        self.stand_in.close()
        if self._quota:
            self._quota.close()

    def invoke(self, records: list[Record]) -> Invocation:
        event = batch(records)
        before, stand_in = self.function.processor_seconds(), self.stand_in.busy_seconds()
        started = time.perf_counter()
        answer = self.function.invoke(event, moment(FUNCTION_SECONDS), patience=FUNCTION_SECONDS)
        return Invocation(
            seconds=time.perf_counter() - started,
            processor_seconds=self.function.processor_seconds() - before,
            stand_in_seconds=self.stand_in.busy_seconds() - stand_in,
            peak_megabytes=self.function.peak_megabytes(),
            failed=failed(answer, records),
        )


class Quota:
    """A share of one processor for a process."""

    def __init__(self, process_id: int, share: float) -> None:
        self._folder = Path(f"/sys/fs/cgroup/cpu/webhook-intake-{process_id}")
        self._folder.mkdir()
        (self._folder / "cpu.cfs_period_us").write_text(str(QUOTA_PERIOD_MICROSECONDS))
        (self._folder / "cpu.cfs_quota_us").write_text(str(round(QUOTA_PERIOD_MICROSECONDS * share)))
        for thread in Path(f"/proc/{process_id}/task").iterdir():
            (self._folder / "tasks").write_text(thread.name)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._folder.rmdir()


@contextlib.contextmanager
def processor(arguments: argparse.Namespace, latencies: Latencies = LATENCIES) -> Iterator[Processor]:
    with tempfile.TemporaryDirectory() as folder:
        running = Processor(arguments.binary[0], Path(folder), latencies, arguments.quota)
        try:
            yield running
        finally:
            running.close()


def outcomes(running: Processor, records: list[Record]) -> str:
    """What the log says of records: how many of their events have which outcome, or why they failed."""
    ids = {each.delivery_id for each in records}
    counted: Counter[str] = Counter()
    for line in running.function.lines("record processed"):
        if line["delivery_id"] in ids:
            counted.update(part.partition("=")[2] for part in line["outcomes"].split(",") if part)
            for part in filter(None, line.get("further_outcomes", "").split(",")):
                outcome, _, number = part.partition("=")
                counted[outcome] += int(number)
    ended = " ".join(f"{outcome} {number:,}" for outcome, number in sorted(counted.items()))
    errors = [line["error"] for line in running.function.lines("record failed") if line.get("delivery_id") in ids]
    return "; ".join(filter(None, [ended, *errors[-1:]]))


def hostile(arguments: argparse.Namespace) -> None:
    """Each hostile body in a batch with nine good neighbours, in a process of its own."""
    worst = {"peak": (0.0, ""), "CPU": (0.0, ""), "wall": (0.0, "")}
    lost = 0
    print("| shape | KiB | peak MB | CPU s | wall s | neighbours recorded | the delivery itself |\n|---|---|---|---|---|---|---|")
    for shape, provider, body in adversarial.bodies():
        if arguments.only and arguments.only not in f"{shape} {provider}":
            continue
        with processor(arguments) as running:
            bad, others = record(running.stand_in, provider, body), neighbours(running.stand_in)
            try:
                result = running.invoke([*others[:4], bad, *others[4:]])
            except InvocationFailed as error:
                lost += 1
                peak = running.function.peak_megabytes()
                print(f"| {shape} | {len(body) // 1024} | {peak:.0f} | | | 0 of 9 | {error} |", flush=True)
                continue
            recorded = len(others) - sum(each is not bad for each in result.failed)
            lost += recorded < len(others)
            print(
                f"| {shape} | {len(body) // 1024} | {result.peak_megabytes:.0f} | {result.processor_seconds:.2f} "
                f"| {result.seconds:.2f} | {recorded} of 9 | {outcomes(running, [bad])} |",
                flush=True,
            )
            for name, value in [
                ("peak", result.peak_megabytes),
                ("CPU", result.processor_seconds),
                ("wall", result.seconds),
            ]:
                worst[name] = max(worst[name], (value, shape))
    print(f"worst: {worst}; batches with a neighbour that was not recorded: {lost}")


def together(arguments: argparse.Namespace) -> None:
    """Several hostile bodies of 4 MiB in one batch with good neighbours."""
    values, places = adversarial.values(), adversarial.places()
    mixes = {
        "five strings of Machnet": [("one string", "machnet payload")] * 5,
        "five strings in NurtureCloud's envelope": [("one string", "nurturecloud envelope")] * 5,
        "five of 466,000 members": [("466,000 members", "event")] * 5,
        "five of zeros": [("zeros", "events")] * 5,
        "nine strings of Machnet": [("one string", "machnet payload")] * 9,
        "nine of control characters": [("one string, control characters", "machnet payload")] * 9,
        "nine of 465,000 members around two events": [("64 levels, 465,000 members below", "identifiers")] * 9,
        "five kinds": [
            ("64 levels, 465,000 members below", "delivery"),
            ("zeros", "nurturecloud payload"),
            ("466,000 members", "accredit member"),
            ("one string, control characters", "nowcerts body"),
            ("small objects", "events"),
        ],
    }
    # Lambda takes 6 MB in all.
    inline = [
        ("sterling", "[" + ",".join(f'{{"code":"{number}.{event}"}}' for event in range(20_000)) + "]") for number in range(9)
    ]
    for words, mix in mixes.items():
        if arguments.only and arguments.only not in words:
            continue
        bodies = [(places[place][0], places[place][1] + values[shape] + places[place][2]) for shape, place in mix]
        several(arguments, words, bodies)
    inside = "nine of 20,000 events each, inside the messages"
    if not arguments.only or arguments.only in inside:
        several(arguments, inside, inline)


def several(arguments: argparse.Namespace, words: str, bodies: list[tuple[str, str]]) -> None:
    with processor(arguments) as running:
        bad = [record(running.stand_in, provider, body.encode()) for provider, body in bodies]
        others = neighbours(running.stand_in)[: 10 - len(bad)]
        result = running.invoke([*bad, *others])
        recorded = sum(each not in result.failed for each in others)
        print(f"{words}: {result}, neighbours {recorded} of {len(others)}, bad ones failed {len(result.failed)}: {outcomes(running, bad)}", flush=True)


def long(arguments: argparse.Namespace) -> None:
    """Deliveries with many events, received until they are done."""
    quota = f", {arguments.quota} of a processor" if arguments.quota else ""
    print(f"latencies: {LATENCIES}, {FUNCTION_SECONDS} s an invocation{quota}")

    def sterling(count: int) -> bytes:
        events = [
            {
                "code": "supplyChange",
                "timestamp": "2026-11-21T09:30:00Z",
                "attributes": [{"name": "itemId", "type": "String", "value": f"item-{number}"}],
            }
            for number in range(count)
        ]
        return json.dumps({"eventbatch": [{"channel": "c", "events": events}]}, separators=(",", ":")).encode()

    def tiny(count: int) -> bytes:
        return ("[" + ",".join(f'{{"code":"c{number}"}}' for number in range(count)) + "]").encode()

    def entities(which: int, count: int = 5_000) -> bytes:
        filler = "x" * 118
        return adversarial.notification(
            f'{{"organisationName":"o","businessId":"b","id":"{which}-{number}","name":"{filler}"}}' for number in range(count)
        ).encode()

    work = {
        "20,000 Sterling events": lambda: [("sterling", sterling(20_000))],
        "100,000 Sterling events": lambda: [("sterling", tiny(100_000))],
        "ten arrays of 0.9 MB": lambda: [("nurturecloud", entities(which)) for which in range(10)],
    }
    for words, make in work.items():
        if arguments.only and arguments.only not in words:
            continue
        with processor(arguments) as running:
            records = [record(running.stand_in, provider, body) for provider, body in make()]
            left, receives = records, 0
            while left and receives < MAX_RECEIVES:
                calls = sum(running.stand_in.calls.values())
                result = running.invoke(left)
                receives += 1
                calls = sum(running.stand_in.calls.values()) - calls
                print(f"{words}, receive {receives}: {result}, {calls / result.seconds:,.0f} calls/s, {len(left) - len(result.failed)} of {len(left)} records done", flush=True)
                left = result.failed
            twice = sum(count > 1 for key, count in running.stand_in.accepted_puts.items() if key[2].startswith("event"))
            print(f"{words}: done after {receives} receives, {len(left)} left; {outcomes(running, records)}; put twice: {twice}; {dict(running.stand_in.calls)}", flush=True)
        gc.collect()


def ordinary(arguments: argparse.Namespace) -> None:
    """Batches of ten single-event deliveries of Machnet, in turn by each binary, without latencies."""
    taken: dict[Path, list[float]] = {binary: [] for binary in arguments.binary}
    peaks: dict[Path, float] = {}
    for _ in range(arguments.rounds):
        for binary in arguments.binary:
            with processor(argparse.Namespace(binary=[binary], quota=arguments.quota), Latencies()) as running:
                before = running.function.processor_seconds()
                for _ in range(arguments.batches):
                    records = [record(running.stand_in, "machnet", machnet_body()) for _ in range(10)]
                    assert not running.invoke(records).failed
                taken[binary].append((running.function.processor_seconds() - before) / arguments.batches * 1e6)
                peaks[binary] = running.function.peak_megabytes()
                calls = running.stand_in.calls
    for binary, microseconds in taken.items():
        print(
            f"{binary}: {statistics.median(microseconds):.0f} us of CPU a batch of ten "
            f"({', '.join(f'{value:.0f}' for value in microseconds)}), peak {peaks[binary]:.1f} MB"
        )
    print(f"calls of the last run: {dict(calls)}")


_machnet_number = iter(range(1 << 60))


def machnet_body() -> bytes:
    number = next(_machnet_number)
    content = {
        "id": f"evt-{time.time_ns()}-{number}",
        "event_name": "transaction_processed",
        "resource_id": f"res-{number}",
        "user_id": "user-1",
        "timestamp": "2026-11-21T09:30:00Z",
        "payload": {"status": "PROCESSED", "amount": "10.00", "currency": "USD", "note": "x" * 200},
    }
    return json.dumps(content).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["hostile", "together", "long", "ordinary"])
    parser.add_argument("--binary", type=Path, action="append", help="the processor; several for `ordinary`")
    parser.add_argument("--only", help="part of a shape's or a delivery's name")
    parser.add_argument("--quota", type=float, help="share of a processor")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=300)
    arguments = parser.parse_args()
    arguments.binary = arguments.binary or [BINARY]
    {"hostile": hostile, "together": together, "long": long, "ordinary": ordinary}[arguments.what](arguments)


if __name__ == "__main__":
    main()
