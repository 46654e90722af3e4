#!/usr/bin/env python3
"""Kills the local server with SIGKILL under full load, again and again, and accounts for all that it acknowledged.

Each event that was acknowledged must be recorded once, each delivery with an event must have its record, and nothing may be left in the
queue or among the dead letters. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from measure import Server, queued, wal_mib


def under_load(server: Server, load: Path, connections: int, seconds: float) -> tuple[set[str], float]:
    """Kills the server after this number of seconds. Returns the ids of the events that it acknowledged, and the size of its log in MiB."""
    server.start()
    acknowledged = server.directory / "acknowledged"
    command = [load, "--address", server.address, "--keys", server.keys, "--connections", connections]
    command += ["--seconds", 600, "--acknowledged", acknowledged]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL) as sender:
        time.sleep(seconds)
        log = wal_mib(server.directory)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        sender.wait(timeout=60)
    return set(acknowledged.read_text().split()), log


def account(server: Server, acknowledged: set[str]) -> dict[str, int]:
    """What is recorded once the queue is empty, and whatever is wrong with it."""
    server.start()
    while queued(server.address) > 0:
        time.sleep(0.1)
    server.stop()
    with contextlib.closing(sqlite3.connect(f"file:{server.directory}/intake.sqlite?mode=ro", uri=True)) as file:
        check = file.execute("PRAGMA integrity_check").fetchone()[0]
        entries = [json.loads(entry) for [entry] in file.execute("SELECT entry FROM ledger WHERE outcome IS NOT NULL")]
        records = {delivery_id for [delivery_id] in file.execute("SELECT delivery_id FROM delivery_records")}
        dead = int(file.execute("SELECT count(*) FROM dead_letters").fetchone()[0])
    recorded = Counter(entry["id"] for entry in entries if entry["outcome"] == "stored")
    return {
        "acknowledged": len(acknowledged),
        "recorded": len(recorded),
        "lost": len(acknowledged - set(recorded)),
        "recorded_twice": sum(count > 1 for count in recorded.values()),
        "with_another_outcome": sum(entry["outcome"] != "stored" for entry in entries),
        "without_a_record": len({entry["delivery_id"] for entry in entries} ^ records),
        "dead_letters": dead,
        "damaged": int(check != "ok"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, required=True, help="the command line, built with --release")
    parser.add_argument("--load", type=Path, required=True, help="server-load, built with --release")
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=6, help="maximum time until a kill; the minimum is a third of it")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="server-crash-"))
    try:
        server = Server(arguments.server, directory)
        acknowledged: set[str] = set()
        logs = []
        for _ in range(arguments.kills):
            seconds = random.uniform(arguments.seconds / 3, arguments.seconds)
            more, log = under_load(server, arguments.load, arguments.connections, seconds)
            acknowledged |= more
            logs.append(round(log))
        found = account(server, acknowledged)
        print(json.dumps({"log_mib_at_each_kill": logs, **found}))
        if any(found[name] for name in found if name not in {"acknowledged", "recorded"}):
            sys.exit("the accounts do not balance")
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
