"""Hostile traffic at the local server, while a provider goes on delivering."""

from __future__ import annotations

import http.client
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from balance import Attempt
from load_report import quantile
from sending import Sender
from server_world import Server
from traffic import Keys

# Longest time in which a genuine delivery has to be answered.
DEADLINE_SECONDS = 3.0
SECONDS = 10
MIB = 1024 * 1024
# What the server may take, at most.
MAX_MEMORY_BYTES = 768 * MIB

# Each attack of attack.py with its number of clients.
ATTACKS = {
    "nothing": 0,
    "10,000 idle connections": 10_000,
    "more connections than files": 10_000,
    "slow heads": 4_000,
    "slow bodies": 2_000,
    "flood of bad signatures": 64,
    "4 MiB bodies": 64,
}


class LimitedServer(Server):
    """A server that may have 1,024 open files, as many systems allow a process."""

    options = Server.options | {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))}


@dataclass(frozen=True)
class Attacked:
    """What an attack came to."""

    name: str
    clients: str
    genuine: list[Attempt]
    memory_peak_bytes: int
    # Memory after it.
    memory_bytes: int


def run(folder: Path, keys: Keys) -> list[Attacked]:
    return [_attacked(folder / str(number), keys, name, clients) for number, (name, clients) in enumerate(ATTACKS.items())]


def _attacked(folder: Path, keys: Keys, name: str, clients: int) -> Attacked:
    folder.mkdir()
    # An attack by connections takes more of them than the process may have open, which is what a stranger would do.
    kind = LimitedServer if name == "more connections than files" else Server
    server = kind(folder, keys.documents(), ["--log-level", "warn"])
    try:

        def post(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(server.address, timeout=10)
            try:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()

        said = ""
        command = [sys.executable, Path(__file__).with_name("attack.py"), name, server.address, str(clients), str(SECONDS)]
        # In a process of its own, so that the genuine sender is not slowed down by the attacker's work.
        attacker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started = time.monotonic()
        sender = Sender("machnet", keys, post, 7, 20, started)
        said, _ = attacker.communicate(timeout=SECONDS * 10 + 60)
        sender.stop()
        sender.join(timeout=60)
        resident = [line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
        return Attacked(name, said.strip(), sender.attempts, server.memory_peak_bytes(), int(resident[0].split()[1]) * 1024)
    finally:
        server.close()


def problems(attacks: list[Attacked]) -> list[str]:
    found = []
    for each in attacks:
        late = [one for one in each.genuine if one.delivery.kind != "forged" and (one.status != 200 or one.seconds > DEADLINE_SECONDS)]
        if late:
            found.append(f"{each.name}: {len(late)} of {len(each.genuine)} genuine deliveries were not accepted within {DEADLINE_SECONDS:.0f} s")
        if each.memory_peak_bytes > MAX_MEMORY_BYTES:
            found.append(f"{each.name}: the server took {each.memory_peak_bytes / MIB:.0f} MiB of memory")
    return found


def text(attacks: list[Attacked]) -> str:
    lines = [
        f"Hostile traffic at the local server, {SECONDS} s each, with genuine deliveries meanwhile",
        f"{'attack':30}{'genuine':>9}{'accepted':>9}{'median ms':>11}{'99 % ms':>9}{'longest ms':>12}{'memory MiB':>12}{'after':>7}  what it did",
    ]
    for each in attacks:
        genuine = [one for one in each.genuine if one.delivery.kind != "forged"]
        took = [one.seconds * 1000 for one in genuine]
        accepted = sum(one.status == 200 for one in genuine)
        lines.append(
            f"{each.name:30}{len(genuine):9}{accepted:9}{quantile(took, 0.5):11.0f}{quantile(took, 0.99):9.0f}{quantile(took, 1):12.0f}"
            f"{each.memory_peak_bytes / MIB:12.0f}{each.memory_bytes / MIB:7.0f}  {each.clients}"
        )
    lines += [f"PROBLEM: {problem}" for problem in problems(attacks)] or ["All genuine deliveries were accepted in time, within the memory."]
    return "\n".join(lines)
