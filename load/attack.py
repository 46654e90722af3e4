"""Attacks a server on this machine for some seconds, and says what came of it. Usage: attack.py NAME ADDRESS CLIENTS SECONDS"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections import Counter

PATH = "/webhooks/machnet"
MIB = 1024 * 1024


class Attack:
    """Clients that do one thing again and again until the time is up."""

    def __init__(self, name: str, address: str, clients: int, seconds: float) -> None:
        host, _, port = address.rpartition(":")
        assert host == "127.0.0.1", "only a server on this machine"
        self._host, self._port = host, int(port)
        self._clients, self._end = clients, time.monotonic() + seconds
        self.counted: Counter[str] = Counter()
        self._client = {
            "nothing": self._idle,
            "10,000 idle connections": self._idle,
            "more connections than files": self._idle,
            "slow heads": self._slow_head,
            "slow bodies": self._slow_body,
            "flood of bad signatures": self._bad_signature,
            "4 MiB bodies": self._large_body,
        }[name]

    async def run(self) -> None:
        if not self._clients:
            await asyncio.sleep(self._left())
        await asyncio.gather(*(self._again(number) for number in range(self._clients)))

    def _left(self) -> float:
        return max(self._end - time.monotonic(), 0)

    async def _again(self, number: int) -> None:
        # Not all in one moment: that would only fill the queue of connections that wait to be taken.
        await asyncio.sleep(number * 2 / self._clients)
        while self._left() > 0:
            writer = None
            try:
                reader, writer = await asyncio.wait_for(asyncio.open_connection(self._host, self._port), timeout=10)
                self.counted["connections"] += 1
                await self._client(reader, writer)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                self.counted["broken off"] += 1
                await asyncio.sleep(0.05)
            finally:
                if writer is not None:
                    writer.close()

    async def _idle(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await self._until_closed(reader)

    async def _until_closed(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(TimeoutError):
            answer = await asyncio.wait_for(reader.read(4096), timeout=self._left())
            self.counted[answer.split(b" ")[1].decode() if answer else "closed"] += 1

    async def _slow_head(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: x\r\n".encode())
        while self._left() > 0 and not reader.at_eof():
            writer.write(b"x-slow: 1\r\n")
            await writer.drain()
            await asyncio.sleep(min(1, self._left()))

    async def _slow_body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._head(4 * MIB) + b"x" * 60_000)
        await writer.drain()
        await self._until_closed(reader)

    def _head(self, length: int) -> bytes:
        signature = "0" * 64
        return f"POST {PATH} HTTP/1.1\r\nhost: x\r\nx-raas-webhook-signature: {signature}\r\ncontent-length: {length}\r\n\r\n".encode()

    async def _bad_signature(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._left() > 0:
            writer.write(self._head(200) + b"x" * 200)
            await self._answer(reader)

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.counted[head.split(b" ")[1].decode()] += 1
        [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        await reader.readexactly(length)

    async def _large_body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._head(4 * MIB))
        for _ in range(64):
            writer.write(b"x" * (64 * 1024))
            await writer.drain()
        await self._answer(reader)


def main() -> None:
    _, name, address, clients, seconds = sys.argv
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attack = Attack(name, address, int(clients), float(seconds))
    asyncio.run(attack.run())
    print(", ".join(f"{count} {what}" for what, count in attack.counted.items()))


if __name__ == "__main__":
    main()
