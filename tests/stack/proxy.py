"""An HTTP proxy between the functions and AWS that fails on demand and remembers what passed."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3

from .actions import Needed, needed
from .emulator import CREDENTIALS, REGION

# How the functions' SDK says in `User-Agent` which application calls; it takes the name from `AWS_SDK_UA_APP_ID`.
APPLICATION = re.compile(r"\bapp/(\S+)")


@dataclasses.dataclass(frozen=True)
class Call:
    """One request of a function to AWS."""

    operation: str
    status: int | None
    # The binary that called.
    caller: str
    needed: frozenset[Needed]


@dataclasses.dataclass(frozen=True)
class Request:
    """One request of a function to AWS, with what it sent."""

    operation: str
    body: bytes
    # The binary that called.
    caller: str


@dataclasses.dataclass
class Fault:
    """What to do with calls of one operation, for example `AmazonSQS.SendMessage` or `S3.PutObject`.

    Actions: `unavailable` (503), `internal-error` (500), `access-denied`, and `hang`. With `lose-answer` AWS does the work
    and the connection breaks before the answer; with `late-answer` it does the work and the answer does not come; with
    `slow` it does the work 3 seconds later. With `refuse-entry` it does the work, and the answer says of the first entry
    of the batch that it failed. With `throttle-entry` the first entry for a bus is not passed on, and the answer says so.
    """

    operation: str
    action: str
    times: int | None = None

    def applies(self, operation: str) -> bool:
        return operation == self.operation and (self.times is None or self.times > 0)


class FaultProxy:
    """Listens on a free port of the loopback interface and passes requests on to `target_port`. Keeps each in `log`."""

    def __init__(self, target_port: int, log: Path) -> None:
        self._log = log.open("ab")
        self.calls: list[Call] = []
        self._faults: list[Fault] = []
        self._recordings: list[list[Request]] = []
        self._lock = threading.Lock()
        self._release = threading.Event()
        proxy = self

        class Handler(_Handler):
            owner = proxy
            target = target_port

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            self._log.close()

    @contextlib.contextmanager
    def fault(self, operation: str, action: str, times: int | None = None) -> Iterator[Fault]:
        """Applies a fault inside the `with` block, at most `times` times."""
        fault = Fault(operation, action, times)
        with self._lock:
            self._release.clear()
            self._faults.append(fault)
        try:
            yield fault
        finally:
            with self._lock:
                self._faults.remove(fault)
            self._release.set()

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Request]]:
        """The requests that are made inside the `with` block, in order."""
        requests: list[Request] = []
        with self._lock:
            self._recordings.append(requests)
        try:
            yield requests
        finally:
            with self._lock:
                # By identity: two empty recordings are equal.
                self._recordings = [each for each in self._recordings if each is not requests]

    def count(self, operation: str) -> int:
        """How many calls of this operation were seen so far."""
        with self._lock:
            return sum(call.operation == operation for call in self.calls)

    def action_for(self, operation: str) -> str | None:
        with self._lock:
            for fault in self._faults:
                if fault.applies(operation):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault.action
        return None

    def keep(self, request: Request, head: str) -> None:
        """Writes a request down."""
        with self._lock:
            for recording in self._recordings:
                recording.append(request)
            if not self._log.closed:
                self._log.write(head.encode() + b"\n" + request.body + b"\n")
                self._log.flush()

    def record(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)

    def hang(self) -> None:
        """Blocks until the fault is over, but not longer than any client would wait."""
        self._release.wait(timeout=30)


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: FaultProxy
    target: int
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def do_any(self) -> None:
        body = self._read_body()
        operation = self._operation()
        application = APPLICATION.search(self.headers.get("User-Agent", ""))
        caller = application[1] if application else ""
        self.owner.keep(Request(operation, body, caller), f"{self.command} {self.path}\n{self.headers}")
        call = Call(
            operation,
            None,
            caller,
            needed(self.headers.get("X-Amz-Target"), self.command, self.path, body),
        )
        action = self.owner.action_for(operation)
        if action == "hang":
            self.owner.record(call)
            self.owner.hang()
            self.close_connection = True
        elif action in {"lose-answer", "late-answer"}:
            self._forward(call, body)
            if action == "late-answer":
                self.owner.hang()
            self.close_connection = True
        elif action == "slow":
            time.sleep(3)
            self._answer(*self._forward(call, body))
        elif action == "refuse-entry":
            status, headers, answer = self._forward(call, body)
            self._answer(status, headers, _with_first_entry_refused(answer))
        elif action == "throttle-entry":
            self._answer(*self._without_first_entry(call, body))
        elif action is None:
            self._answer(*self._forward(call, body))
        else:
            status, code = {
                "unavailable": (503, "ServiceUnavailable"),
                "internal-error": (500, "InternalFailure"),
                "access-denied": (403, "AccessDeniedException"),
            }[action]
            self.owner.record(dataclasses.replace(call, status=status))
            self._answer(status, *_error(operation, code))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any

    def _operation(self) -> str:
        target = self.headers.get("X-Amz-Target")
        if target:
            service, _, name = target.rpartition(".")
            return f"{service.split('_')[0]}.{name}"
        names = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
        return f"S3.{names.get(self.command, self.command)}"

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _forward(self, call: Call, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"connection", "transfer-encoding", "content-length", "expect"}:
                    connection.putheader(name, value)
            # Stands for the TLS that the stack's bucket policy asks for.
            connection.putheader("X-Forwarded-Proto", "https")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            answer = response.status, response.getheaders(), response.read()
        except BaseException:
            self.owner.record(call)
            raise
        finally:
            connection.close()
        self.owner.record(dataclasses.replace(call, status=answer[0]))
        return answer

    def _without_first_entry(self, call: Call, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """`PutEvents` as a bus answers that has no room for the first entry."""
        _, *others = json.loads(body)["Entries"]
        # The emulator checks signatures, so what is left of the call is signed anew.
        bus = boto3.client(
            "events",
            endpoint_url=f"http://127.0.0.1:{self.target}",
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        taken = bus.put_events(Entries=others)["Entries"] if others else []
        self.owner.record(dataclasses.replace(call, status=200))
        throttled = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Injected"}
        answer = {"FailedEntryCount": 1, "Entries": [throttled, *taken]}
        return 200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(answer).encode()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding", "content-length", "keep-alive"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _with_first_entry_refused(body: bytes) -> bytes:
    answer = json.loads(body)
    first, *others = answer["Successful"]
    failed = {"Id": first["Id"], "Code": "InternalError", "SenderFault": False, "Message": "Injected"}
    return json.dumps(answer | {"Successful": others, "Failed": [failed]}).encode()


def _error(operation: str, code: str) -> tuple[list[tuple[str, str]], bytes]:
    if operation.startswith("S3."):
        text = f"<Error><Code>{code.removesuffix('Exception')}</Code><Message>Injected</Message></Error>"
        return [("Content-Type", "application/xml")], text.encode()
    body = json.dumps({"__type": code, "message": "Injected"}).encode()
    return [("Content-Type", "application/x-amz-json-1.0"), ("X-Amzn-Errortype", code)], body
