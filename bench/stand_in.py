"""Stands in for SQS, Secrets Manager, DynamoDB and S3 with fixed answers, in a process of its own.

It keeps nothing, so it costs the same for each program that is compared. With a round trip, each connection is as far away as AWS
is: bytes arrive half of it later in each direction, and the first ones a whole one more, for the connection itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections import deque
from pathlib import Path

SECRET = "0123456789abcdef0123456789abcdef"

_SENT = json.dumps({"MessageId": "00000000-0000-0000-0000-000000000000", "MD5OfMessageBody": "d41d8cd98f00b204e9800998ecf8427e"})
_SECRET = json.dumps(
    {
        "ARN": "arn:aws:secretsmanager:us-east-1:1:secret:machnet",
        "Name": "machnet",
        "VersionId": "v1",
        "SecretString": json.dumps({"keys": [{"label": "main", "secret": SECRET}]}),
        "VersionStages": ["AWSCURRENT"],
    }
)
ANSWERS = {b"secretsmanager.GetSecretValue": _SECRET.encode(), b"AmazonSQS.SendMessage": _SENT.encode()}
NOTHING = b"{}"


def answer(target: bytes) -> bytes:
    """The body of the answer to an operation, by its `X-Amz-Target`."""
    return ANSWERS.get(target, NOTHING)


class _Requests(asyncio.Protocol):
    """Answers the requests of one connection, of which there may be several in what was received."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
            if fields.get(b"expect"):
                raise NotImplementedError("a client that waits for 100 Continue")
            whole = end + 4 + int(fields.get(b"content-length", b"0"))
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            body = answer(_target(head))
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )


def _target(head: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"x-amz-target":
            return value.strip()
    return b""


class _Late:
    """Calls in order, each delayed by a fixed number of seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._calls: deque[tuple] = deque()

    def call(self, function, *arguments) -> None:
        self._calls.append((function, arguments))
        asyncio.get_running_loop().call_later(self.seconds, self._next)

    def _next(self) -> None:
        function, arguments = self._calls.popleft()
        function(*arguments)


async def _delay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, round_trip: float) -> None:
    """Forwards a connection to a port of this machine as if it were this far away."""
    await asyncio.sleep(round_trip)
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

    async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        late = _Late(round_trip / 2)
        while data := await source.read(1 << 16):
            late.call(target.write, data)
        late.call(target.close)

    await asyncio.gather(forward(reader, far_writer), forward(far_reader, writer), return_exceptions=True)


async def _serve(certificates: Path, round_trip: float) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "broker.pem", certificates / "broker.key")
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(_Requests, "127.0.0.1", 0)
    secure = await loop.create_server(_Requests, "127.0.0.1", 0, ssl=context)
    secure_port = _port(secure)
    far = await asyncio.start_server(lambda reader, writer: _delay(reader, writer, secure_port, round_trip), "127.0.0.1", 0)
    print(json.dumps({"plain": _port(plain), "secure": secure_port, "far": _port(far)}), flush=True)
    # Ends with the process that started it.
    await loop.run_in_executor(None, sys.stdin.read)
    # At once, because nobody is left at the other end of what is still open.
    os._exit(0)


def _port(server: asyncio.Server) -> int:
    return server.sockets[0].getsockname()[1]


class StandIn:
    """The process with its three addresses: plain, over TLS, and over TLS at a distance."""

    def __init__(self, certificates: Path, round_trip: float) -> None:
        command = [sys.executable, __file__, str(certificates), str(round_trip)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ports = json.loads(self._process.stdout.readline())
        self.plain = f"http://127.0.0.1:{ports['plain']}"
        self.secure = f"https://localhost:{ports['secure']}"
        self.far = f"https://localhost:{ports['far']}"

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("certificates", type=Path)
    parser.add_argument("round_trip", type=float, help="in seconds")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.certificates, arguments.round_trip))
