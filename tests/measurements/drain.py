"""How fast the drain empties a queue, and what it needs for that.

    cargo build --release -p intake-functions --bin nowcerts
    .tools/tests/bin/python tests/measurements/drain.py --backlog 1000 --backlog 100000

With `--body-bytes` it shows what large bodies cost in memory, and with `--small-first` what they cost after small ones.

A real RabbitMQ holds the backlog; a server with fixed answers stands for SQS, S3, DynamoDB and Secrets Manager, each answer
`--latency` milliseconds late, as a real one would be. Nothing is measured but the function's own process: outside of
Lambda it runs by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from publisher import channel, declare  # noqa: E402
from stack.emulator import free_port  # noqa: E402
from stack.rabbitmq import RabbitMq  # noqa: E402
from stack.template import ROOT  # noqa: E402

QUEUE = "measured"
BODY = json.dumps({"Event": "PolicyUpdated", "Policy": {"Number": "P-0000001", "Insured": "x" * 150, "Premium": 1234.5}})
BINARY = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "nowcerts"


class FixedAnswers:
    """SQS takes everything, DynamoDB has the lease to give, Secrets Manager knows the account."""

    def __init__(self, secret: dict[str, object], latency: float) -> None:
        self.port = free_port()
        self.latency = latency
        self._secret = json.dumps({"SecretString": json.dumps(secret)}).encode()
        entries = [{"Id": str(number), "MessageId": "m", "MD5OfMessageBody": ""} for number in range(10)]
        self._batches = [json.dumps({"Successful": entries[:count], "Failed": []}).encode() for count in range(11)]
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._connection, "127.0.0.1", self.port, limit=1 << 22) as server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                names = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))}
                body = await reader.readexactly(int(names.get(b"content-length", b"0")))
                if self.latency:
                    await asyncio.sleep(self.latency)
                # S3 has no target, and takes any answer that says yes.
                target = names.get(b"x-amz-target", b"s3")
                if target.endswith(b"SendMessageBatch"):
                    answer = self._batches[body.count(b'"Id":')]
                else:
                    answer = self._secret if target.startswith(b"secretsmanager") else b'{"Attributes":{}}'
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def publish(rabbitmq: RabbitMq, count: int, body_bytes: int, small_first: int) -> None:
    """Without confirmations, which would take longer than the measurement."""
    declare(rabbitmq, QUEUE)
    body = json.dumps({"Event": "PolicyUpdated", "Document": "x" * body_bytes}) if body_bytes else BODY
    with channel(rabbitmq) as publishing:
        for number in range(small_first + count):
            publishing.basic_publish("", QUEUE, (BODY if number < small_first else body).encode())
    rabbitmq.wait_for_depth(QUEUE, small_first + count, timeout=120)


def measure(rabbitmq: RabbitMq, answers: FixedAnswers, folder: Path, settings: dict[str, str]) -> dict[str, float]:
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{answers.port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "QUEUE_URL": "http://queue.test/1/deliveries",
        "PAYLOADS_BUCKET": "payloads",
        "EVENTS_TABLE": "events",
        "SECRET_ID": "nowcerts",
        "IDLE_MILLISECONDS": "500",
        **settings,
    }
    log = folder / "lines"
    with log.open("wb") as output:
        process = subprocess.Popen([BINARY], env=environment, stdout=output, stderr=output)
    try:
        run = None
        while run is None:
            time.sleep(0.1)
            assert process.poll() is None, log.read_text()
            found = [line for line in log.read_bytes()[-2000:].split(b"\n") if b'"message":"drain"' in line]
            run = json.loads(found[0]) if found else None
        status = Path(f"/proc/{process.pid}/status").read_text()
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    finally:
        process.kill()
        process.wait()
    [peak] = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    seconds = run["duration_microseconds"] / 1e6 - 0.5
    processor_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    assert run["outcome"] == "drained", run
    return {
        "messages": run["acknowledged"],
        "seconds": round(seconds, 2),
        "per_second": round(run["acknowledged"] / seconds),
        "processor_share": round(processor_seconds / seconds, 2),
        "peak_megabytes": round(peak, 1),
        "peak_body_megabytes": round(run.get("peak_body_bytes", 0) / 2**20, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, action="append", required=True)
    parser.add_argument("--body-bytes", type=int, default=0, help=f"about {len(BODY)} unless said otherwise")
    parser.add_argument("--small-first", type=int, default=0, help="small messages before the backlog")
    parser.add_argument("--latency", type=float, default=15, help="milliseconds before each answer of AWS")
    parser.add_argument("--setting", action="append", default=[], help="such as PREFETCH=1000")
    arguments = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in arguments.setting)
    with tempfile.TemporaryDirectory() as folder:
        rabbitmq = RabbitMq(Path(folder) / "rabbitmq")
        try:
            print(f"RabbitMQ {rabbitmq.version}, body {arguments.body_bytes or len(BODY)} bytes, latency {arguments.latency:g} ms, {settings}")
            answers = FixedAnswers(rabbitmq.secret() | {"queue": QUEUE}, arguments.latency / 1000)
            for backlog in arguments.backlog:
                publish(rabbitmq, backlog, arguments.body_bytes, arguments.small_first)
                print(measure(rabbitmq, answers, Path(folder), settings), flush=True)
        finally:
            rabbitmq.close()


if __name__ == "__main__":
    main()
