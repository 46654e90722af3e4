#!/usr/bin/env python3
"""Measures the local server under load, and prints one JSON object.

Starts a release build of the server on a directory of its own, posts signed deliveries with `server-load`, and samples the
server's memory, processor time and queue meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")


def usage(pid: int) -> tuple[float, float]:
    """Processor time in seconds, and resident memory in MiB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return (int(fields[11]) + int(fields[12])) / TICKS, resident / 1024 / 1024


def queued(address: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", "/health")
        return int(json.loads(connection.getresponse().read())["queued"])
    finally:
        connection.close()


def recorded(directory: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{directory}/intake.sqlite?mode=ro", uri=True, timeout=30)) as file:
        return int(file.execute("SELECT count(*) FROM delivery_records").fetchone()[0])


def wal_mib(directory: Path) -> float:
    return (directory / "intake.sqlite-wal").stat().st_size / 1024 / 1024


class Server:
    def __init__(self, binary: Path, directory: Path) -> None:
        keys = directory / "keys"
        keys.mkdir(parents=True, exist_ok=True)
        self.directory, self.binary = directory, binary
        self.keys = keys / "machnet.json"
        if not self.keys.exists():
            self.keys.write_text(json.dumps({"keys": [{"account": "main", "secret": secrets.token_hex(32)}]}))
        directory.chmod(0o700)
        keys.chmod(0o700)
        self.keys.chmod(0o600)

    def start(self) -> None:
        output = self.directory / "serve.out"
        with output.open("wb") as out, (self.directory / "serve.log").open("ab") as log:
            arguments = ["serve", "--listen", "127.0.0.1:0", "--data-directory", str(self.directory)]
            self.process = subprocess.Popen([self.binary, *arguments], stdout=out, stderr=log)
        deadline = time.monotonic() + 60
        while not output.read_text().partition("\n")[1]:
            assert time.monotonic() < deadline and self.process.poll() is None, "the server does not start"
            time.sleep(0.01)
        self.address = output.read_text().partition("http://")[2].split(" ")[0]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


def measure(arguments: argparse.Namespace, directory: Path) -> dict[str, Any]:
    server = Server(arguments.server, directory)
    server.start()
    load = [arguments.load, "--address", server.address, "--keys", server.keys, "--connections", arguments.connections]
    load += ["--seconds", arguments.seconds]
    load += ["--rate", arguments.rate] if arguments.rate else []
    began = time.monotonic()
    before = usage(server.process.pid)[0]
    sender = subprocess.Popen([str(part) for part in load], stdout=subprocess.PIPE, text=True)
    samples, sender_seconds = [], 0.0
    while sender.poll() is None:
        time.sleep(min(1.0, arguments.seconds / 10))
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            sender_seconds = usage(sender.pid)[0]
        if time.monotonic() - began >= len(samples) * arguments.sample:
            seconds, memory = usage(server.process.pid)
            samples.append(
                {
                    "second": round(time.monotonic() - began, 1),
                    "queued": queued(server.address),
                    "memory_mib": round(memory, 1),
                    "wal_mib": round(wal_mib(directory), 1),
                    "server_cpu_seconds": round(seconds - before, 2),
                }
            )
    assert sender.stdout is not None
    answers = json.loads(sender.stdout.read())
    left = queued(server.address)
    ended = time.monotonic() - began
    seconds = usage(server.process.pid)[0] - before
    result = {"taken": answers, "left_in_queue": left, "recorded_per_second": round((answers["answers"] - left) / ended)}
    result |= {"server_cpu_microseconds_each": round(seconds / answers["answers"] * 1e6), "load_cpu_seconds": sender_seconds}
    drain = time.monotonic()
    while queued(server.address) > 0:
        time.sleep(0.05)
    result |= {"drain_seconds": round(time.monotonic() - drain, 2), "drained_per_second": None}
    if left > 1000:
        result["drained_per_second"] = round(left / (time.monotonic() - drain))
    result |= {"samples": samples, "recorded": recorded(directory)}
    result["memory_mib_at_the_end"] = round(usage(server.process.pid)[1], 1)
    server.stop()
    size = sum(file.stat().st_size for file in directory.glob("intake.sqlite*"))
    result["bytes_on_disk_each"] = round(size / max(1, answers["answers"]))
    if result["recorded"] != answers["answers"]:
        sys.exit(f"{answers['answers']} were acknowledged and {result['recorded']} recorded")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, required=True, help="the command line, built with --release")
    parser.add_argument("--load", type=Path, required=True, help="server-load, built with --release")
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=0, help="deliveries a second; 0 is as many as are answered")
    parser.add_argument("--sample", type=float, default=5, help="seconds between two samples")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="server-measure-"))
    try:
        print(json.dumps(measure(arguments, directory)))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
