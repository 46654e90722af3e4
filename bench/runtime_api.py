"""Drives one function process through Lambda's Runtime API and measures it from outside."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from quota import Quota, limit

# Source: AWS, "Using the Lambda runtime API".
INVOCATIONS = "/2018-06-01/runtime/invocation/"
FUNCTION_SECONDS = 30
# So that what a limit does to the process is in effect, and what the start left to do is done.
SETTLE_SECONDS = 0.2


class Failed(Exception):
    """The process ended, answered with an error, or did not answer in time."""


@dataclass(frozen=True)
class Program:
    """What to start."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    # What is deployed, if it is one file.
    file: Path | None = None


@dataclass(frozen=True)
class Run:
    """What one process took. The figures of warm answers are missing if there were none."""

    ready_ms: float
    first_ms: float
    warm_ms: float | None
    warm_cpu_us: float | None
    peak_mb: float


def processor_nanoseconds(process_id: int) -> int:
    """Processor time of all threads of a process, ended ones included."""
    # Linux, include/linux/posix-timers.h: the inverted process id above three bits, of which 2 means the scheduler's clock.
    return time.clock_gettime_ns(~process_id << 3 | 2)


def peak_megabytes(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    [kib] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    return kib * 1024 / 1e6


class _Invocations(asyncio.Protocol):
    """The Runtime API of one process: hands out the event again and again, and notes the time of each answer."""

    def __init__(self, measurement: _Measurement) -> None:
        self._measurement = measurement
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._received += data
        while (request := self._take_request()) is not None:
            path, body = request
            if path.endswith("/next"):
                self._measurement.asked(now, self._transport)
            else:
                self._measurement.answered(now, path.rpartition("/")[2], body)
                self._transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def _take_request(self) -> tuple[str, bytes] | None:
        """The next request, once it has arrived as a whole."""
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        line, *fields = head.split(b"\r\n")
        values = {name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in fields)}
        if values.get(b"transfer-encoding", b"").lower() == b"chunked":
            taken = take_chunks(rest)
        else:
            length = int(values.get(b"content-length", b"0"))
            taken = (rest[:length], rest[length:]) if len(rest) >= length else None
        if taken is None:
            return None
        body, self._received = taken
        return line.split()[1].decode(), body


def take_chunks(received: bytes) -> tuple[bytes, bytes] | None:
    """A chunked body and what follows it, once it has arrived as a whole."""
    body = b""
    while True:
        line, separator, rest = received.partition(b"\r\n")
        if not separator:
            return None
        size = int(line.split(b";")[0], 16)
        if len(rest) < size + 2:
            return None
        if size == 0:
            return body, rest[2:]
        body += rest[:size]
        received = rest[size + 2 :]


class _Measurement:
    def __init__(self, event: bytes, warm: int, share: float | None) -> None:
        self.process_id = 0
        self.quota: Quota | None = None
        self.ready_at: float | None = None
        self.took: list[float] = []
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._event, self._warm, self._share = event, warm, share
        self._handed_at = 0.0
        self._warm_since_ns = 0

    def asked(self, now: float, transport: asyncio.WriteTransport) -> None:
        if self.ready_at is None:
            self.ready_at = now
            if self._share is not None:
                self.quota = limit(self.process_id, self._share)
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._hand, transport)
            return
        if len(self.took) == 1:
            self._warm_since_ns = processor_nanoseconds(self.process_id)
        if len(self.took) > self._warm:
            if not self.done.done():
                self.done.set_result(processor_nanoseconds(self.process_id) - self._warm_since_ns)
            return
        self._hand(transport)

    def _hand(self, transport: asyncio.WriteTransport) -> None:
        self._handed_at = time.perf_counter()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {len(self.took):08}-0000-0000-0000-000000000000\r\n"
            f"Lambda-Runtime-Deadline-Ms: {int((time.time() + FUNCTION_SECONDS) * 1000)}\r\n"
            "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:1:function:f\r\n"
            "Lambda-Runtime-Trace-Id: Root=1-0-0;Sampled=0\r\n"
            f"Content-Length: {len(self._event)}\r\n\r\n"
        )
        transport.write(head.encode() + self._event)

    def answered(self, now: float, kind: str, body: bytes) -> None:
        if not self.took and (kind != "response" or not is_success(body)) and not self.done.done():
            self.done.set_exception(Failed(f"{kind}: {body[:500].decode(errors='replace')}"))
        self.took.append((now - self._handed_at) * 1000)


def is_success(answer: bytes) -> bool:
    """Whether this accepts the request, or fails no message of the batch."""
    text = answer.replace(b" ", b"")
    return b'"statusCode":200' in text or text in {b'{"batchItemFailures":[]}', b"{}"}


async def _measure(program: Program, event: bytes, warm: int, share: float | None, log: Path) -> Run:
    measurement = _Measurement(event, warm, share)
    server = await asyncio.get_running_loop().create_server(lambda: _Invocations(measurement), "127.0.0.1", 0)
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_GROUP_NAME": "g",
        "AWS_LAMBDA_LOG_STREAM_NAME": "s",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        **program.environment,
    }
    with log.open("ab") as errors:
        started_at = time.perf_counter()
        process = subprocess.Popen(
            program.command, env=environment, cwd=program.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
    measurement.process_id = process.pid
    try:
        ended = asyncio.ensure_future(asyncio.to_thread(process.wait))
        await asyncio.wait([measurement.done, ended], timeout=120, return_when=asyncio.FIRST_COMPLETED)
        if not measurement.done.done():
            raise Failed(f"no answer; its last output: {log.read_text(errors='replace')[-2000:]}")
        warm_ns = measurement.done.result()
        peak = peak_megabytes(process.pid)
    except Failed as error:
        raise Failed(f"{program.name}: {error}") from error
    finally:
        process.kill()
        await ended
        server.close()
        if measurement.quota:
            measurement.quota.close()
    first, *others = measurement.took
    return Run(
        ready_ms=(measurement.ready_at - started_at) * 1000,
        first_ms=first,
        warm_ms=statistics.median(others) if others else None,
        warm_cpu_us=warm_ns / warm / 1000 if warm else None,
        peak_mb=peak,
    )


def measure(program: Program, event: bytes, warm: int, log: Path, share: float | None = None) -> Run:
    """Starts a program, hands it an event once and then `warm` times more, one after the other, and ends it.

    With `share` it has only that share of a processor from the moment in which it is ready.
    """
    return asyncio.run(_measure(program, event, warm, share, log))
