"""A function's binary as a child process, with Lambda's Runtime API in the test's hands.

Neither API Gateway nor its emulator lets everything through that may come some day; here an event can be any bytes, and the
deadline any text.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .emulator import CREDENTIALS, REGION
from .stack import BINARIES, Line, Stack

# How the function's process gets its invocations. Source: AWS, "Using the Lambda runtime API".
PREFIX = "/2018-06-01/runtime"


def moment(seconds: float) -> str:
    """The deadline as Lambda sends it: milliseconds since 1970."""
    return str(int((time.time() + seconds) * 1000))


class InvocationFailed(Exception):
    """What Lambda would report as a function error; API Gateway makes a 500 of it."""


class _RuntimeApi(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # The process was killed while it waited for its next event.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FunctionProcess:
    """One process, which is handed one event at a time."""

    def __init__(self, binary: Path, log: Path, endpoint: str, settings: dict[str, str]) -> None:
        """Runs a binary with these settings, and with AWS at this address."""
        self._log = log
        self._events: queue.Queue[tuple[bytes, str]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._server = _RuntimeApi(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [binary],
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_REGION": REGION,
                    "AWS_ENDPOINT_URL": endpoint,
                    **CREDENTIALS,
                    "AWS_LAMBDA_FUNCTION_NAME": binary.name,
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                    "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
                    **settings,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @classmethod
    def deployed(cls, stack: Stack, binary: str, log: Path, **settings: str) -> FunctionProcess:
        """Runs a binary of the stack as the deployed function is set, but for these settings."""
        configuration = stack.client("lambda").get_function_configuration(FunctionName=stack.function_name(binary))
        deployed = configuration["Environment"]["Variables"]
        return cls(BINARIES / binary, log, f"http://127.0.0.1:{stack.proxy.port}", {**deployed, **settings})

    def __enter__(self) -> FunctionProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def invoke(self, event: bytes, deadline: str | None = None, patience: float = 30) -> Any:
        """The function's answer to an event; by default it has 15 s, and is waited for 30 s."""
        self._events.put((event, deadline or moment(15)))
        given_up_at = time.monotonic() + patience
        while time.monotonic() < given_up_at:
            with contextlib.suppress(queue.Empty):
                kind, content = self._answers.get(timeout=0.1)
                if kind != "response":
                    raise InvocationFailed(content.decode())
                return json.loads(content)
            if self._process.poll() is not None:
                raise InvocationFailed(f"the process ended with {self._process.returncode}")
        raise InvocationFailed(f"no answer within {patience:g} s")

    def peak_megabytes(self) -> float:
        """Peak memory of the process so far, in megabytes; 0 once it has ended."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peaks = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
        return sum(peaks) * 1024 / 1e6

    def processor_seconds(self) -> float:
        """Processor time that the process has used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def lines(self, message: str) -> list[Line]:
        """The JSON log lines with this message."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("message") == message]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        events, answers = self._events, self._answers

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert self.path == f"{PREFIX}/invocation/next"
                event, deadline = events.get()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(event)))
                self.send_header("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4()))
                self.send_header("Lambda-Runtime-Deadline-Ms", deadline)
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:1:function:f")
                self.end_headers()
                self.wfile.write(event)

            def do_POST(self) -> None:
                content = self._content()
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                answers.put((self.path.rpartition("/")[2], content))

            def _content(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                content = b""
                while size := int(self.rfile.readline(), 16):
                    content += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return content

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
