#!/usr/bin/env python3
"""Measures what a message costs the local server with little and with much in the queue, and prints one JSON object.

Fills the queue of a stopped server with genuine messages of Machnet's, each with an event of its own, starts a release build, and divides
its processor time by the messages that are recorded, from one number of recorded messages to the next.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import secrets
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import Server, usage

EVENTS = Path(__file__).parents[2] / "events" / "processor.json"


def template() -> dict[str, Any]:
    """A message of Machnet's, as the intake writes it."""
    bodies = [json.loads(record["body"]) for record in json.loads(EVENTS.read_text())["Records"]]
    return next(body for body in bodies if body["provider"] == "machnet")


def messages(count: int) -> Iterator[tuple[str]]:
    """Messages of deliveries that come a millisecond after the other, each with an event and a resource of its own."""
    message = template()
    event = json.loads(message["body"]["text"])
    now = int(time.time() * 1000)
    for number in range(count):
        event |= {"id": secrets.token_hex(12), "resource_id": secrets.token_hex(12)}
        text = json.dumps(event, separators=(",", ":"))
        digits = f"{now + number:012x}7{secrets.token_hex(2)[1:]}8{secrets.token_hex(8)[1:]}"
        message["delivery_id"] = "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])
        message |= {"sha256": hashlib.sha256(text.encode()).hexdigest(), "body": {"text": text}}
        yield (json.dumps(message, separators=(",", ":")),)


def processor_seconds(pid: int) -> float:
    """Processor time of all threads, to the nanosecond. Those that ended are not in it."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def measure(server_binary: Path, directory: Path, count: int, marks: list[int]) -> dict[str, Any]:
    """The processor time for each message from one mark to the next, in microseconds, and the largest memory until then."""
    server = Server(server_binary, directory)
    server.start()
    server.stop()
    file = sqlite3.connect(directory / "intake.sqlite", timeout=30)
    with contextlib.closing(file), file:
        file.executemany("INSERT INTO queue (body) VALUES (?)", messages(count))
    server.start()
    file = sqlite3.connect(f"file:{directory}/intake.sqlite?mode=ro", uri=True, timeout=30)
    with contextlib.closing(file):
        reached, memory = [], 0.0
        while len(reached) < len(marks):
            # Messages are deleted in order, but for those in hand.
            [first] = file.execute("SELECT min(message_id) FROM queue").fetchone()
            done = count if first is None else int(first) - 1
            memory = max(memory, usage(server.process.pid)[1])
            if done >= marks[len(reached)]:
                reached.append((done, processor_seconds(server.process.pid), time.monotonic(), memory))
            time.sleep(0.002 if done < 20_000 else 0.05)
        [outcomes] = [dict(file.execute("SELECT outcome, count(*) FROM ledger WHERE outcome IS NOT NULL GROUP BY outcome"))]
    server.stop()
    assert outcomes.keys() == {"stored"}, outcomes
    windows = [
        {
            "from": before[0],
            "to": after[0],
            "microseconds_each": round((after[1] - before[1]) / (after[0] - before[0]) * 1e6, 1),
            "per_second": round((after[0] - before[0]) / (after[2] - before[2])),
            "memory_mib": round(after[3], 1),
        }
        for before, after in zip(reached, reached[1:], strict=False)
    ]
    return {"backlog": count, "windows": windows}


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run of which the first window is in the middle."""
    return sorted(runs, key=lambda run: run["windows"][0]["microseconds_each"])[len(runs) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, required=True, help="the command line, built with --release")
    parser.add_argument("--most", type=int, default=1_000_000, help="messages in the longest queue")
    parser.add_argument("--repeat", type=int, default=5, help="runs with each of the shorter queues")
    arguments = parser.parse_args()
    marks = [0, 1_000, 20_000, *range(100_000, arguments.most + 1, 100_000)]
    results = []
    for count, repeat in [(1_000, arguments.repeat), (20_000, arguments.repeat), (arguments.most, 1)]:
        runs = []
        for _ in range(repeat):
            directory = Path(tempfile.mkdtemp(prefix="server-backlog-"))
            try:
                runs.append(measure(arguments.server, directory, count, [mark for mark in marks if mark <= count]))
            finally:
                shutil.rmtree(directory)
        first = [run["windows"][0]["microseconds_each"] for run in runs]
        results.append(median(runs) | {"first_thousand": {"median": statistics.median(first), "least": min(first), "most": max(first)}})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
